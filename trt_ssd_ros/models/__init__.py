"""A model card becomes one ONNX graph."""
