"""ONNX files: their headers, read without onnx, and models whose weights lie beside the graph."""
