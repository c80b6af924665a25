"""Average precision, confusion matrix and differences of detectors on annotated images."""
