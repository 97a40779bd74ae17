// A whole frame in one launch. Every multiprocessor runs one program (thread block), and all programs go
// through the same list of operations together.
//
// Reading weights dominates a frame's time. The order in which a warp needs weights is known from the start,
// so separate warps fetch them into a ring for the warps that multiply, across operations: the next matrices
// arrive while the programs wait for each other or normalise a vector. Tensor cores multiply 8 rows of a
// matrix with up to 8 takes. Partial sums are always added in the same order, so that a seed gives the same
// codes on every run.
//
// Macros, set by the host: TAKES; WARPS that multiply; FETCHERS, warps that fetch; RING, stages of all warps;
// STAGE, bytes of one; SUMS, bytes for sums; SCRATCH, bytes for x; GROUP, query heads per KV head; WIDEST,
// numbers of the longest row; MOST_HD, head dim of the depth decoder; VOCAB, logits; SIZE, ids that may be
// drawn; CODEBOOKS; PLANS; KINDS, a bit for each Op.kind.

DEVICE void matvec(const Frame& f, const Shared& s, const Op& op, const Plan& plan, const Place& place, i64 t, const uint2 (&gains)[KEPT],
                   Turns<WARPS>& ring) {
    int stride = stride_of(op.kind, plan);
    bool gated = op.flags & GATED, scaled = KINDS & 1 << FP8 && op.kind == FP8;
    // Scales of this thread's first output, read from memory while the products are computed.
    float first_scale = 1, second_scale = 1;
    if (scaled) {
        int row = min(plan.row + ((int)threadIdx.x >> 3) / TAKES * 8 + (int)(threadIdx.x & 7), op.N - 1);
        first_scale = scale_of(s, op, row);
        if (gated) second_scale = scale_of(s, op, op.N + row);
    }
    prepare(f, s, op, plan, stride, place, t, gains);
    for (int begin = 0; begin < plan.units; begin += plan.chunk) {
        int end = min(begin + plan.chunk, (int)plan.units);
        if (begin) together();
        // Kinds that no operation has are not compiled.
        if (KINDS & 1 << BF16 && op.kind == BF16) products<BF16>(s, plan, stride, begin, end, ring);
        if (KINDS & 1 << INT8 && op.kind == INT8) products<INT8>(s, plan, stride, begin, end, ring);
        if (KINDS & 1 << INT4 && op.kind == INT4) products<INT4>(s, plan, stride, begin, end, ring);
        if (KINDS & 1 << FP8 && op.kind == FP8) products<FP8>(s, plan, stride, begin, end, ring);
        together();
        int tiles = gated ? (end - begin) / 2 : end - begin, first = plan.row + (gated ? begin / 2 : begin) * 8;
        for (int i = threadIdx.x; i < tiles * 8 * TAKES; i += THREADS) {
            int r = i & 7, tile = (i >> 3) / TAKES, take = (i >> 3) % TAKES, row = first + tile * 8 + r;
            if (row >= op.N) continue;
            float factor = op.norm ? s.factor[take] : 1;
            bool known = begin == 0 && i == threadIdx.x;
            if (gated) {
                float a = gathered(s, plan, 2 * tile, take, r) * factor, b = gathered(s, plan, 2 * tile + 1, take, r) * factor;
                if (scaled) a *= known ? first_scale : scale_of(s, op, row), b *= known ? second_scale : scale_of(s, op, op.N + row);
                float h = a / (1 + __expf(-a)) * b;
                ((u16*)op.out)[(i64)take * op.N + row] = (u16)pack(op.flags & FP16_OUT, h, 0);
            } else {
                float y = gathered(s, plan, tile, take, r) * factor;
                if (scaled) y *= known ? first_scale : scale_of(s, op, row);
                ((float*)op.out)[(i64)(plan.part * TAKES + take) * op.N + row] = y;
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS + 32 * FETCHERS, 1) frame(const Frame f) {
    u8* free = memory;
    Shared s;
    free += RING * STAGE;
    s.x = free, free += SCRATCH;
    s.sums = (float*)free, free += SUMS;
    Plan* plans = (Plan*)free;
    free += (PLANS * sizeof(Plan) + 15) / 16 * 16;
    s.parts = (float*)free, free += WARPS * (TAKES > 4 ? TAKES : 4) * sizeof(float);
    s.factor = (float*)free, free += 8 * sizeof(float);
    s.arrived = (u64*)free, s.used = s.arrived + RING, free += RING * 16;
    s.codes = (int*)free, free += (TAKES * CODEBOOKS * sizeof(int) + 15) / 16 * 16;
    Op* ops = (Op*)free;
    s.ops = ops, s.others = (const Other*)(ops + f.ops_all), s.plans = plans;

    // Weights that don't fill a stage leave the rest at zero.
    for (int i = threadIdx.x; i < RING * STAGE / 16; i += blockDim.x) ((uint4*)memory)[i] = make_uint4(0, 0, 0, 0);
    for (int i = threadIdx.x; i < RING; i += blockDim.x) begin_turns(s.arrived + i, 32), begin_turns(s.used + i, 1);
    int listed = (f.ops_all * (int)sizeof(Op) + f.others_all * (int)sizeof(Other)) / 16;
    for (int i = threadIdx.x; i < listed; i += blockDim.x) ((uint4*)ops)[i] = ((const uint4*)f.ops)[i];
    all_together();
    for (int i = threadIdx.x; i < f.ops_all; i += blockDim.x)
        if (ops[i].type == MATVEC) plans[ops[i].plan] = plan_of(ops[i]);
    i64 position = *f.position, t = *f.counter;
    all_together();
    if (threadIdx.x >= THREADS) {
        fetch_all(f, s, (threadIdx.x - THREADS) >> 5);
        return;
    }

    Turns<WARPS> ring = {(int)threadIdx.x >> 5, (int)threadIdx.x >> 5, 0};
    u32 waits = 0;
    Place place = {-1, 0};
    bool waiting = false;
    // Tell the others that what this program wrote is complete. It goes on with what doesn't depend on them.
    auto leave = [&] {
        together();
        if (threadIdx.x == 0) arrive(f.barrier);
        waiting = true;
    };
    auto wait_for_all = [&] {
        if (!waiting) return;
        waiting = false, waits++;
        if (threadIdx.x == 0) wait_for(f.barrier, waits * gridDim.x);
        together();
    };
    for (bool begun = false;; begun = true) {
        bool more = place.next(f, s.ops);
        if (begun && !(more && s.ops[place.op].flags & SAME_PHASE)) leave();
        if (!more || (place.op == f.ops_backbone && place.position > 0)) {
            wait_for_all();
            draw_codes(f, s, more ? place.position - 1 : f.codebooks - 1, t);
            if (SPREAD) leave();
        }
        if (!more) {
            wait_for_all();
            break;
        }
        const Op* op = s.ops + place.op;
        uint2 gains[KEPT];
        if (op->type == MATVEC) {
            if (op->norm) before_norm(*op, gains);
            wait_for_all();
        } else if (op->flags & IN_DEPTH) {
            Head h(*op);
            Past past(place.position, h);
            wait_for_all();
            if (h.any) attend_short(*op, place.position, h, past, (float*)s.x + (threadIdx.x >> 5) * 3 * MOST_HD);
            continue;
        } else {
            Context first;
            Part p(*op, (int)position, blockIdx.x);
            if (blockIdx.x >= TAKES * op->kv * op->parts) p.end = 0;
            first.read(*op, p, (int)position, first_position(*op, p));
            wait_for_all();
            attend(s, *op, (int)position, first);
            continue;
        }
        matvec(f, s, *op, s.plans[op->plan], place, t, gains, ring);
    }

    if (SPREAD) {
        for (int i = threadIdx.x; i < TAKES * f.codebooks; i += THREADS) {
            int take = i / f.codebooks, k = i - take * f.codebooks;
            s.codes[take * CODEBOOKS + k] = code_drawn(f, s, t, take, k);
        }
        together();
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
