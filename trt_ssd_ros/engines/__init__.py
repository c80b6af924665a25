"""Backends that run a detection graph: TensorRT and ONNX Runtime."""
