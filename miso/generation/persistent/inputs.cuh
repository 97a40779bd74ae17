// READERS: threads that read one take's row. GAINS: reads of four numbers by each, for the longest row. KEPT:
// norm factors read ahead. BATCH: reads in flight.
constexpr int READERS = WARPS / TAKES * 32, GAINS = (WIDEST + 4 * READERS - 1) / (4 * READERS), KEPT = GAINS <= 4 ? GAINS : 1,
              BATCH = GAINS < 4 ? GAINS : 4;

// v[j]: numbers at + j * STEP and the next three of a take's residual row, with the partial sums still to be
// added; of ``start`` if the row begins there.
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

// Read the norm's factors ahead of the barrier: they don't depend on other programs.
DEVICE void before_norm(const Op& op, uint2 (&gains)[KEPT]) {
    if (GAINS > 4) return;
#pragma unroll
    for (int j = 0; j < KEPT; j++) {
        int i = 4 * (threadIdx.x % READERS + j * READERS);
        if (i < op.K) gains[j] = *(const uint2*)(op.norm + i);
    }
}

// This program's part of a product's inputs: ``number`` of them from ``from`` on, which a take's readers
// write to x.
struct Inputs {
    int take, reader, from, number;
    bool fp16, mixed;
    u8* x;

    DEVICE Inputs(const Shared& s, const Op& op, const Plan& plan, int stride) {
        take = threadIdx.x / READERS, reader = threadIdx.x % READERS;
        from = inputs_of(op.kind, plan.offset), number = take < TAKES ? inputs_of(op.kind, plan.bytes) : 0;
        fp16 = op.kind != BF16, mixed = mixed_up(op.kind);
        x = s.x + take * stride;
    }
};

// The residual row times the norm's factors. The products are scaled by 1 / root mean square afterwards. Each
// program stores a slice of the row.
DEVICE void put_normed(const Frame& f, const Shared& s, const Op& op, const Plan& plan, const Place& place, i64 t, const uint2 (&gains)[KEPT],
                       const Inputs& in) {
    if (in.take >= TAKES) return;
    const u16* start = nullptr;
    if (op.source == BEGIN && place.op < f.ops_backbone)
        start = f.x + in.take * f.D;
    else if (op.source == BEGIN && place.position > 0)
        start = f.code_table + ((place.position - 1) * VOCAB + code_drawn(f, s, t, in.take, place.position - 1)) * f.d;
    float squares = 0;
    float* row = f.rows + (op.to * TAKES + in.take) * f.widest;
    int mine = blockIdx.x * plan.slice, kept = op.to < 2 ? plan.slice : 0;
#pragma unroll 1
    for (int at = 4 * in.reader; at < op.K; at += BATCH * STEP) {
        uint2 g[BATCH];
        float4 v[BATCH];
#pragma unroll
        for (int j = 0; j < BATCH; j++)
            g[j] = GAINS <= 4 ? gains[GAINS <= 4 ? j : 0] : read<uint2>(op.norm + at + j * STEP, at + j * STEP < op.K);
        residual(f, op, start, in.take, at, v);
#pragma unroll
        for (int j = 0; j < BATCH; j++) {
            int i = at + j * STEP;
            squares += v[j].x * v[j].x + v[j].y * v[j].y + v[j].z * v[j].z + v[j].w * v[j].w;
            if ((u32)(i - mine) < kept && i < op.K) *(float4*)(row + i) = v[j];
            uint2 both = pack(in.fp16, v[j] * widened(g[j]), in.mixed);
            if ((u32)(i - in.from) < in.number) *(uint2*)(in.x + (i - in.from) * 2) = both;
        }
    }
    squares = warp_sum(squares);
    if ((threadIdx.x & 31) == 0) s.parts[threadIdx.x >> 5] = squares;
}

// The output of attention, merged from the parts of the context.
DEVICE void put_attended(const Op& op, const Inputs& in) {
    int heads = op.heads, HD = op.K / heads, parts = op.in_parts, all = in.number / 4;
    for (int begin = in.reader; begin < all; begin += 2 * READERS) {
        float2 facts[2][4];
        float4 values[2][4];
#pragma unroll
        for (int j = 0; j < 2; j++) {
            int quad = begin + j * READERS, k = in.from + 4 * quad, head = k / HD;
            const float* y = (const float*)op.in + (i64)(in.take * heads + head) * parts * (HD + FACTS);
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
                sum += weight * facts[j][q].y, v = v + weight * values[j][q];
            }
            *(uint2*)(in.x + quad * 8) = pack(in.fp16, (1 / sum) * v, in.mixed);
        }
    }
}

// A vector that is already in 16 bits.
DEVICE void put_vector(const Op& op, const Inputs& in) {
    constexpr int AHEAD = TAKES > 2 ? 8 : 4;
    int all = in.number / 8;
    const u16* from = (const u16*)op.in + (i64)in.take * op.K + in.from;
    for (int begin = in.reader; begin < all; begin += AHEAD * READERS) {
        uint4 v[AHEAD];
#pragma unroll
        for (int j = 0; j < AHEAD; j++) v[j] = read<uint4>(from + (begin + j * READERS) * 8, begin + j * READERS < all);
#pragma unroll
        for (int j = 0; j < AHEAD; j++) {
            if (in.mixed)
                v[j] = make_uint4(pick_bytes(v[j].x, v[j].y, 0x5410), pick_bytes(v[j].x, v[j].y, 0x7632),
                                  pick_bytes(v[j].z, v[j].w, 0x5410), pick_bytes(v[j].z, v[j].w, 0x7632));
            if (begin + j * READERS < all) *(uint4*)(in.x + (begin + j * READERS) * 16) = v[j];
        }
    }
}

// Store this program's slice of the hidden state of every take.
DEVICE void record(const Frame& f, const Shared& s, const Op& op, const Plan& plan, i64 t) {
    int mine = blockIdx.x * plan.slice;
    for (int take = 0; take < TAKES; take++)
        for (int i = mine + 4 * threadIdx.x; i < min(mine + plan.slice, op.K); i += 4 * THREADS) {
            float4 v[1];
            residual(f, op, nullptr, take, i, v);
            *(uint2*)(f.hidden + (t * TAKES + take) * f.D + i) = pack(false, s.factor[take] * v[0] * widened(*(const uint2*)(op.norm + i)), false);
        }
}

// Write this program's part of a product's inputs to shared memory.
DEVICE void prepare(const Frame& f, const Shared& s, const Op& op, const Plan& plan, int stride, const Place& place, i64 t,
                    const uint2 (&gains)[KEPT]) {
    int tid = threadIdx.x, number = inputs_of(op.kind, plan.bytes), room = inputs_of(op.kind, plan.stages * 256);
    bool normed = op.source == RESIDUAL || op.source == BEGIN;
    Inputs in(s, op, plan, stride);
    if (normed)
        put_normed(f, s, op, plan, place, t, gains, in);
    else if (op.source == ATTENDED)
        put_attended(op, in);
    else
        put_vector(op, in);
    // A matrix's last stage may reach beyond the row; its weights there are zeros.
    for (int take = 0; number < room && take < TAKES; take++)
        for (int i = number + 2 * tid; i < room; i += 2 * THREADS) *(u32*)(s.x + take * stride + i * 2) = 0;
    together();
    // By lanes of the last warp; the factors are used after the products.
    if (normed && tid >= THREADS - TAKES) {
        int take = THREADS - 1 - tid;
        float squares = 0;
        for (int w = 0; w < READERS / 32; w++) squares += s.parts[take * (READERS / 32) + w];
        s.factor[take] = rsqrtf(squares / op.K + f.eps);
    }
    if (op.flags & RECORD) {
        together();
        record(f, s, op, plan, t);
    }
}
