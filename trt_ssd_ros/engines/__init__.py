"""One module for each way to run a detection graph."""
