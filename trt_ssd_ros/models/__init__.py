"""Model cards, and their composition with a network into one ONNX graph."""
