"""What `benchmark` measures, and how it shows it."""
