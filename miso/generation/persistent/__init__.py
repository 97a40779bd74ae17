"""The persistent path: a whole frame in one launch of a CUDA kernel."""
