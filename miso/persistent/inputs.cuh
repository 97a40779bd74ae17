// Threads that read a take's row together, how often each reads four numbers of the longest, and how many of those at once
constexpr int READERS = WARPS / TAKES * 32, GAINS = (WIDEST + 4 * READERS - 1) / (4 * READERS), KEPT = GAINS <= 4 ? GAINS : 1,
              BATCH = GAINS < 4 ? GAINS : 4;

// v[j]: of a take's residual row, or of ``start`` if it begins there, numbers at + j * STEP and the three after it, with the sums that are still to
// be added to them
constexpr int STEP = 4 * READERS;

template <int N> DEVICE void residual(const Frame& f, const Op& op, const u16* start, int take, int at, float4 (&v)[N]) {
    bool there[N];
#pragma unroll
    for (int j = 0; j < N; j++) there[j] = at + j * STEP < op.K;
    if (start) {
#pragma unroll
        for (int j = 0; j < N; j++) v[j] = widened(read<uint2>(start + at + j * STEP, there[j]));
        return;
    }
    const float* row = f.rows + (op.from * TAKES + take) * f.widest + at;
#pragma unroll
    for (int j = 0; j < N; j++) v[j] = read<float4>(row + j * STEP, there[j] && op.from < 2);
    add_parts(v, (const float*)op.in + take * op.K + at, [](int j) { return j * STEP; }, there, op.in ? op.in_parts : 0, TAKES * op.K);
}

// The norm's factors for the numbers that a thread reads: they don't change, and are there before the others are
DEVICE void before_norm(const Op& op, uint2 (&gains)[KEPT]) {
    if (GAINS > 4) return;
#pragma unroll
    for (int j = 0; j < KEPT; j++) {
        int i = 4 * (threadIdx.x % READERS + j * READERS);
        if (i < op.K) gains[j] = *(const uint2*)(op.norm + i);
    }
}

// The product's inputs of this program's part of K, in shared memory.
DEVICE void prepare(const Frame& f, const Shared& s, const Op& op, const Plan& plan, int stride, const Place& place, i64 t,
                    const uint2 (&gains)[KEPT]) {
    int tid = threadIdx.x, take = tid / READERS, reader = tid % READERS, from = inputs_of(op.kind, plan.offset), number = inputs_of(op.kind, plan.bytes);
    int room = inputs_of(op.kind, plan.stages * 256);
    bool fp16 = op.kind != BF16, mixed = mixed_up(op.kind);
    if (op.source == RESIDUAL || op.source == BEGIN) {
        if (take < TAKES) {
            const u16* start = nullptr;
            if (op.source == BEGIN && place.op < f.ops_backbone)
                start = f.x + take * f.D;
            else if (op.source == BEGIN && place.position > 0)
                start = f.code_table + ((place.position - 1) * VOCAB + (SPREAD ? read<i64>(code_of(f, t, take) + place.position - 1)
                                                                               : s.codes[take * CODEBOOKS + place.position - 1])) * f.d;
            float squares = 0;
            float* row = f.rows + (op.to * TAKES + take) * f.widest;
            u8* x = s.x + take * stride - from * 2;
            int mine = blockIdx.x * plan.slice, kept = op.to < 2 ? plan.slice : 0;
#pragma unroll 1
            for (int at = 4 * reader; at < op.K; at += BATCH * STEP) {
                uint2 g[BATCH];
                float4 v[BATCH];
#pragma unroll
                for (int j = 0; j < BATCH; j++)
                    g[j] = GAINS <= 4 ? gains[GAINS <= 4 ? j : 0] : read<uint2>(op.norm + at + j * STEP, at + j * STEP < op.K);
                residual(f, op, start, take, at, v);
#pragma unroll
                for (int j = 0; j < BATCH; j++) {
                    int i = at + j * STEP;
                    squares += v[j].x * v[j].x + v[j].y * v[j].y + v[j].z * v[j].z + v[j].w * v[j].w;
                    if ((u32)(i - mine) < kept && i < op.K) *(float4*)(row + i) = v[j];
                    float4 gain = widened(g[j]);
                    uint2 both = pack(fp16, make_float4(v[j].x * gain.x, v[j].y * gain.y, v[j].z * gain.z, v[j].w * gain.w), mixed);
                    if ((u32)(i - from) < number) *(uint2*)(x + i * 2) = both;
                }
            }
            squares = warp_sum(squares);
            if ((tid & 31) == 0) s.parts[tid >> 5] = squares;
        }
    } else if (op.source == ATTENDED) {
        int heads = op.heads, HD = op.K / heads, parts = op.in_parts, all = take < TAKES ? number / 4 : 0;
        for (int begin = reader; begin < all; begin += 2 * READERS) {
            float2 facts[2][4];
            float4 values[2][4];
#pragma unroll
            for (int j = 0; j < 2; j++) {
                int quad = begin + j * READERS, k = from + 4 * quad, head = k / HD;
                const float* y = (const float*)op.in + (i64)(take * heads + head) * parts * (HD + FACTS);
#pragma unroll
                for (int q = 0; q < 4; q++) {
                    bool there = quad < all && q < parts;
                    facts[j][q] = read<float2>(y + q * (HD + FACTS), there);
                    values[j][q] = read<float4>(y + q * (HD + FACTS) + FACTS + (k - head * HD), there);
                }
            }
#pragma unroll
            for (int j = 0; j < 2; j++) {
                int quad = begin + j * READERS;
                if (quad >= all) continue;
                float best = -INFINITY, sum = 0;
                float4 v = make_float4(0, 0, 0, 0);
#pragma unroll
                for (int q = 0; q < 4; q++)
                    if (q < parts) best = fmaxf(best, facts[j][q].x);
#pragma unroll
                for (int q = 0; q < 4; q++) {
                    float weight = q < parts ? __expf(facts[j][q].x - best) : 0;
                    const float4& value = values[j][q];
                    sum += weight * facts[j][q].y;
                    v = v + make_float4(weight * value.x, weight * value.y, weight * value.z, weight * value.w);
                }
                *(uint2*)(s.x + take * stride + quad * 8) = pack(fp16, make_float4(v.x / sum, v.y / sum, v.z / sum, v.w / sum), mixed);
            }
        }
    } else if (op.source == VECTOR) {
        constexpr int AHEAD = TAKES > 2 ? 8 : 4;
        int all = take < TAKES ? number / 8 : 0;
        for (int begin = reader; begin < all; begin += AHEAD * READERS) {
            uint4 v[AHEAD];
#pragma unroll
            for (int j = 0; j < AHEAD; j++) {
                int unit = begin + j * READERS;
                v[j] = read<uint4>((const u16*)op.in + (i64)take * op.K + from + unit * 8, unit < all);
            }
#pragma unroll
            for (int j = 0; j < AHEAD; j++) {
                int unit = begin + j * READERS;
                if (mixed)
                    v[j] = make_uint4(pick_bytes(v[j].x, v[j].y, 0x5410), pick_bytes(v[j].x, v[j].y, 0x7632),
                                      pick_bytes(v[j].z, v[j].w, 0x5410), pick_bytes(v[j].z, v[j].w, 0x7632));
                if (unit < all) *(uint4*)(s.x + take * stride + unit * 16) = v[j];
            }
        }
    }
    for (int take = 0; number < room && take < TAKES; take++)  // a matrix's last stage may reach beyond it, where its weights are zeros
        for (int i = number + 2 * tid; i < room; i += 2 * THREADS) *(u32*)(s.x + take * stride + i * 2) = 0;
    together();
    if (op.source == RESIDUAL || op.source == BEGIN) {
        if (tid >= THREADS - TAKES) {  // lanes of the warp that has least to multiply; what they find is wanted after the products
            int take = THREADS - 1 - tid;
            float squares = 0;
            for (int w = 0; w < READERS / 32; w++) squares += s.parts[take * (READERS / 32) + w];
            s.factor[take] = rsqrtf(squares / op.K + f.eps);
        }
        if (op.flags & RECORD) {
            together();
            int mine = blockIdx.x * plan.slice;
            for (int take = 0; take < TAKES; take++)
                for (int i = mine + 4 * tid; i < min(mine + plan.slice, op.K); i += 4 * THREADS) {
                    float4 v[1], g = widened(*(const uint2*)(op.norm + i));
                    residual(f, op, nullptr, take, i, v);
                    float factor = s.factor[take];
                    *(uint2*)(f.hidden + (t * TAKES + take) * f.D + i) =
                        pack(false, make_float4(v[0].x * factor * g.x, v[0].y * factor * g.y, v[0].z * factor * g.z, v[0].w * factor * g.w), false);
                }
        }
    }
}
