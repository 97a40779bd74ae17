// Quantised matrices [N, K], K a multiple of 64: int8 with a scale for each 64 weights, or int4 with a scale and a zero.
// Macros: INT4; DTYPE of inputs and outputs (0 fp32, 1 bf16, 2 fp16). Numbers are computed in fp32.
typedef unsigned short u16;
typedef unsigned int u32;
typedef long long i64;

struct Arguments {
    const uint4* weight;
    const u16 *scale, *zero;  // fp16
    const void* x;            // [rows, K]; product only
    void* y;                  // dequantize: [N, K], product: [rows, N]
    int N, K, rows;
};

constexpr int GROUP = 64, LOADED = INT4 ? 32 : 16;  // weights in 16 bytes
constexpr int WARPS = 8;                            // of a thread block

__device__ float from_fp16(u16 v) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v));
    return f;
}
__device__ u16 to_fp16(float v) {
    u16 h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(v));
    return h;
}
__device__ u16 to_bf16(float v) {  // to the nearest, ties to even; weights and sums are finite
    u32 bits = __float_as_uint(v);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
__device__ float input(const void* x, i64 i) {
#if DTYPE == 0
    return ((const float*)x)[i];
#elif DTYPE == 1
    return __uint_as_float((u32)((const u16*)x)[i] << 16);
#else
    return from_fp16(((const u16*)x)[i]);
#endif
}
__device__ void output(void* y, i64 i, float v) {
#if DTYPE == 0
    ((float*)y)[i] = v;
#else
    ((u16*)y)[i] = DTYPE == 1 ? to_bf16(v) : to_fp16(v);
#endif
}

// Four unsigned bytes as floats: each becomes the low bits of 2^23, which is taken off again.
__device__ void bytes(u32 four, float offset, float* v) {
#pragma unroll
    for (int i = 0; i < 4; i++) v[i] = __uint_as_float(__byte_perm(four, 0x4b000000, 0x7440 | i)) - offset;
}

// The 16 bytes number ``i`` of a matrix: LOADED weights. Of int4, the second half lies 32 columns after the first.
__device__ void unpack(const Arguments& a, uint4 loaded, i64 i, float (&v)[LOADED]) {
    const u32 words[4] = {loaded.x, loaded.y, loaded.z, loaded.w};
    const i64 group = i * LOADED / GROUP;
    const float scale = from_fp16(a.scale[group]);
#if INT4
    const float shift = -from_fp16(a.zero[group]) * scale;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        bytes(words[j] & 0x0f0f0f0f, 8388608, v + 4 * j);
        bytes(words[j] >> 4 & 0x0f0f0f0f, 8388608, v + 16 + 4 * j);
    }
#pragma unroll
    for (int j = 0; j < LOADED; j++) v[j] = v[j] * scale + shift;
#else
#pragma unroll
    for (int j = 0; j < 4; j++) bytes(words[j] ^ 0x80808080, 8388608 + 128, v + 4 * j);  // -128..127 -> 0..255
#pragma unroll
    for (int j = 0; j < LOADED; j++) v[j] *= scale;
#endif
}

// The column, within its row or the matrix, of weight 0 of 16 bytes; weight 16 of int4 is 32 columns further on.
__device__ i64 column(i64 i) { return INT4 ? i / 2 * GROUP + i % 2 * 16 : i * LOADED; }

extern "C" __global__ void dequantize(const Arguments a) {
    const i64 all = (i64)a.N * a.K / LOADED;
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < all; i += (i64)gridDim.x * blockDim.x) {
        float v[LOADED];
        unpack(a, a.weight[i], i, v);
#pragma unroll
        for (int half = 0; half < LOADED / 16; half++) {
            const i64 first = column(i) + half * 32;
#if DTYPE == 0
            float4* to = (float4*)((float*)a.y + first);
#pragma unroll
            for (int j = 0; j < 4; j++) to[j] = *(float4*)(v + half * 16 + 4 * j);
#else
            u32 packed[8];
#pragma unroll
            for (int j = 0; j < 8; j++) {
                const float low = v[half * 16 + 2 * j], high = v[half * 16 + 2 * j + 1];
                packed[j] = DTYPE == 1 ? to_bf16(low) | (u32)to_bf16(high) << 16 : to_fp16(low) | (u32)to_fp16(high) << 16;
            }
            uint4* to = (uint4*)((u16*)a.y + first);
            to[0] = *(uint4*)packed, to[1] = *(uint4*)(packed + 4);
#endif
        }
    }
}

// Sixteen inputs of one row.
__device__ void inputs(const void* x, i64 first, float (&v)[16]) {
#if DTYPE == 0
#pragma unroll
    for (int j = 0; j < 4; j++) *(float4*)(v + 4 * j) = ((const float4*)((const float*)x + first))[j];
#else
    const uint4* from = (const uint4*)((const u16*)x + first);
    const uint4 both[2] = {from[0], from[1]};
    const u32* words = (const u32*)both;
#pragma unroll
    for (int j = 0; j < 8; j++) {
        v[2 * j] = DTYPE == 1 ? __uint_as_float(words[j] << 16) : from_fp16(words[j] & 0xffff);
        v[2 * j + 1] = DTYPE == 1 ? __uint_as_float(words[j] & 0xffff0000) : from_fp16(words[j] >> 16);
    }
#endif
}

// y[m, n] = x[m] . w[n] for up to M rows of x. A warp computes R outputs n, so that it reads x once for R rows of weights.
template <int M, int R> __device__ void product(const Arguments& a) {
    const int lane = threadIdx.x % 32, n = (blockIdx.x * WARPS + threadIdx.x / 32) * R;
    const int loads = a.K / LOADED;  // of a row of weights
    float sums[R][M] = {};
    for (int i = lane; i < loads; i += 32) {
        float w[R][LOADED];
#pragma unroll
        for (int r = 0; r < R; r++) {
            const i64 at = (i64)min(n + r, a.N - 1) * loads + i;
            unpack(a, a.weight[at], at, w[r]);
        }
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int half = 0; half < LOADED / 16; half++) {
                float x[16];
                inputs(a.x, (i64)min(m, a.rows - 1) * a.K + column(i) + half * 32, x);
#pragma unroll
                for (int r = 0; r < R; r++)
#pragma unroll
                    for (int j = 0; j < 16; j++) sums[r][m] += w[r][half * 16 + j] * x[j];
            }
    }
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int m = 0; m < M; m++) {
            float sum = sums[r][m];
#pragma unroll
            for (int other = 16; other; other /= 2) sum += __shfl_xor_sync(0xffffffff, sum, other);
            if (lane == 0 && n + r < a.N && m < a.rows) output(a.y, (i64)m * a.N + n + r, sum);
        }
}

extern "C" __global__ void product1(const Arguments a) { product<1, 2>(a); }
extern "C" __global__ void product2(const Arguments a) { product<2, 2>(a); }
extern "C" __global__ void product4(const Arguments a) { product<4, 2>(a); }
extern "C" __global__ void product8(const Arguments a) { product<8, 2>(a); }
