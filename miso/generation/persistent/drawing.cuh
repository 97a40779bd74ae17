DEVICE u32 order_of(float v) {  // unsigned numbers in the order of the floats
    u32 bits = __float_as_uint(v);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}
DEVICE float of_order(u32 key) { return __uint_as_float(key >> 31 ? key & 0x7fffffffu : ~key); }

// Up to two takes are drawn by every program, so that no program has to be told the result; more takes are
// drawn by one program each (SPREAD). A program draws DRAWN takes at once, each by WIDE warps, which exchange
// numbers through ``board`` [2][WIDE].
constexpr bool SPREAD = TAKES > 2;
constexpr int DRAWN = SPREAD ? 1 : TAKES * VOCAB * 4 <= SCRATCH ? TAKES : SCRATCH / (VOCAB * 4), WIDE = WARPS / DRAWN,
              OWN = (VOCAB + 32 * WIDE - 1) / (32 * WIDE);
static_assert(DRAWN > 0 && WIDE <= 32, "room for one take's logits");

struct Group {
    uint2* board;
    int take, turn;

    // Share two numbers of each warp with all warps: lane i gets those of warp i, and zeros if there is no
    // such warp.
    DEVICE uint2 told(u32 own, u32 other) {
        int warp = (threadIdx.x >> 5) % WIDE, lane = threadIdx.x & 31;
        uint2* at = board + turn * WIDE;
        turn ^= 1;  // all warps have read this board before the barrier after which it is written again
        if (lane == 0) at[warp] = make_uint2(own, other);
        some_together(1 + take, 32 * WIDE);
        return lane < WIDE ? at[lane] : make_uint2(0, 0);
    }
    DEVICE float sum(float v) { return warp_sum(__uint_as_float(told(__float_as_uint(warp_sum(v)), 0).x)); }
    DEVICE void sums(u32& a, u32& b) {
        uint2 all = told(warp_sum(a), warp_sum(b));
        a = warp_sum(all.x), b = warp_sum(all.y);
    }
    DEVICE void most(u32& a, u32& b) {
        uint2 all = told(warp_max(a), warp_max(b));
        a = warp_max(all.x), b = warp_max(all.y);
    }
};

DEVICE float up_to_here(float v) {  // the sum of this and all lower lanes
    for (int by = 1; by < 32; by *= 2) {
        float below = from_lane_below(v, by);
        if ((threadIdx.x & 31) >= by) v += below;
    }
    return v;
}

// Draw a code from logits [VOCAB] in shared memory; see ``sampling.draw``. Thread i has the ids from OWN * i
// on.
__device__ __noinline__ int draw(const float* logits, Group group, float u, float temperature, int top_k, float* log_p) {
    int at = threadIdx.x % (32 * WIDE), lane = at & 31, warp = at >> 5;
    float v[OWN];
    u32 top = 0, all = 0;
#pragma unroll
    for (int j = 0; j < OWN; j++) {
        int id = at * OWN + j;
        v[j] = id < VOCAB ? logits[id] : -INFINITY;
        if (id < VOCAB) all = max(all, order_of(v[j]));
        if (id < SIZE) top = max(top, order_of(v[j]));
    }
    group.most(top, all);
    float norm = 0;
    if (log_p) {
        float best = of_order(all);
#pragma unroll
        for (int j = 0; j < OWN; j++) norm += __expf(v[j] - best);
        norm = best + __logf(group.sum(norm));
    }
    u32 code = 0xffffffffu, last = 0;
    if (top_k == 1 || temperature == 0) {
#pragma unroll
        for (int j = OWN - 1; j >= 0; j--)
            if (at * OWN + j < SIZE && order_of(v[j]) == top) code = at * OWN + j;
    } else {
        u32 kth = 0;
        if (top_k > 0 && top_k < SIZE) {
            u32 keys[OWN];
#pragma unroll
            for (int j = 0; j < OWN; j++) keys[j] = at * OWN + j < SIZE ? order_of(v[j]) : 0;
#pragma unroll 1
            // Find the k-th largest, two bits at a time from the top; ids that tie with it stay in.
            for (int bit = 30; bit >= 0; bit -= 2) {
                // few: how many reach kth + 3 steps (low half) and kth + 2 steps (high half); two: kth + 1 step.
                u32 step = 1u << bit, few = 0, two = 0;
#pragma unroll
                for (int j = 0; j < OWN; j++) {
                    few += (keys[j] >= kth + 3 * step) + ((keys[j] >= kth + 2 * step) << 16);
                    two += keys[j] >= kth + step;
                }
                group.sums(few, two);
                u32 three = few & 0xffff, half = few >> 16;
                u32 count = three >= top_k ? three : half >= top_k ? half : two;
                kth += three >= top_k ? 3 * step : half >= top_k ? 2 * step : two >= top_k ? step : 0;
                if (count == top_k) break;  // none lies between
            }
        }
        float highest = of_order(top), own = 0;
#pragma unroll
        for (int j = 0; j < OWN; j++) {
            v[j] = at * OWN + j < SIZE && order_of(v[j]) >= kth ? __expf((v[j] - highest) / temperature) : 0;
            own += v[j];
        }
        float here = up_to_here(own), others = __uint_as_float(group.told(__float_as_uint(from_lane(here, 31)), 0).x), below = up_to_here(others);
        float total = from_lane(below, 31), before = from_lane(below - others, warp) + here - own, target = u * total;
#pragma unroll
        for (int j = 0; j < OWN; j++) {
            before += v[j];
            if (v[j] > 0) {
                if (before > target) code = min(code, (u32)(at * OWN + j));
                last = at * OWN + j;
            }
        }
    }
    u32 first = ~code;  // the complement: the maximum is the lowest code
    group.most(first, last);
    // Rounding may leave no id above the target: then take the last possible one.
    code = first ? ~first : last;
    if (log_p && at == 0) *log_p = logits[code] - norm;
    return code;
}

// Logits that a thread reads, and how many of them at once.
constexpr int EACH = (DRAWN * VOCAB + THREADS - 1) / THREADS, AT_ONCE = EACH < 12 ? EACH : 12;

DEVICE i64* code_of(const Frame& f, i64 t, int take) { return f.codes + (t * TAKES + take) * f.codebooks; }

DEVICE int code_drawn(const Frame& f, const Shared& s, i64 t, int take, int codebook) {
    return SPREAD ? (int)read<i64>(code_of(f, t, take) + codebook) : s.codes[take * CODEBOOKS + codebook];
}

DEVICE void draw_codes(const Frame& f, const Shared& s, int codebook, i64 t) {
    bool first = codebook == 0;
    const float* from = first ? f.first_logits : f.logits;
    const int parts = first ? f.first_parts : f.logits_parts;
    float* logits = (float*)s.x;
    for (int begin = SPREAD ? blockIdx.x : 0; begin < TAKES; begin += SPREAD ? gridDim.x : DRAWN) {
        int number = min(DRAWN, TAKES - begin), own = (threadIdx.x >> 5) / WIDE;
        for (int i = threadIdx.x; i < number * VOCAB; i += AT_ONCE * THREADS) {
            float v[AT_ONCE] = {};
            for (int q = 0; q < parts; q++) {
                const float* part = from + (q * TAKES + begin) * VOCAB;
#pragma unroll
                for (int j = 0; j < AT_ONCE; j++) v[j] += read<float>(part + i + j * THREADS, i + j * THREADS < number * VOCAB);
            }
#pragma unroll
            for (int j = 0; j < AT_ONCE; j++)
                if (i + j * THREADS < number * VOCAB) logits[i + j * THREADS] = v[j];
        }
        together();
        if (own < number) {
            int take = begin + own;
            float u = f.u[(take * f.frames + t) * f.all_codebooks + codebook];
            int code = draw(logits + own * VOCAB, {(uint2*)s.parts + own * 2 * WIDE, own, 0}, u, first ? f.temperature : f.depth_temperature,
                            first ? f.top_k : f.depth_top_k, first && (SPREAD || blockIdx.x == 0) ? f.log_p + t * TAKES + take : nullptr);
            if (threadIdx.x % (32 * WIDE) == 0) {
                s.codes[take * CODEBOOKS + codebook] = code;
                if (SPREAD || blockIdx.x == 0) code_of(f, t, take)[codebook] = code;
            }
        }
        together();
    }
}
