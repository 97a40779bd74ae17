"""Training and fine-tuning of CSM-family models."""
