DEVICE float2 widened(u32 both) { return make_float2(from_bf16(both & 0xffff), __uint_as_float(both & 0xffff0000u)); }  // two of bf16
DEVICE float4 widened(uint2 four) {
    float2 a = widened(four.x), b = widened(four.y);
    return make_float4(a.x, a.y, b.x, b.y);
}
DEVICE float4 operator+(const float4& a, const float4& b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }

// v plus up to four sums, which are ``apart`` numbers from each other: all are read before the first is added
DEVICE float2 add_parts(float2 v, const float* from, int parts, int apart) {
    float2 more[4];
#pragma unroll
    for (int q = 0; q < 4; q++) more[q] = q < parts ? read2(from + q * apart) : make_float2(0, 0);
#pragma unroll
    for (int q = 0; q < 4; q++) v.x += more[q].x, v.y += more[q].y;
    return v;
}

DEVICE u32 pack(bool fp16, float low, float high) { return fp16 ? pack_fp16(low, high) : pack_bf16(low, high); }

DEVICE void put_two(u8* x, int i, u32 both, bool mixed) {  // inputs i and i + 1
    if (mixed) {
        u16* to = (u16*)x + (i & ~3) + (i & 2) / 2;
        to[0] = (u16)both, to[2] = (u16)(both >> 16);
    } else
        *(u32*)(x + i * 2) = both;
}

DEVICE float warp_sum(float v) {
    for (int other = 16; other; other /= 2) v += from_lane_xor(v, other);
    return v;
}
