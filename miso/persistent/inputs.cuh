// A residual row, with the sums that are still to be added to it: [i] to [i + 3] of a take
DEVICE float4 residual(const Frame& f, const Op& op, const u16* start, int take, int i) {
    if (start) return widened(*(const uint2*)(start + i));
    const float4 none = make_float4(0, 0, 0, 0);
    const float* from = (const float*)op.in + take * op.K + i;
    float4 v = op.from < 2 ? read4f(f.rows + (op.from * TAKES + take) * f.widest + i) : none, more[4];
#pragma unroll
    for (int q = 0; q < 4; q++) more[q] = op.in && q < op.in_parts ? read4f(from + q * TAKES * op.K) : none;
    return v + more[0] + more[1] + more[2] + more[3];
}

// Threads that read a take's row together, and how often each reads four numbers of the longest
constexpr int READERS = WARPS / TAKES * 32, GAINS = (WIDEST + 4 * READERS - 1) / (4 * READERS), KEPT = GAINS <= 4 ? GAINS : 1;

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
    int tid = threadIdx.x, from = inputs_of(op.kind, plan.offset), number = inputs_of(op.kind, plan.bytes);
    int room = inputs_of(op.kind, plan.stages * 256);
    bool fp16 = op.kind != BF16, mixed = mixed_up(op.kind);
    if (op.source == BEGIN && place.op == f.ops_backbone && place.position > 0) draw_codes(f, s, place.position - 1, t);
    if (op.source == RESIDUAL || op.source == BEGIN) {
        int slice = ((op.K + gridDim.x - 1) / gridDim.x + 3) & ~3, mine = blockIdx.x * slice, take = tid / READERS;
        if (take < TAKES) {
            const u16* start = nullptr;
            if (op.source == BEGIN && place.op < f.ops_backbone)
                start = f.x + take * f.D;
            else if (op.source == BEGIN && place.position > 0)
                start = f.code_table + ((i64)(place.position - 1) * VOCAB + s.codes[take * CODEBOOKS + place.position - 1]) * f.d;
            float squares = 0;
#pragma unroll
            for (int j = 0; j < GAINS; j++) {
                int i = 4 * (tid % READERS + j * READERS);
                if (i >= op.K) continue;
                float4 v = residual(f, op, start, take, i);
                squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
                if (op.to < 2 && i >= mine && i < mine + slice) *(float4*)(f.rows + (op.to * TAKES + take) * f.widest + i) = v;
                if (i >= from && i < from + number) {
                    float4 g = widened(GAINS > 4 ? *(const uint2*)(op.norm + i) : gains[GAINS > 4 ? 0 : j]);
                    v = make_float4(v.x * g.x, v.y * g.y, v.z * g.z, v.w * g.w);
                    uint2 packed = mixed ? make_uint2(pack(fp16, v.x, v.z), pack(fp16, v.y, v.w))
                                         : make_uint2(pack(fp16, v.x, v.y), pack(fp16, v.z, v.w));
                    *(uint2*)(s.x + take * stride + (i - from) * 2) = packed;
                }
            }
            squares = warp_sum(squares);
            if ((tid & 31) == 0) s.parts[tid >> 5] = squares;
        }
    } else if (op.source == ATTENDED) {
        int heads = op.heads, HD = op.K / heads, parts = op.in_parts;
#pragma unroll 4
        for (int j = tid; j < TAKES * number / 2; j += THREADS) {
            int take = j / (number / 2), i = 2 * (j - take * (number / 2)), k = from + i, head = k / HD;
            const float* y = (const float*)op.in + (i64)(take * heads + head) * parts * (HD + 2);  // greatest score, sum, weighted values
            float2 facts[4], values[4];
#pragma unroll
            for (int q = 0; q < 4; q++) {
                facts[q] = q < parts ? read2(y + q * (HD + 2)) : make_float2(-INFINITY, 0);
                values[q] = q < parts ? read2(y + q * (HD + 2) + 2 + (k - head * HD)) : make_float2(0, 0);
            }
            float best = fmaxf(fmaxf(facts[0].x, facts[1].x), fmaxf(facts[2].x, facts[3].x)), sum = 0;
            float2 v = make_float2(0, 0);
#pragma unroll
            for (int q = 0; q < 4; q++) {
                float weight = __expf(facts[q].x - best);
                sum += weight * facts[q].y;
                v.x += weight * values[q].x, v.y += weight * values[q].y;
            }
            put_two(s.x + take * stride, i, pack(fp16, v.x / sum, v.y / sum), mixed);
        }
    } else if (op.source == VECTOR) {
#pragma unroll 4
        for (int j = tid; j < TAKES * number / 8; j += THREADS) {
            int take = j / (number / 8), i = 8 * (j - take * (number / 8));
            uint4 v = read16((const u16*)op.in + (i64)take * op.K + from + i);
            if (mixed)
                v = make_uint4(pick_bytes(v.x, v.y, 0x5410), pick_bytes(v.x, v.y, 0x7632),
                               pick_bytes(v.z, v.w, 0x5410), pick_bytes(v.z, v.w, 0x7632));
            *(uint4*)(s.x + take * stride + i * 2) = v;
        }
    }
    for (int take = 0; take < TAKES; take++)  // a matrix's last stage may reach beyond it, where its weights are zeros
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
            int slice = ((op.K + gridDim.x - 1) / gridDim.x + 3) & ~3, mine = blockIdx.x * slice;
            for (int take = 0; take < TAKES; take++)
                for (int i = mine + 4 * tid; i < min(mine + slice, op.K); i += 4 * THREADS) {
                    float4 v = residual(f, op, nullptr, take, i), g = widened(*(const uint2*)(op.norm + i));
                    float factor = s.factor[take];
                    *(uint2*)(f.hidden + (t * TAKES + take) * f.D + i) = make_uint2(pack_bf16(v.x * factor * g.x, v.y * factor * g.y),
                                                                                     pack_bf16(v.z * factor * g.z, v.w * factor * g.w));
                }
        }
    }
}
