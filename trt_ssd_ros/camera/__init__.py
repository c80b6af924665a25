"""The camera node: publishes what a file, a webcam or a stream shows."""
