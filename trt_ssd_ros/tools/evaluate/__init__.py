"""What `evaluate` is made of: annotations, runs, figures, and their report."""
