"""A whole frame in one launch of a CUDA kernel of its own."""
