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
        const u8 *w[3], *factors[3];  // of the operation's matrices, as if the program's first row were in each
        int first[3];                 // row, as seen from the program's
#pragma unroll
        for (int i = 0; i < 3; i++) {
            const Other m = matrix_of(s, op, i);
            first[i] = (int)m.row - plan.row;
            w[i] = m.w + op.step * (place.position - 1) + plan.offset + (r - (i64)first[i]) * pitch + q * 16;
            factors[i] = (lane < 8 ? m.scale : m.zero) + plan.offset / 16 + ((lane & 7) - (i64)first[i]) * groups;
        }
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
                    int which = (below >= first[1]) + (below >= first[2]);
                    const u8* a = (which == 2 ? w[2] : which ? w[1] : w[0]) + ((i64)below * pitch + stage[i] * 256);
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
                        fetch16(shared_address(memory) + at * STAGE + 2048 + lane * 16,
                                (which == 2 ? factors[2] : which ? factors[1] : factors[0]) + (i64)below * groups + stage[i] * 16,
                                (lane & 7) < rows - tile, seldom);
                    fetches_tell(s.arrived + at);
                    if (++slots[i] == DEPTH) slots[i] = 0, turns[i] ^= 1;
                }
                unit[i] += skip_units, stage[i] += skip_stages;
                if (stage[i] >= stages) stage[i] -= stages, unit[i]++;
            }
    }
}
