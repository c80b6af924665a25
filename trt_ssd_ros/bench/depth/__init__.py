"""Benchmark of the places of objects on rendered scenes, whose truth is known."""
