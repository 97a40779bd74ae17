// The warps that fetch, FETCHERS of them, go through all matrices of the frame, stage (8 rows of 256 bytes) by stage, each for the multiplying
// warps p, p + FETCHERS and so on, as far as their rings have room: so a matrix is on its way long before its inputs are. Two are
// faster than four: reads that the programs wait for don't stand in line behind so many weights.
//
// Lane 16 r + q fetches unit q (16 bytes) of rows r, r + 2, r + 4, r + 6; the units of odd rows change places so that those that are read
// together lie in different banks.
DEVICE void fetch_all(const Frame& f, const Shared& s, int p) {
    constexpr int TURNS = WARPS / FETCHERS;
    int lane = threadIdx.x & 31, q = lane & 15, r = lane >> 4;
    u64 seldom = seldom_read();
    u32 here = shared_address(memory) + r * 256 + ((q ^ (r << 2)) << 4);
    Place place = {-1, 0};
    int slots[TURNS];
    u32 turns[TURNS];
#pragma unroll
    for (int i = 0; i < TURNS; i++) slots[i] = 0, turns[i] = 1;
    while (place.next(f, s.ops)) {
        const Op& op = s.ops[place.op];
        if (op.type != MATVEC) continue;
        const Plan& plan = s.plans[op.plan];
        int pitch = pitch_of(op), stages = plan.stages, all = plan.units * stages, rows = op.N - plan.row, rest = plan.bytes - q * 16;
        int skip_units = plan.skip_units, skip_stages = plan.skip_stages, groups = op.K / 64 * 2, N = op.N;
        bool gated = op.flags & GATED, fine = mixed_up(op.kind);
        const u8* w = op.w + op.step * (place.position - 1) + plan.offset + (i64)(plan.row + r) * pitch + q * 16;
        const u8* factors = fine ? (lane < 8 ? op.scale : op.zero) + plan.offset / 16 + (i64)(plan.row + (lane & 7)) * groups : nullptr;
        int unit[TURNS], stage[TURNS];
#pragma unroll
        for (int i = 0; i < TURNS; i++) unit[i] = (FETCHERS * i + p) / stages, stage[i] = FETCHERS * i + p - unit[i] * stages;
#pragma unroll 1
        for (int begin = p; begin < all; begin += WARPS)
#pragma unroll
            for (int i = 0; i < TURNS; i++) {
                int warp = FETCHERS * i + p;
                if (begin + FETCHERS * i < all) {
                    int at = warp * DEPTH + slots[i], tile = (gated ? unit[i] >> 1 : unit[i]) * 8, below = tile + (gated && (unit[i] & 1) ? N : 0);
                    const u8* a = w + ((i64)below * pitch + stage[i] * 256);
                    bool inside = stage[i] * 256 < rest;
                    u32 to = here + at * STAGE;
                    wait_turn(s.used + at, turns[i]);
                    if (rows - tile >= 8) {
#pragma unroll
                        for (int j = 0; j < 4; j++) fetch16(to + j * 512, a + j * 2 * pitch, inside, seldom);
                    } else {
#pragma unroll
                        for (int j = 0; j < 4; j++) fetch16(to + j * 512, a + j * 2 * pitch, inside && 2 * j + r < rows - tile, seldom);
                    }
                    if (fine && lane < 16)
                        fetch16(shared_address(memory) + at * STAGE + 2048 + lane * 16, factors + (i64)below * groups + stage[i] * 16,
                                (lane & 7) < rows - tile, seldom);
                    fetches_tell(s.arrived + at);
                    if (++slots[i] == DEPTH) slots[i] = 0, turns[i] ^= 1;
                }
                unit[i] += skip_units, stage[i] += skip_stages;
                if (stage[i] >= stages) stage[i] -= stages, unit[i]++;
            }
    }
}
