"""Any architecture that transformers loads, as one graph; what it is asked, `tasks/` knows."""
