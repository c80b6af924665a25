"""The recorder and the watch of a running detector."""
