"""A frame in kernels of its own (Triton), for CUDA: every matrix is read once a use, with what surrounds the product fused into it.

At one take a frame is bound by reading weights: the backbone's once, the depth decoder's for each of its 31 steps. So each kernel here
is a matrix-vector product with the norm before it and the rotation, gate or residual after it, over matrices as they are held (bf16,
int8, int4); activations stay in fp32. On Hopper a kernel starts fetching its weights while the one before it finishes (programmatic
dependent launch): every kernel waits for its predecessor before it touches anything that another one writes or reads.
"""
