"""Import of an SSD: an ONNX file becomes a tested model card."""
