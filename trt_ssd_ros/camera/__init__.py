"""The camera node: publishes the images of a file, a webcam or a stream."""
