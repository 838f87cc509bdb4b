"""Inputs that quantizers and the search may look at, and what a graph computes on them."""
