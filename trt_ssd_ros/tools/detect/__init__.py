"""What `detect` is made of: inputs, the run, and its results."""
