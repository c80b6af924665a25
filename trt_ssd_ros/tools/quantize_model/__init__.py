"""What `quantize_model` is made of."""
