"""The verbs of a plan: frozen values with `run`, inside which heavy libraries are imported."""
