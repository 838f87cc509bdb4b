"""Quantization: one method a file; the steps that they are made of and the algorithms lie below."""
