"""Import of an SSD: from an ONNX file to a model card that is known to work."""
