// Two bf16 numbers.
DEVICE float2 widened(u32 both) { return make_float2(from_bf16(both & 0xffff), __uint_as_float(both & 0xffff0000u)); }
DEVICE float4 widened(uint2 four) {
    float2 a = widened(four.x), b = widened(four.y);
    return make_float4(a.x, a.y, b.x, b.y);
}
DEVICE float4 operator+(const float4& a, const float4& b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }

DEVICE float4 operator*(const float4& a, const float4& b) { return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w); }
DEVICE float4 operator*(float a, const float4& b) { return make_float4(a * b.x, a * b.y, a * b.z, a * b.w); }
DEVICE float2 operator+(const float2& a, const float2& b) { return make_float2(a.x + b.x, a.y + b.y); }

// Add to each v[j] that is ``there`` up to four partial sums: the first at ``from`` + at(j), the next ones
// ``apart`` numbers further on. All reads are in flight together, along with earlier ones.
template <class V, int N, class F> DEVICE void add_parts(V (&v)[N], const float* from, F at, const bool (&there)[N], int parts, int apart) {
    V more[4][N] = {};
#pragma unroll
    for (int q = 0; q < 4; q += 2)
        if (q < parts)
#pragma unroll
            for (int j = 0; j < N; j++) {
                more[q][j] = read<V>(from + q * apart + at(j), there[j]);
                more[q + 1][j] = read<V>(from + (q + 1) * apart + at(j), there[j] && q + 1 < parts);
            }
#pragma unroll
    for (int q = 0; q < 4; q += 2)
        if (q < parts)
#pragma unroll
            for (int j = 0; j < N; j++) v[j] = v[j] + more[q][j] + more[q + 1][j];
}

DEVICE u32 pack(bool fp16, float low, float high) { return fp16 ? pack_fp16(low, high) : pack_bf16(low, high); }

// Four inputs of a product; ``mixed``: with the middle two exchanged.
DEVICE uint2 pack(bool fp16, const float4& v, bool mixed) {
    return mixed ? make_uint2(pack(fp16, v.x, v.z), pack(fp16, v.y, v.w)) : make_uint2(pack(fp16, v.x, v.y), pack(fp16, v.z, v.w));
}

DEVICE float warp_sum(float v) {
    for (int other = 16; other; other /= 2) v += from_lane_xor(v, other);
    return v;
}
