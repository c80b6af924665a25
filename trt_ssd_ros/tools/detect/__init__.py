"""Detection in files, cameras and recordings, with annotated images and results."""
