"""Blocks as people and pipelines get them: HTML, a terminal's lines, JSON."""
