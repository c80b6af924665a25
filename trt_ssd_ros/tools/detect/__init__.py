"""Detection in files, cameras and recordings: the run, annotated images, and results."""
