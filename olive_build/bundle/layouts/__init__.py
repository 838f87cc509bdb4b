"""Whether a folder is what its client asks for: checked without loading weights, for any folder."""
