"""Quantizers: one method a file, with its options and the operators that it must leave behind."""
