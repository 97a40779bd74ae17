// Two of four bytes times a scale, in fp16. The bytes have an offset of 128; as the low byte of 0x6400 they
// read as 1024 + byte, 1152 too large; ``shift`` is -1152 scales.
DEVICE u32 two_fp16(u32 bytes, u32 which, u32 scale, u32 shift) { return fma_fp16(pick_bytes(bytes, 0x64646464u, which), scale, shift); }

// Sums of products, spread over a warp: lane 4 n + c has outputs 2 c and 2 c + 1 of take n.
struct Products {
    float even[4], odd[4];

    DEVICE float2 sums() const { return make_float2(even[0] + odd[2], even[1] + odd[3]); }
    DEVICE void add(const Products& other) {
#pragma unroll
        for (int j = 0; j < 4; j++) even[j] += other.even[j], odd[j] += other.odd[j];
    }
};

// The products of one stage. Lane 4 n + c has row n of the matrix, take n of x, and the inputs that belong to
// its 16-byte units of weights; results for takes that don't exist are undefined. The 16 bytes of x that it
// reads are a whole operand: parts 1 and 3 are rows 0 to 7 of ``even``, parts 2 and 4 are rows 8 to 15 of
// ``odd``.
template <int KIND> DEVICE void multiply(const u8* stage, const u8* x, Products& to) {
    float(&even)[4] = to.even, (&odd)[4] = to.odd;
    int lane = threadIdx.x & 31, n = lane >> 2, c = lane & 3;
#pragma unroll
    for (int quarter = 0; quarter < 4; quarter++) {
        uint4 w = *(const uint4*)(stage + n * 256 + (((quarter * 4 + c) ^ ((n & 1) << 2)) << 4));
        u32 ws[4] = {w.x, w.y, w.z, w.w};
        if (KIND == BF16) {
            uint4 v = *(const uint4*)(x + quarter * 64 + c * 16);
            product_bf16(even, v, w.x, w.z);
            product_bf16(odd, v, w.y, w.w);
        } else if (KIND == INT8 || KIND == FP8) {
            const u8* at = x + quarter * 128 + c * 32;
            u32 low[4], high[4], scale = 0, shift = 0;
            if (KIND == INT8) {  // a quarter is a group
                const uint2 scales = *(const uint2*)(stage + 2048 + n * 8);
                scale = pick_bytes(scales.x, scales.y, 0x1010 + quarter * 0x2222), shift = mul_fp16(scale, 0xe480e480u);
            }
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (KIND == FP8) {
                    low[i] = e4m3_to_fp16(ws[i]), high[i] = e4m3_to_fp16(ws[i] >> 16);
                } else {
                    u32 b = ws[i] ^ 0x80808080u;
                    low[i] = two_fp16(b, 0x4140, scale, shift), high[i] = two_fp16(b, 0x4342, scale, shift);
                }
#pragma unroll
            for (int i = 0; i < 2; i++) {
                uint4 v = *(const uint4*)(at + i * 16);
                product_fp16(even, v, low[2 * i], low[2 * i + 1]);
                product_fp16(odd, v, high[2 * i], high[2 * i + 1]);
            }
        } else {
            // Low nibbles belong to 16 inputs, high nibbles to those 32 further on. The middle two of each
            // four inputs are exchanged (``pack``), because a mask selects every other byte.
            int unit = quarter * 4 + c, group = unit >> 1;
            u32 scale = *(const u16*)(stage + 2048 + n * 16 + group * 2), zero = *(const u16*)(stage + 2176 + n * 16 + group * 2);
            scale = scale | scale << 16, zero = zero | zero << 16;
            u32 shift = mul_fp16(scale, zero ^ 0x80008000u);
            const u8* at = x + group * 128 + (unit & 1) * 32;
#pragma unroll
            for (int i = 0; i < 2; i++) {
                uint4 v = *(const uint4*)(at + i * 16), v2 = *(const uint4*)(at + 64 + i * 16);
                u32 b[8];
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    u32 own = ws[2 * i + j], other = own >> 8;
                    b[j] = sub_fp16(masked_with<0x000f000f, 0x64006400>(own), 0x64006400u);
                    b[2 + j] = sub_fp16(masked_with<0x000f000f, 0x64006400>(other), 0x64006400u);
                    // 1024 + 16 q: divide by 16, subtract 64
                    b[4 + j] = fma_fp16(masked_with<0x00f000f0, 0x64006400>(own), 0x2c002c00u, 0xd400d400u);
                    b[6 + j] = fma_fp16(masked_with<0x00f000f0, 0x64006400>(other), 0x2c002c00u, 0xd400d400u);
                }
#pragma unroll
                for (int j = 0; j < 8; j++) b[j] = fma_fp16(b[j], scale, shift);
                product_fp16(even, v, b[0], b[1]);
                product_fp16(odd, v, b[2], b[3]);
                product_fp16(even, v2, b[4], b[5]);
                product_fp16(odd, v2, b[6], b[7]);
            }
        }
    }
}

// Sums of each warp's stages, for the tiles from ``begin`` to ``end``.
template <int KIND> DEVICE void products(const Shared& s, const Plan& plan, int stride, int begin, int end, Turns<WARPS>& ring) {
    struct Spot {
        int unit, stage;
    };
    // inputs: bytes of x that a stage multiplies
    const int inputs = KIND == BF16 ? 256 : KIND == INT4 ? 1024 : 512, stages = plan.stages;
    const int skip_units = plan.skip_units, skip_stages = plan.skip_stages, sets = min(stages, WARPS), all = (end - begin) * stages;
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, take = lane >> 2, at = ring.lead;
    const u8* x = s.x + min(take, TAKES - 1) * stride;
    float* to = s.sums + take * 8 + 2 * (lane & 3);
    auto after = [&](const Spot& p) {
        Spot next = {p.unit + skip_units, p.stage + skip_stages};
        if (next.stage >= stages) next.stage -= stages, next.unit++;
        return next;
    };
    auto use = [&](const Turns<WARPS>& ring, const Spot& p, Products& sum) { multiply<KIND>(memory + ring.slot * STAGE, x + p.stage * inputs, sum); };
    auto leave = [&](const Turns<WARPS>& ring) {
        if (lane == 0) tell(s.used + ring.slot);
    };
    auto put = [&](const Spot& p, const Products& sum) {
        if (take < TAKES) *(float2*)(to + (p.unit * sets + (stages < WARPS ? p.stage : warp)) * TAKES * 8) = sum.sums();
    };
    Spot here = {0, at};
    while (here.stage >= stages) here.stage -= stages, here.unit++;
    Products sum = {};
    // Two stages at a time: with one, most instructions would wait for the one before.
#pragma unroll 1
    for (; at + WARPS < all; at += 2 * WARPS) {
        Turns<WARPS> second = ring;
        Spot there = after(here);
        Products other = {};
        second.next();
        wait_turn(s.arrived + ring.slot, ring.turn);
        wait_turn(s.arrived + second.slot, second.turn);
        use(ring, here, sum);
        use(second, there, other);
        warp_together();
        leave(ring), leave(second);
        if (there.unit == here.unit)
            sum.add(other);
        else
            put(here, sum), sum = other;
        here = after(there);
        if (here.unit != there.unit) put(there, sum), sum = {};
        ring = second;
        ring.next();
    }
    if (at < all) {
        wait_turn(s.arrived + ring.slot, ring.turn);
        use(ring, here, sum);
        warp_together();
        leave(ring);
        put(here, sum);
        ring.next();
        at += WARPS;
    }
    ring.lead = at - all;
}

// One output: a tile's sums, always added in the same order.
DEVICE float gathered(const Shared& s, const Plan& plan, int unit, int take, int r) {
    int sets = min((int)plan.stages, WARPS);
    const float* from = s.sums + (unit * sets * TAKES + take) * 8 + r;
    float y = 0;
#pragma unroll 4
    for (int i = 0; i < sets; i++) y += from[i * TAKES * 8];
    return y;
}
