"""`quantize: auto`: the fastest quantization that holds a variant's budgets, found by measuring."""
