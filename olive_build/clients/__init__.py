"""Where files are loaded and run: onnxruntime, Node and browsers."""
