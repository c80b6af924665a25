"""Quantization of a detector to int8: calibration images and the network."""
