"""What import_model is made of."""
