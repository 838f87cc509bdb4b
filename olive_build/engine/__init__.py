"""Runs a graph of steps: content-addressed store, warm workers, resume and explanations."""
