"""The kinds of reference, one a file: what is stored, how a file runs on it, how it is compared."""
