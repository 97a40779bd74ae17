// The FETCHERS fetching warps go through all matrices of the frame in stages (8 rows of 256 bytes), each warp
// taking every FETCHERS-th stage, as far ahead as the ring has room. So a matrix is under way long before its
// inputs are known. The multiplying warps take stages and slots in the same order.
//
// Lane 16 r + q fetches unit q (16 bytes) of rows r, r + 2, r + 4 and r + 6. Units of odd rows are swapped,
// so that units which are read together lie in different banks.
DEVICE void fetch_all(const Frame& f, const Shared& s, int p) {
    int lane = threadIdx.x & 31, q = lane & 15, r = lane >> 4;
    u64 seldom = seldom_read();
    u32 here = shared_address(memory) + r * 256 + ((q ^ (r << 2)) << 4), fine_here = shared_address(memory) + 2048;
    Place place = {-1, 0};
    Turns<FETCHERS> ring = {p, p, 1};
    while (place.next(f, s.ops)) {
        const Op& op = s.ops[place.op];
        if (op.type != MATVEC) continue;
        const Plan& plan = s.plans[op.plan];
        int pitch = pitch_of(op), stages = plan.stages, all = plan.units * stages, rows = op.N - plan.row, rest = plan.bytes - q * 16;
        int groups = op.K / 64 * 2, N = op.N;
        bool gated = op.flags & GATED, int4 = KINDS & 1 << INT4 && op.kind == INT4, int8 = KINDS & 1 << INT8 && op.kind == INT8;
        const u8 *w[3], *factors[3];  // relative to the program's first row
        int first[3];                 // first row, relative to the program's
#pragma unroll
        for (int i = 0; i < 3; i++) {
            const Other m = matrix_of(s, op, i);
            first[i] = (int)m.row - plan.row;
            w[i] = m.w + op.step * (place.position - 1) + plan.offset + (r - (i64)first[i]) * pitch + q * 16;
            factors[i] = (lane < 8 ? m.scale : m.zero) + plan.offset / (int8 ? 32 : 16) + ((lane & 7) - (i64)first[i]) * groups;
        }
        int unit = -1, next = 0, stage = ring.lead, at = ring.lead, left = 0;
        const u8 *row = nullptr, *factor = nullptr;
#pragma unroll 1
        for (; at < all; at += FETCHERS) {
            while (stage >= stages) stage -= stages, next++;
            if (next != unit) {
                unit = next;
                int tile = (gated ? unit >> 1 : unit) * 8, below = tile + (gated && (unit & 1) ? N : 0);
                int which = (below >= first[1]) + (below >= first[2]);
                row = (which == 2 ? w[2] : which ? w[1] : w[0]) + (i64)below * pitch;
                if (int4 || int8) factor = (which == 2 ? factors[2] : which ? factors[1] : factors[0]) + (i64)below * groups;
                left = rows - tile - r;
            }
            const u8* a = row + stage * 256;
            bool inside = stage * 256 < rest;
            u32 to = here + ring.slot * STAGE, fine = fine_here + ring.slot * STAGE;
            wait_turn(s.used + ring.slot, ring.turn);
#pragma unroll
            for (int j = 0; j < 4; j++) fetch16(to + j * 512, a + j * 2 * pitch, inside && 2 * j < left, seldom);
            if (int4 && lane < 16) fetch16(fine + lane * 16, factor + stage * 16, (lane & 7) < left + r, seldom);
            if (int8 && lane < 8) fetch8(fine + lane * 8, factor + stage * 8, lane < left + r, seldom);
            fetches_tell(s.arrived + ring.slot);
            ring.next();
            stage += FETCHERS;
        }
        ring.lead = at - all;
    }
}
