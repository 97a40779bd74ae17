// A whole frame in one launch: every multiprocessor runs one program, and all of them go through the same list of operations together.
//
// A frame is bound by reading weights. Which weights a warp will need, and in what order, is known from the start, so each warp keeps its own
// ring of them on their way from memory, across operations: while the programs wait for each other or norm a vector, the next matrices
// are coming. Products are done by tensor cores (8 rows of a matrix times up to 8 takes), sums of parts always in the same order,
// so that a seed says the same on every run.
//
// Set by the host: TAKES, WARPS, DEPTH (stages of a ring), STAGE (bytes of one), SEGMENTS, SCRATCH (bytes of x), GROUP,
// MOST_HD (of the depth decoder's heads), VOCAB, SIZE, CODEBOOKS, KINDS (a bit for each Op.kind there is).

enum { MATVEC, ATTEND };                       // Op.type
enum { BF16, INT8, INT4, FP8 };                // Op.kind
enum { RESIDUAL, ATTENDED, VECTOR, BEGIN };    // Op.source
enum { GATED = 1, SAME_PHASE = 2, NOT_FIRST = 4, RECORD = 8, IN_DEPTH = 16, FP16_OUT = 32 };  // Op.flags

#define THREADS (32 * WARPS)
#define LANE_IDS ((VOCAB + 31) / 32)

struct Op {  // 80 bytes, filled by the host
    const u8* w;        // MATVEC: the matrix [rows, K]; ATTEND: keys [TAKES, KV, capacity, HD]
    const u8* scale;    // of int8, fp8 [rows] fp32, of int4 [rows, K / 64] fp16; ATTEND: values
    const u8* zero;     // of int4; ATTEND: rotary table [2, positions, HD / 2]
    const u16* norm;    // [K] in bf16, or null
    const u8* in;       // sums [in_parts, TAKES, K] fp32, what was attended to, or h [TAKES, K]; ATTEND: q, k, v [in_parts, TAKES, NT]
    u8* out;            // sums [parts, TAKES, N] fp32, h [TAKES, N] in 16 bits; ATTEND: [TAKES, heads, parts, HD + 2]
    i64 step;           // bytes from one depth step's matrix to the next
    int K, N;           // N outputs; ATTEND: HD and capacity
    u8 type, kind, source, in_parts, parts, from, to, flags;  // from, to: which of the two residual rows is read and written, 2: none
    u8 heads, kv;       // ATTEND
    u16 positions;      // of the rotary table
    int unused;
};

struct Plan {  // this program's share of a MATVEC
    int row, offset, bytes;         // first row; first byte of each row, and how many
    u16 units, stages, each, part;  // tiles of 8 rows, stages of one, stages a warp
};

static_assert(sizeof(Op) == 80 && sizeof(Plan) == 20, "the host's sizes");

struct Frame {
    const Op* ops;
    u32* barrier;                   // zero
    const i64* position;            // [1]
    i64* next_position;             // the same
    i64* counter;                   // [1]
    const float* u;                 // [TAKES, frames, all codebooks]
    i64* codes;                     // [frames, TAKES, codebooks]
    float* log_p;                   // [frames, TAKES]
    u16* hidden;                    // [frames, TAKES, D]
    u16* x;                         // [TAKES, D]
    const u16* embeddings;          // [all codebooks * VOCAB, D]
    const u16* code_table;          // [(all codebooks - 1) * VOCAB, d]
    const float* first_logits;      // [first_parts, TAKES, VOCAB]
    const float* logits;            // [logits_parts, TAKES, VOCAB]
    float* rows;                    // [2, TAKES, widest] residual rows
    int ops_all, ops_backbone, codebooks, all_codebooks, frames, D, d, first_parts, logits_parts, top_k, depth_top_k, widest;
    float temperature, depth_temperature, eps;
};

static_assert(sizeof(Frame) == 184, "the host's size");

struct Shared {
    const Op* ops;
    const Plan* plans;
    u8* x;          // inputs of the product: 16 bits [TAKES][stride]
    float* sums;    // [WARPS][SEGMENTS][TAKES][8]
    float* factor;  // [TAKES] 1 / root mean square
    float* parts;   // [TAKES][WARPS]
    int* codes;     // [TAKES][CODEBOOKS]
    u8* ring;       // of this warp
};

// Where a program or a ring is in the list: depth operations come once for each position.
struct Place {
    int op, position;

    DEVICE bool next(const Frame& f, const Op* ops) {  // false at the end
        do {
            if (++op == f.ops_all) {
                op = f.ops_backbone;
                position++;
            }
            if (op >= f.ops_backbone && position >= f.codebooks) return false;
            if (f.codebooks < 2 && op >= f.ops_backbone) return false;
        } while (position == 0 && (ops[op].flags & NOT_FIRST));
        return true;
    }
};

// A warp's weights, one stage (8 rows of 128 bytes) after the other, through all matrices of the frame.
struct Stream {
    Place place;
    int left, unit, stage, stages, row, jump, rest, groups;  // stages left in this matrix; bytes left of a row, from this lane's on
    const u8 *a, *b, *w, *scale, *zero;                      // a, b: where this lane reads next, in one of the upper and one of the lower rows
    i64 pitch;
    bool gated, int4, over;

    DEVICE void begin() {
        place = {-1, 0};
        left = 0;
        over = false;
    }

    DEVICE void enter(const Frame& f, const Shared& s) {  // the next matrix that this warp has a share of
        while (true) {
            if (!place.next(f, s.ops)) {
                over = true;
                return;
            }
            const Op& op = s.ops[place.op];
            if (op.type != MATVEC) continue;
            const Plan& plan = s.plans[place.op];
            int first = (threadIdx.x >> 5) * plan.each;
            left = min((int)plan.each, plan.units * plan.stages - first);
            if (left <= 0) continue;
            stages = plan.stages;
            unit = first / stages;
            stage = first - unit * stages;
            gated = op.flags & GATED;
            int4 = op.kind == INT4;
            pitch = (i64)op.K * (op.kind == BF16 ? 2 : 1) >> (int4 ? 1 : 0);
            w = op.w + op.step * (place.position - 1) + plan.offset + (threadIdx.x & 7) * 16;
            row = plan.row;
            jump = op.N;
            groups = op.K / 64;
            scale = op.scale + plan.offset / 16;  // 32 bytes of weights have a scale of 2 bytes
            zero = op.zero + plan.offset / 16;
            rest = plan.bytes;
            begin_unit();
            return;
        }
    }

    DEVICE int row_of(int r) { return min(row + (gated ? unit >> 1 : unit) * 8 + r, jump - 1) + (gated && (unit & 1) ? jump : 0); }

    DEVICE void begin_unit() {
        int r = (threadIdx.x & 31) >> 3;
        a = w + row_of(r) * pitch + stage * 128;
        b = w + row_of(r + 4) * pitch + stage * 128;
    }

    DEVICE void issue(const Frame& f, const Shared& s, u8* to) {
        if (left == 0 && !over) enter(f, s);
        if (!over) {
            int lane = threadIdx.x & 31, q = lane & 7, r = lane >> 3;
            u8* there = to + r * 128 + ((q ^ ((r & 1) << 2)) << 4);
            int size = min(max(rest - stage * 128 - q * 16, 0), 16);
            fetch16(there, a, size);
            fetch16(there + 512, b, size);
            a += 128, b += 128;
            if (KINDS & 1 << INT4 && int4 && lane < 16) {
                int from = stage * 8, some = min(max(rest / 16 - from, 0), 8);
                fetch8(to + 1024 + lane * 8, (lane < 8 ? scale : zero) + (i64)row_of(lane & 7) * groups * 2 + (some ? from : 0), some);
            }
            left--;
            if (++stage == stages) {
                stage = 0;
                unit++;
                begin_unit();
            }
        }
        fetch_end();
    }
};

DEVICE u32 two_fp16(u32 bytes, u32 which, u32 bias) {  // two of four bytes as 1024 + byte in fp16, less the bias
    return sub_fp16(pick_bytes(bytes, 0x64646464u, which), bias);
}

DEVICE uint4 from_x(const u8* x, bool used) {
    return used ? *(const uint4*)x : make_uint4(0, 0, 0, 0);
}

// A stage's products. Lane 4 n + c has row n of the matrix, take n of x, and of the inputs those that its 16 bytes of weights belong to.
template <int KIND> DEVICE void multiply(const u8* stage, const u8* x, int stride, float (&even)[4], float (&odd)[4]) {
    int lane = threadIdx.x & 31, n = lane >> 2, c = lane & 3;
    bool used = n < TAKES;
    x += n * stride;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        uint4 w = *(const uint4*)(stage + n * 128 + (((half * 4 + c) ^ ((n & 1) << 2)) << 4));
        if (KIND == BF16) {
            uint4 v = from_x(x + half * 64 + c * 16, used);
            product_bf16(even, v.x, v.y, w.x, w.y);
            product_bf16(odd, v.z, v.w, w.z, w.w);
        } else if (KIND == INT8 || KIND == FP8) {
            const u8* at = x + half * 128 + c * 32;
            uint4 v = from_x(at, used), v2 = from_x(at + 16, used);
            u32 ws[4] = {w.x, w.y, w.z, w.w}, vs[8] = {v.x, v.y, v.z, v.w, v2.x, v2.y, v2.z, v2.w};
#pragma unroll
            for (int i = 0; i < 4; i++) {
                u32 low, high;
                if (KIND == INT8) {
                    u32 b = ws[i] ^ 0x80808080u;
                    low = two_fp16(b, 0x4140, 0x64806480u), high = two_fp16(b, 0x4342, 0x64806480u);
                } else {
                    low = e4m3_to_fp16(ws[i]), high = e4m3_to_fp16(ws[i] >> 16);
                }
                product_fp16(i & 1 ? odd : even, vs[2 * i], vs[2 * i + 1], low, high);
            }
        } else {
            int unit = half * 4 + c, group = unit >> 1;
            const u8* at = x + group * 128 + (unit & 1) * 32;  // low nibbles belong to these 16 inputs, high ones to those 32 further on
            u32 scale = *(const u16*)(stage + 1024 + n * 8 + group * 2), zero = *(const u16*)(stage + 1088 + n * 8 + group * 2);
            scale = scale | scale << 16, zero = zero | zero << 16;
            u32 ws[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
            for (int side = 0; side < 2; side++) {
                uint4 v = from_x(at + side * 64, used), v2 = from_x(at + side * 64 + 16, used);
                u32 vs[8] = {v.x, v.y, v.z, v.w, v2.x, v2.y, v2.z, v2.w};
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    u32 b = (side ? ws[i] >> 4 : ws[i]) & 0x0f0f0f0fu;
                    u32 low = mul_fp16(sub_fp16(two_fp16(b, 0x4140, 0x64006400u), zero), scale);
                    u32 high = mul_fp16(sub_fp16(two_fp16(b, 0x4342, 0x64006400u), zero), scale);
                    product_fp16(i & 1 ? odd : even, vs[2 * i], vs[2 * i + 1], low, high);
                }
            }
        }
    }
}

template <int KIND> DEVICE void products(const Frame& f, const Shared& s, const Plan& plan, int stride, Stream& stream, int& slot) {
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    int first = warp * plan.each, last = min(first + plan.each, plan.units * plan.stages), segment = 0;
    if (first >= last) return;
    int stage = first - first / plan.stages * plan.stages;
    float even[4] = {0, 0, 0, 0}, odd[4] = {0, 0, 0, 0};
    const int inputs = KIND == BF16 ? 128 : KIND == INT4 ? 512 : 256;  // bytes of x that a stage takes
    for (int i = first; i < last; i++) {
        if (i + 1 < last && stage + 1 < plan.stages && DEPTH > 2) {  // two at once, where there are two
            fetch_wait<DEPTH - 2>();
            warp_together();
            int second = slot + 1 == DEPTH ? 0 : slot + 1;
            u8 *at = s.ring + slot * STAGE, *then = s.ring + second * STAGE;
            multiply<KIND>(at, s.x + stage * inputs, stride, even, odd);
            multiply<KIND>(then, s.x + (stage + 1) * inputs, stride, even, odd);
            warp_together();
            stream.issue(f, s, at);
            stream.issue(f, s, then);
            slot = second + 1 == DEPTH ? 0 : second + 1;
            i++, stage++;
        } else {
            fetch_wait<DEPTH - 1>();
            warp_together();
            u8* at = s.ring + slot * STAGE;
            multiply<KIND>(at, s.x + stage * inputs, stride, even, odd);
            warp_together();
            stream.issue(f, s, at);
            slot = slot + 1 == DEPTH ? 0 : slot + 1;
        }
        if (++stage == plan.stages || i + 1 == last) {
            int take = lane >> 2;
            if (take < TAKES) {
                float* to = s.sums + ((warp * SEGMENTS + segment) * TAKES + take) * 8 + 2 * (lane & 3);
                to[0] = even[0] + odd[0], to[1] = even[1] + odd[1];
            }
#pragma unroll
            for (int j = 0; j < 4; j++) even[j] = odd[j] = 0;
            segment++;
            stage = 0;
        }
    }
}

DEVICE float gathered(const Shared& s, const Plan& plan, int unit, int take, int r) {  // the warps' sums of one output, in their order
    int first = unit * plan.stages, last = first + plan.stages - 1;
    float y = 0;
    for (int warp = first / plan.each; warp <= last / plan.each; warp++)
        y += s.sums[((warp * SEGMENTS + unit - warp * plan.each / plan.stages) * TAKES + take) * 8 + r];
    return y;
}

DEVICE u32 order_of(float v) {  // floats in the order of unsigned numbers
    u32 bits = __float_as_uint(v);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}
DEVICE float of_order(u32 key) { return __uint_as_float(key >> 31 ? key & 0x7fffffffu : ~key); }

// A code from logits [VOCAB] in shared memory, which become probabilities, by one warp; see ``sampling.draw``. Id lane + 32 j is lane's j-th.
__device__ __noinline__ int draw(float* logits, float u, float temperature, int top_k, float* log_p) {
    int lane = threadIdx.x & 31;
    u32 keys[LANE_IDS];  // 0: none
    u32 top = 0, all = 0;
#pragma unroll
    for (int j = 0; j < LANE_IDS; j++) {
        int id = lane + 32 * j;
        keys[j] = id < VOCAB ? order_of(logits[id]) : 0;
        all = max(all, keys[j]);
        if (id >= SIZE) keys[j] = 0;
        top = max(top, keys[j]);
    }
    top = warp_max(top);
    float norm = 0;
    if (log_p) {
        float best = of_order(warp_max(all));
#pragma unroll 1
        for (int id = lane; id < VOCAB; id += 32) norm += __expf(logits[id] - best);
        for (int other = 16; other; other /= 2) norm += from_lane_xor(norm, other);
        norm = best + __logf(norm);
    }
    u32 code = 0xffffffffu;
    float own = 0;
    if (top_k == 1 || temperature == 0) {
#pragma unroll
        for (int j = LANE_IDS - 1; j >= 0; j--)
            if (keys[j] == top) code = lane + 32 * j;
        code = warp_min(code);
        own = logits[code];
    } else {
        u32 kth = 1;
        if (top_k > 0 && top_k < SIZE) {
            kth = 0;
#pragma unroll 1
            for (int bit = 31; bit >= 0; bit--) {  // the k-th greatest, from its highest bit down; what ties with it stays
                u32 higher = kth | 1u << bit, count = 0;
#pragma unroll
                for (int j = 0; j < LANE_IDS; j++) count += keys[j] >= higher;
                count = warp_sum(count);
                if (count >= top_k) kth = higher;
                if (count == top_k) break;  // nobody is between
            }
        }
        float highest = of_order(top), before = 0, target = 0;
        for (int pass = 0; pass < 2; pass++) {  // how much there is, then where the target lies
            before = 0;
            u32 last = 0;
#pragma unroll
            for (int j = 0; j < LANE_IDS; j++) {
                u32 some = ballot(keys[j] >= kth && keys[j]);
                if (!some) continue;
                float v = of_order(keys[j]), p = keys[j] >= kth && keys[j] ? __expf((v - highest) / temperature) : 0, sum = p;
                if (pass == 0) {
                    before += p;
                    continue;
                }
                for (int by = 1; by < 32; by *= 2) {
                    float below = from_lane_below(sum, by);
                    if (lane >= by) sum += below;
                }
                u32 passed = ballot(p > 0 && before + sum > target), there = ballot(p > 0);
                if (there) last = 32 * j + 31 - __clz(there);
                if (passed) {
                    code = 32 * j + __ffs(passed) - 1;
                    break;
                }
                before += from_lane(sum, 31);
            }
            if (pass == 0) {
                for (int other = 16; other; other /= 2) before += from_lane_xor(before, other);
                target = u * before;
            } else if (code == 0xffffffffu) {
                code = last;  // the two sums differ in their last bits
            }
        }
        own = logits[code];
    }
    if (log_p && lane == 0) *log_p = own - norm;
    return code;
}

DEVICE void draw_codes(const Frame& f, const Shared& s, int codebook, i64 t) {  // of all takes, in every program alike
    bool first = codebook == 0;
    const float* from = first ? f.first_logits : f.logits;
    const int parts = first ? f.first_parts : f.logits_parts, at_once = min(max(SCRATCH / (VOCAB * 4), 1), WARPS);
    float* logits = (float*)s.x;
    for (int begin = 0; begin < TAKES; begin += at_once) {
        int number = min(at_once, TAKES - begin), warp = threadIdx.x >> 5;
#pragma unroll 5
        for (int i = threadIdx.x; i < number * VOCAB; i += THREADS) {
            float v = read(from + begin * VOCAB + i);
            for (int q = 1; q < parts; q++) v += read(from + (q * TAKES + begin) * VOCAB + i);
            logits[i] = v;
        }
        together();
        if (warp < number) {
            int take = begin + warp;
            float u = f.u[(take * f.frames + t) * f.all_codebooks + codebook];
            int code = draw(logits + warp * VOCAB, u, first ? f.temperature : f.depth_temperature, first ? f.top_k : f.depth_top_k,
                            first && blockIdx.x == 0 ? f.log_p + t * TAKES + take : nullptr);
            if ((threadIdx.x & 31) == 0) s.codes[take * CODEBOOKS + codebook] = code;
        }
        together();
    }
}

DEVICE float2 widened(u32 both) { return make_float2(from_bf16(both & 0xffff), __uint_as_float(both & 0xffff0000u)); }  // two of bf16
DEVICE float2 two_bf16(const u16* p) { return widened(*(const u32*)p); }

// v plus up to four sums, which are ``apart`` numbers from each other: all are read before the first is added
DEVICE float2 add_parts(float2 v, const float* from, int parts, int apart) {
    float2 more[4];
#pragma unroll
    for (int q = 0; q < 4; q++) more[q] = q < parts ? read2(from + q * apart) : make_float2(0, 0);
#pragma unroll
    for (int q = 0; q < 4; q++) v.x += more[q].x, v.y += more[q].y;
    return v;
}

// A residual row, with the sums that are still to be added to it: [i], [i + 1] of a take
DEVICE float2 residual(const Frame& f, const Op& op, const u16* start, int take, int i) {
    float2 v = make_float2(0, 0);
    if (start)
        v = two_bf16(start + i);
    else if (op.from < 2)
        v = read2(f.rows + (op.from * TAKES + take) * f.widest + i);
    if (op.in && !start)
        v = add_parts(v, (const float*)op.in + take * op.K + i, op.in_parts, TAKES * op.K);
    return v;
}

DEVICE u32 pack(bool fp16, float low, float high) { return fp16 ? pack_fp16(low, high) : pack_bf16(low, high); }

// The product's inputs of this program's part of K, in shared memory.
DEVICE void prepare(const Frame& f, const Shared& s, const Op& op, const Plan& plan, int stride, const Place& place, i64 t) {
    int tid = threadIdx.x, per_input = op.kind == INT4 ? 1 : op.kind == BF16 ? 4 : 2;  // half bytes of weights an input
    int from = plan.offset * 2 / per_input, number = plan.bytes * 2 / per_input, room = plan.stages * 256 / per_input;
    bool fp16 = op.kind != BF16;
    if (op.source == BEGIN && place.op == f.ops_backbone && place.position > 0) draw_codes(f, s, place.position - 1, t);
    if (op.source == RESIDUAL || op.source == BEGIN) {
        int slice = ((op.K + gridDim.x - 1) / gridDim.x + 1) & ~1, mine = blockIdx.x * slice;
        for (int take = 0; take < TAKES; take++) {
            const u16* start = nullptr;
            if (op.source == BEGIN && place.op < f.ops_backbone)
                start = f.x + take * f.D;
            else if (op.source == BEGIN && place.position > 0)
                start = f.code_table + ((i64)(place.position - 1) * VOCAB + s.codes[take * CODEBOOKS + place.position - 1]) * f.d;
            float squares = 0;
#pragma unroll 4
            for (int i = 2 * tid; i < op.K; i += 2 * THREADS) {
                float2 v = residual(f, op, start, take, i);
                squares += v.x * v.x + v.y * v.y;
                if (op.to < 2 && i >= mine && i < mine + slice) *(float2*)(f.rows + (op.to * TAKES + take) * f.widest + i) = v;
                if (i >= from && i < from + number) {
                    float2 g = two_bf16(op.norm + i);
                    *(u32*)(s.x + take * stride + (i - from) * 2) = pack(fp16, v.x * g.x, v.y * g.y);
                }
            }
            for (int other = 16; other; other /= 2) squares += from_lane_xor(squares, other);
            if ((tid & 31) == 0) s.parts[take * WARPS + (tid >> 5)] = squares;
        }
        together();
        if (tid < TAKES) {
            float squares = 0;
            for (int w = 0; w < WARPS; w++) squares += s.parts[tid * WARPS + w];
            s.factor[tid] = rsqrtf(squares / op.K + f.eps);
        }
        if (op.flags & RECORD) {
            together();
            for (int take = 0; take < TAKES; take++)
                for (int i = mine + 2 * tid; i < min(mine + slice, op.K); i += 2 * THREADS) {
                    float2 v = residual(f, op, nullptr, take, i), g = two_bf16(op.norm + i);
                    float factor = s.factor[take];
                    *(u32*)(f.hidden + (t * TAKES + take) * f.D + i) = pack_bf16(v.x * factor * g.x, v.y * factor * g.y);
                }
        }
    } else if (op.source == ATTENDED) {
        int heads = op.heads, HD = op.K / heads, parts = op.in_parts;
        const float* all = (const float*)op.in;
        for (int take = 0; take < TAKES; take++)
            for (int i = 2 * tid; i < number; i += 2 * THREADS) {
                int k = from + i, head = k / HD;
                const float* y = all + (i64)(take * heads + head) * parts * (HD + 2);  // greatest score, sum, weighted values
                float best = -INFINITY, sum = 0;
                for (int q = 0; q < parts; q++) best = fmaxf(best, read(y + q * (HD + 2)));
                float2 v = make_float2(0, 0);
                for (int q = 0; q < parts; q++) {
                    const float* own = y + q * (HD + 2);
                    float2 facts = read2(own), values = read2(own + 2 + (k - head * HD));
                    float weight = __expf(facts.x - best);
                    sum += weight * facts.y;
                    v.x += weight * values.x, v.y += weight * values.y;
                }
                *(u32*)(s.x + take * stride + i * 2) = pack(fp16, v.x / sum, v.y / sum);
            }
    } else {
        const u16* all = (const u16*)op.in;
        for (int take = 0; take < TAKES; take++)
            for (int i = 8 * tid; i < number; i += 8 * THREADS)
                *(uint4*)(s.x + take * stride + i * 2) = read16(all + (i64)take * op.K + from + i);
    }
    for (int take = 0; take < TAKES; take++)  // a matrix's last stage may reach beyond it, where its weights are zeros
        for (int i = number + 2 * tid; i < room; i += 2 * THREADS) *(u32*)(s.x + take * stride + i * 2) = 0;
    together();
}

DEVICE void matvec(const Frame& f, const Shared& s, const Op& op, const Plan& plan, const Place& place, i64 t, Stream& stream, int& slot) {
    int stride = plan.stages * (op.kind == BF16 ? 128 : op.kind == INT4 ? 512 : 256) + 64;  // 64 more: neighbouring takes in other banks
    prepare(f, s, op, plan, stride, place, t);
    // of kinds that no operation has nothing is compiled
    if (KINDS & 1 << BF16 && op.kind == BF16) products<BF16>(f, s, plan, stride, stream, slot);
    if (KINDS & 1 << INT8 && op.kind == INT8) products<INT8>(f, s, plan, stride, stream, slot);
    if (KINDS & 1 << INT4 && op.kind == INT4) products<INT4>(f, s, plan, stride, stream, slot);
    if (KINDS & 1 << FP8 && op.kind == FP8) products<FP8>(f, s, plan, stride, stream, slot);
    together();
    bool gated = op.flags & GATED, scaled = op.kind == INT8 || op.kind == FP8;
    int tiles = gated ? plan.units / 2 : plan.units;
    for (int i = threadIdx.x; i < tiles * 8 * TAKES; i += THREADS) {
        int r = i & 7, tile = (i >> 3) % tiles, take = (i >> 3) / tiles, row = plan.row + tile * 8 + r;
        if (row >= op.N) continue;
        float factor = op.norm ? s.factor[take] : 1;
        const float* scales = (const float*)op.scale;
        if (gated) {
            float a = gathered(s, plan, 2 * tile, take, r) * factor, b = gathered(s, plan, 2 * tile + 1, take, r) * factor;
            if (scaled) a *= scales[row], b *= scales[op.N + row];
            float h = a / (1 + __expf(-a)) * b;
            ((u16*)op.out)[(i64)take * op.N + row] = (u16)pack(op.flags & FP16_OUT, h, 0);
        } else {
            float y = gathered(s, plan, tile, take, r) * factor;
            if (scaled) y *= scales[row];
            ((float*)op.out)[(i64)(plan.part * TAKES + take) * op.N + row] = y;
        }
    }
}

enum { QUERY, KEY, VALUE };

// Of a row that is attended with, the pair from ``from`` on, as it is used: query and key turned, the query scaled, key and value as they are
// kept, and kept if ``keep`` (where in the cache) isn't null.
DEVICE float2 attended_pair(const Op& op, int take, int from, int pair, int what, const float* cos, const float* sin, u16* keep) {
    int total = (op.heads + 2 * op.kv) * op.K;
    float2 v = add_parts(make_float2(0, 0), (const float*)op.in + take * total + from, op.in_parts, TAKES * total);
    if (what != VALUE) {
        float c = cos[pair], n = sin[pair];
        v = make_float2(v.x * c - v.y * n, v.y * c + v.x * n);
    }
    if (what == QUERY) {
        float scale = rsqrtf(op.K);
        return make_float2(v.x * scale, v.y * scale);
    }
    u32 both = pack_bf16(v.x, v.y);
    if (keep) *(u32*)(keep + 2 * pair) = both;
    return widened(both);
}

// One take, one KV head and the query heads that share it, one part of the context (FlashDecoding, Dao et al. 2023).
DEVICE void attend(const Shared& s, const Op& op, int position) {
    int HD = op.K, capacity = op.N, heads = op.heads, KV = op.kv, parts = op.parts, group = heads / KV, tid = threadIdx.x;
    int warp = tid >> 5, lane = tid & 31, width = HD / 8, side = lane / width, l = lane % width, at_once = 32 / width;
    int length = position + 1, share = (length + parts - 1) / parts;
    float* rows = (float*)s.x;              // [group + 2][HD]: queries, key, value
    float* fold = rows + (GROUP + 2) * HD;  // [WARPS / 2][GROUP][HD + 2]
    const float *cos = (const float*)op.zero + (i64)position * (HD / 2), *sin = cos + (i64)op.positions * (HD / 2);
    for (int work = blockIdx.x; work < TAKES * KV * parts; work += gridDim.x) {
        int part = work % parts, kv = work / parts % KV, take = work / parts / KV, begin = part * share, end = min(begin + share, length);
        i64 cache = (i64)(take * KV + kv) * capacity * HD;
        u16 *keys = (u16*)op.w + cache, *values = (u16*)op.scale + cache;
        for (int i = tid; i < (group + 2) * HD / 2; i += THREADS) {
            int row = i / (HD / 2), pair = i - row * (HD / 2);
            int from = (row < group ? kv * group + row : heads + (row - group) * KV + kv) * HD + 2 * pair;
            int what = row < group ? QUERY : row == group ? KEY : VALUE;
            u16* keep = end == length && begin < end ? (what == KEY ? keys : values) + (i64)position * HD : nullptr;
            float2 v = attended_pair(op, take, from, pair, what, cos, sin, keep);
            rows[row * HD + 2 * pair] = v.x, rows[row * HD + 2 * pair + 1] = v.y;
        }
        together();
        float m[GROUP], n[GROUP], acc[GROUP][8];
#pragma unroll
        for (int g = 0; g < GROUP; g++) {
            m[g] = -INFINITY, n[g] = 0;
#pragma unroll
            for (int d = 0; d < 8; d++) acc[g][d] = 0;
        }
        for (int base = begin + warp * at_once; base < end; base += WARPS * at_once) {
            int at = base + side;
            bool seen = at < end;
            float k[8], v[8];
            if (at == position) {
#pragma unroll
                for (int d = 0; d < 8; d++) k[d] = rows[group * HD + l * 8 + d], v[d] = rows[(group + 1) * HD + l * 8 + d];
            } else {
                uint4 a = make_uint4(0, 0, 0, 0), b = a;
                if (seen) a = read16(keys + (i64)at * HD + l * 8), b = read16(values + (i64)at * HD + l * 8);
                u32 as[4] = {a.x, a.y, a.z, a.w}, bs[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
                for (int d = 0; d < 4; d++) {
                    float2 own = widened(as[d]), other = widened(bs[d]);
                    k[2 * d] = own.x, k[2 * d + 1] = own.y, v[2 * d] = other.x, v[2 * d + 1] = other.y;
                }
            }
#pragma unroll
            for (int g = 0; g < GROUP; g++) {
                float score = 0;
                if (g < group)
#pragma unroll
                    for (int d = 0; d < 8; d++) score += rows[g * HD + l * 8 + d] * k[d];
                for (int other = width / 2; other; other /= 2) score += from_lane_xor(score, other);
                if (seen) {
                    float higher = fmaxf(m[g], score), shrink = __expf(m[g] - higher), p = __expf(score - higher);
                    n[g] = n[g] * shrink + p;
#pragma unroll
                    for (int d = 0; d < 8; d++) acc[g][d] = acc[g][d] * shrink + p * v[d];
                    m[g] = higher;
                }
            }
        }
        // the sides of a warp, then the warps: what saw nothing has a greatest score of -inf
#pragma unroll
        for (int g = 0; g < GROUP; g++)
            for (int other = width; other < 32; other *= 2) {
                float theirs = from_lane_xor(m[g], other), higher = fmaxf(m[g], theirs), level = higher == -INFINITY ? 0 : higher;
                float a = __expf(m[g] - level), b = __expf(theirs - level);
                n[g] = n[g] * a + from_lane_xor(n[g], other) * b;
#pragma unroll
                for (int d = 0; d < 8; d++) acc[g][d] = acc[g][d] * a + from_lane_xor(acc[g][d], other) * b;
                m[g] = higher;
            }
        for (int turn = 0; turn < 2; turn++) {  // the upper half of the warps into the lower, which then write theirs
            bool writes = turn ? warp < WARPS / 2 : warp >= WARPS / 2;
            if (turn && writes)
#pragma unroll
                for (int g = 0; g < GROUP; g++) {
                    float* from = fold + (warp * GROUP + g) * (HD + 2);
                    float theirs = from[0], higher = fmaxf(m[g], theirs), level = higher == -INFINITY ? 0 : higher;
                    float a = __expf(m[g] - level), b = __expf(theirs - level);
                    n[g] = n[g] * a + from[1] * b;
#pragma unroll
                    for (int d = 0; d < 8; d++) acc[g][d] = acc[g][d] * a + from[2 + l * 8 + d] * b;
                    m[g] = higher;
                }
            warp_together();
            if (writes && side == 0)
#pragma unroll
                for (int g = 0; g < GROUP; g++) {
                    float* to = fold + (warp % (WARPS / 2) * GROUP + g) * (HD + 2);
                    if (l == 0) to[0] = m[g], to[1] = n[g];
#pragma unroll
                    for (int d = 0; d < 8; d++) to[2 + l * 8 + d] = acc[g][d];
                }
            together();
        }
        for (int i = tid; i < group * HD; i += THREADS) {
            int g = i / HD, d = i - g * HD;
            float best = -INFINITY, sum = 0, y = 0;
            for (int w = 0; w < WARPS / 2; w++) best = fmaxf(best, fold[(w * GROUP + g) * (HD + 2)]);
            float level = best == -INFINITY ? 0 : best;
            for (int w = 0; w < WARPS / 2; w++) {
                const float* from = fold + (w * GROUP + g) * (HD + 2);
                float weight = __expf(from[0] - level);
                sum += weight * from[1], y += weight * from[2 + d];
            }
            float* to = (float*)op.out + ((i64)(take * heads + kv * group + g) * parts + part) * (HD + 2);
            if (d == 0) to[0] = best, to[1] = sum;
            to[2 + d] = y;
        }
        together();
    }
}

// The depth decoder's: at most 32 positions, so a warp does a query head alone, a lane a position.
DEVICE void attend_short(const Shared& s, const Op& op, int position) {
    int HD = op.K, capacity = op.N, heads = op.heads, KV = op.kv, group = heads / KV, warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    int length = position + 1, work = warp * gridDim.x + blockIdx.x;
    if (work >= TAKES * heads) return;  // there are at least as many warps
    int take = work / heads, head = work - take * heads, kv = head / group;
    i64 cache = (i64)(take * KV + kv) * capacity * HD;
    u16 *keys = (u16*)op.w + cache, *values = (u16*)op.scale + cache;
    float* own = (float*)s.x + warp * 3 * HD;  // query, key, value
    const float *cos = (const float*)op.zero + (i64)position * (HD / 2), *sin = cos + (i64)op.positions * (HD / 2);
    uint4 k[MOST_HD / 8];
    bool earlier = lane < position;
#pragma unroll
    for (int i = 0; i < MOST_HD / 8; i++)
        if (i < HD / 8 && earlier) k[i] = read16(keys + lane * HD + i * 8);
    for (int i = lane; i < 3 * HD / 2; i += 32) {
        int row = i / (HD / 2), pair = i - row * (HD / 2), from = (row == 0 ? head : heads + (row - 1) * KV + kv) * HD + 2 * pair;
        u16* keep = head == kv * group ? (row == KEY ? keys : values) + (i64)position * HD : nullptr;
        float2 v = attended_pair(op, take, from, pair, row, cos, sin, keep);
        own[row * HD + 2 * pair] = v.x, own[row * HD + 2 * pair + 1] = v.y;
    }
    warp_together();
    float score = 0;
#pragma unroll
    for (int i = 0; i < MOST_HD / 8; i++)
        if (i < HD / 8) {
            u32 ks[4] = {k[i].x, k[i].y, k[i].z, k[i].w};
#pragma unroll
            for (int d = 0; d < 4; d++) {
                float2 key = widened(ks[d]);
                float low = earlier ? key.x : own[HD + 8 * i + 2 * d], high = earlier ? key.y : own[HD + 8 * i + 2 * d + 1];
                score += own[8 * i + 2 * d] * low + own[8 * i + 2 * d + 1] * high;
            }
        }
    if (lane >= length) score = -INFINITY;
    float best = score;
    for (int other = 16; other; other /= 2) best = fmaxf(best, from_lane_xor(best, other));
    float p = __expf(score - best), sum = p;
    for (int other = 16; other; other /= 2) sum += from_lane_xor(sum, other);
    float* to = (float*)op.out + (i64)(take * heads + head) * (HD + 2);
    if (lane == 0) to[0] = best, to[1] = sum;
    for (int pair = lane; pair < (HD / 2 + 31) / 32 * 32; pair += 32) {
        float2 y = make_float2(0, 0);
        bool inside = pair < HD / 2;
#pragma unroll 8
        for (int at = 0; at < position; at++) {
            float weight = from_lane(p, at);
            if (inside) {
                float2 v = widened(read4(values + at * HD + 2 * pair));
                y.x += weight * v.x, y.y += weight * v.y;
            }
        }
        float weight = from_lane(p, position);
        if (inside) {
            y.x += weight * own[2 * HD + 2 * pair], y.y += weight * own[2 * HD + 2 * pair + 1];
            to[2 + 2 * pair] = y.x, to[2 + 2 * pair + 1] = y.y;
        }
    }
}

DEVICE Plan plan_of(const Op& op) {
    Plan plan = {0, 0, 0, 0, 1, 1, 0};
    int programs = gridDim.x / op.parts, part = blockIdx.x / programs;
    if (op.type != MATVEC || part >= op.parts) return plan;
    int pitch = op.kind == BF16 ? op.K * 2 : op.kind == INT4 ? op.K / 2 : op.K, own = blockIdx.x - part * programs;
    int size = ((pitch + op.parts - 1) / op.parts + 127) / 128 * 128, tiles = (op.N + 7) / 8;
    int first = own * tiles / programs, last = (own + 1) * tiles / programs;
    plan.part = part;
    plan.row = first * 8;
    plan.offset = part * size;
    plan.bytes = max(min(size, pitch - plan.offset), 0);
    plan.units = (last - first) * (op.flags & GATED ? 2 : 1);
    plan.stages = max((plan.bytes + 127) / 128, 1);
    plan.each = max((plan.units * plan.stages + WARPS - 1) / WARPS, 1);
    return plan;
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) frame(const Frame f) {
    extern __shared__ __align__(128) u8 memory[];
    u8* free = memory;
    Shared s;
    s.ring = free + (threadIdx.x >> 5) * (DEPTH * STAGE), free += WARPS * DEPTH * STAGE;
    s.x = free, free += SCRATCH;
    Op* ops = (Op*)free;
    free += f.ops_all * sizeof(Op);
    Plan* plans = (Plan*)free;
    free += (f.ops_all * sizeof(Plan) + 15) / 16 * 16;
    s.ops = ops, s.plans = plans;
    s.sums = (float*)free, free += WARPS * SEGMENTS * TAKES * 8 * sizeof(float);
    s.parts = (float*)free, free += WARPS * TAKES * sizeof(float);
    s.factor = (float*)free, free += 8 * sizeof(float);
    s.codes = (int*)free;

    for (int i = threadIdx.x; i < f.ops_all * (int)(sizeof(Op) / 16); i += THREADS) ((uint4*)ops)[i] = ((const uint4*)f.ops)[i];
    together();
    for (int i = threadIdx.x; i < f.ops_all; i += THREADS) plans[i] = plan_of(ops[i]);
    i64 position = *f.position, t = *f.counter;
    together();

    Stream stream;
    stream.begin();
    int slot = 0;
    for (int i = 0; i < DEPTH; i++) stream.issue(f, s, s.ring + i * STAGE);

    u32 waits = 0;
    Place place = {-1, 0};
    for (bool more = true, begun = false; more; begun = true) {
        more = place.next(f, s.ops);
        if (begun && !(more && s.ops[place.op].flags & SAME_PHASE)) {
            together();
            if (threadIdx.x == 0) {
                arrive(f.barrier);
                wait_for(f.barrier, ++waits * gridDim.x);
            }
            together();
        }
        if (!more) break;
        const Op& op = s.ops[place.op];
        if (op.type == MATVEC)
            matvec(f, s, op, s.plans[place.op], place, t, stream, slot);
        else
            op.flags & IN_DEPTH ? attend_short(s, op, place.position) : attend(s, op, (int)position);
    }

    draw_codes(f, s, f.codebooks - 1, t);
    if (blockIdx.x == 0 && threadIdx.x < TAKES * f.codebooks) {
        int take = threadIdx.x / f.codebooks, k = threadIdx.x - take * f.codebooks;
        f.codes[(t * TAKES + take) * f.codebooks + k] = s.codes[take * CODEBOOKS + k];
    }
    int slice = (f.D + gridDim.x - 1) / gridDim.x;
    for (int i = threadIdx.x; i < slice * TAKES; i += THREADS) {
        int take = i / slice, d = blockIdx.x * slice + i - take * slice;
        if (d >= f.D) continue;
        float y = 0;
        for (int k = 0; k < f.codebooks; k++)
            y += from_bf16(f.embeddings[((i64)k * VOCAB + s.codes[take * CODEBOOKS + k]) * f.D + d]);
        f.x[take * f.D + d] = (u16)pack_bf16(y, 0);
    }
    if (blockIdx.x == 0 && threadIdx.x == 0) *f.next_position = position + 1, *f.counter = t + 1;
}
