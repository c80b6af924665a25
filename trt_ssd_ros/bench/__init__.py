"""Benchmarks of the detector, of `detect` and of TensorRT; those of the node are in ros/."""
