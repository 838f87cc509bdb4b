"""Tokenizers as ONNX graphs: texts in, ids out, equal to those of the `tokenizers` library.

`kinds` reads the JSON of a tokenizer and says what kind it is, or why it has no graph; it imports
nothing heavy. `graph` writes the graph.
"""
