enum { QUERY, KEY, VALUE };

// A pair of numbers of a query, key or value row, as attention uses it: query and key are rotated by the
// angle of that cosine and sine, the query is scaled, key and value are rounded to bf16 as in the cache. The
// rounded pair is also stored at ``keep``, unless that is null.
DEVICE float2 attended_pair(const Op& op, float2 v, float cosine, float sine, int what, u16* keep) {
    if (what != VALUE) v = make_float2(v.x * cosine - v.y * sine, v.y * cosine + v.x * sine);
    if (what == QUERY) {
        float scale = rsqrtf(op.K);
        return make_float2(v.x * scale, v.y * scale);
    }
    u32 both = pack_bf16(v.x, v.y);
    if (keep) *(u32*)keep = both;
    return widened(both);
}

// Pairs of a take's q, k, v that begin at at[j].
template <int N> DEVICE void read_pairs(const Op& op, int take, const int (&at)[N], const bool (&there)[N], float2 (&v)[N]) {
    int total = (op.heads + 2 * op.kv) * op.K;
#pragma unroll
    for (int j = 0; j < N; j++) v[j] = make_float2(0, 0);
    add_parts(v, (const float*)op.in + take * total, [&](int j) { return at[j]; }, there, op.in_parts, TAKES * total);
}

// The work of one program: one take, one KV head with its query heads, one part of the context
// (FlashDecoding, Dao et al. 2023).
struct Part {
    int take, kv, part, begin, end;
    u16 *keys, *values;

    DEVICE Part(const Op& op, int position, int work) {
        int length = position + 1, parts = op.parts, share = (length + parts - 1) / parts;
        part = work % parts, kv = work / parts % op.kv, take = work / parts / op.kv;
        begin = part * share, end = min(begin + share, length);
        i64 cache = (i64)(take * op.kv + kv) * op.N * op.K;
        keys = (u16*)op.w + cache, values = (u16*)op.scale + cache;
    }
};

// A lane's slice of the key and value at position ``at``; zeros for the new position and beyond the end.
struct Context {
    uint4 k, v;

    DEVICE void read(const Op& op, const Part& p, int position, int at) {
        int l = (threadIdx.x & 31) % (op.K / 8);
        k = v = make_uint4(0, 0, 0, 0);
        if (at < p.end && at != position) k = ::read<uint4>(p.keys + (i64)at * op.K + l * 8), v = ::read<uint4>(p.values + (i64)at * op.K + l * 8);
    }
};

DEVICE int first_position(const Op& op, const Part& p) {  // the first position of a lane
    int width = op.K / 8, at_once = 32 / width;
    return p.begin + (threadIdx.x >> 5) * at_once + (threadIdx.x & 31) / width;
}

// ``first``: what is at the first position of the first part, read already.
DEVICE void attend(const Shared& s, const Op& op, int position, const Context& first) {
    int HD = op.K, heads = op.heads, KV = op.kv, parts = op.parts, group = heads / KV, tid = threadIdx.x;
    int warp = tid >> 5, lane = tid & 31, width = HD / 8, side = lane / width, l = lane % width, at_once = 32 / width, length = position + 1;
    float* rows = (float*)s.x;              // [group + 2][HD]: queries, key, value
    float* fold = rows + (GROUP + 2) * HD;  // [WARPS / 2][GROUP][HD + 2]
    const float *cos = (const float*)op.zero + (i64)position * (HD / 2), *sin = cos + (i64)op.positions * (HD / 2);
    for (int work = blockIdx.x; work < TAKES * KV * parts; work += gridDim.x) {
        Part p(op, position, work);
        for (int begin = tid; begin < (group + 2) * HD / 2; begin += 2 * THREADS) {
            int at[2];
            bool there[2];
            float2 v[2];
#pragma unroll
            for (int j = 0; j < 2; j++) {
                int i = begin + j * THREADS, row = i / (HD / 2), pair = i - row * (HD / 2);
                at[j] = (row < group ? p.kv * group + row : heads + (row - group) * KV + p.kv) * HD + 2 * pair;
                there[j] = row < group + 2;
            }
            read_pairs(op, p.take, at, there, v);
#pragma unroll
            for (int j = 0; j < 2; j++) {
                int i = begin + j * THREADS, row = i / (HD / 2), pair = i - row * (HD / 2), what = row < group ? QUERY : row == group ? KEY : VALUE;
                if (!there[j]) continue;
                bool keep = p.end == length && p.begin < p.end;
                u16* to = (what == KEY ? p.keys : p.values) + (i64)position * HD + 2 * pair;
                *(float2*)(rows + 2 * i) = attended_pair(op, v[j], cos[pair], sin[pair], what, keep ? to : nullptr);
            }
        }
        together();
        float m[GROUP], n[GROUP], acc[GROUP][8];
#pragma unroll
        for (int g = 0; g < GROUP; g++) {
            m[g] = -INFINITY, n[g] = 0;
#pragma unroll
            for (int d = 0; d < 8; d++) acc[g][d] = 0;
        }
        auto see = [&](int at, const uint4& a, const uint4& b) {
            bool seen = at < p.end;
            float k[8], v[8];
            u32 as[4] = {a.x, a.y, a.z, a.w}, bs[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
            for (int d = 0; d < 4; d++) {
                float2 own = widened(as[d]), other = widened(bs[d]);
                k[2 * d] = own.x, k[2 * d + 1] = own.y, v[2 * d] = other.x, v[2 * d + 1] = other.y;
            }
            if (at == position)
#pragma unroll
                for (int d = 0; d < 8; d++) k[d] = rows[group * HD + l * 8 + d], v[d] = rows[(group + 1) * HD + l * 8 + d];
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
        };
        Context here = first;
        if (work != blockIdx.x) here.read(op, p, position, first_position(op, p));
        // The same number of rounds for all lanes of a warp.
        for (int at = first_position(op, p); at - side < p.end; at += WARPS * at_once) {
            Context next;
            next.read(op, p, position, at + WARPS * at_once);
            see(at, here.k, here.v);
            here = next;
        }
        // Merge the sides of each warp, then the warps. What saw no position has a maximum of -inf.
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
        // The upper half of the warps writes; the lower half merges that and writes.
        for (int turn = 0; turn < 2; turn++) {
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
            i64 row = (i64)p.take * heads + p.kv * group + g;
            if (parts == 1) {
                ((u16*)op.out)[row * HD + d] = (u16)pack(op.flags & FP16_OUT, y / sum, 0);
                continue;
            }
            float* to = (float*)op.out + (row * parts + p.part) * (HD + FACTS);
            if (d == 0) to[0] = best, to[1] = sum;
            to[FACTS + d] = y;
        }
        together();
    }
}

// The depth decoder's attention: at most 32 positions, so each warp computes one query head and each lane one
// position.
struct Head {
    int take, head, kv;
    bool any;  // the warp has a head; there are at least as many warps as heads
    u16 *keys, *values;

    DEVICE Head(const Op& op) {
        int work = (threadIdx.x >> 5) * gridDim.x + blockIdx.x;
        any = work < TAKES * op.heads;
        take = work / op.heads, head = work - take * op.heads, kv = head / (op.heads / op.kv);
        i64 cache = (i64)(take * op.kv + kv) * op.N * op.K;
        keys = (u16*)op.w + cache, values = (u16*)op.scale + cache;
    }
};

// With small heads a lane holds its pair of all earlier values (HELD); with few takes it reads them early,
// since it has the registers (EARLY).
constexpr int HELD = MOST_HD <= 64 ? 31 : 1;
constexpr bool EARLY = TAKES <= 2;

DEVICE void read_values(int position, const Head& h, u32 (&v)[HELD]) {
    const u16* value = h.values + 2 * (threadIdx.x & 31) % MOST_HD;
    if (HELD > 1)
#pragma unroll
        for (int at = 0; at < HELD; at++) v[at] = read<u32>(value + at * MOST_HD, h.any && at < position);
}

// The key of a lane's position and the values, read while the programs wait for each other.
struct Past {
    uint4 k[MOST_HD / 8];
    u32 v[HELD];

    DEVICE Past(int position, const Head& h) {
        int lane = threadIdx.x & 31;
        const u16* key = h.keys + lane * MOST_HD;
#pragma unroll
        for (int i = 0; i < MOST_HD / 8; i++) k[i] = read<uint4>(key + i * 8, h.any && lane < position);
        if (EARLY) read_values(position, h, v);
    }
};

// own [3][HD]: room for query, key and value.
DEVICE void attend_short(const Op& op, int position, const Head& h, Past& past, float* own) {
    constexpr int HD = MOST_HD, OWN = (3 * HD / 2 + 31) / 32;
    int length = position + 1, lane = threadIdx.x & 31;
    const float *cos = (const float*)op.zero + (i64)position * (HD / 2), *sin = cos + (i64)op.positions * (HD / 2);
    int at[OWN];
    bool there[OWN];
    float2 pairs[OWN];
#pragma unroll
    for (int j = 0; j < OWN; j++) {
        int i = lane + j * 32, row = i / (HD / 2);
        at[j] = (row == 0 ? h.head : op.heads + (row - 1) * op.kv + h.kv) * HD + 2 * (i - row * (HD / 2));
        there[j] = row < 3;
    }
    read_pairs(op, h.take, at, there, pairs);
    if (!EARLY) read_values(position, h, past.v);
#pragma unroll
    for (int j = 0; j < OWN; j++) {
        int i = lane + j * 32, row = i / (HD / 2), pair = i - row * (HD / 2);
        u16* keep = h.head % (op.heads / op.kv) == 0 ? (row == KEY ? h.keys : h.values) + (i64)position * HD + 2 * pair : nullptr;
        if (there[j]) *(float2*)(own + 2 * i) = attended_pair(op, pairs[j], cos[pair], sin[pair], row, keep);
    }
    warp_together();
    float score = 0;
    bool earlier = lane < position;
#pragma unroll
    for (int i = 0; i < HD / 8; i++) {
        u32 ks[4] = {past.k[i].x, past.k[i].y, past.k[i].z, past.k[i].w};
#pragma unroll
        for (int d = 0; d < 4; d++) {
            float2 key = widened(ks[d]), query = *(const float2*)(own + 8 * i + 2 * d), last = *(const float2*)(own + HD + 8 * i + 2 * d);
            score += query.x * (earlier ? key.x : last.x) + query.y * (earlier ? key.y : last.y);
        }
    }
    if (lane >= length) score = -INFINITY;
    float best = score;
    for (int other = 16; other; other /= 2) best = fmaxf(best, from_lane_xor(best, other));
    float p = __expf(score - best), sum = p;
    for (int other = 16; other; other /= 2) sum += from_lane_xor(sum, other);
    float last = from_lane(p, position);
    for (int pair = lane; pair < (HD / 2 + 31) / 32 * 32; pair += 32) {
        float2 y = make_float2(0, 0);
        bool inside = pair < HD / 2;
        if (HELD > 1) {
#pragma unroll
            for (int at = 0; at < HELD; at++) {
                float weight = at < position ? from_lane(p, at) : 0;
                float2 both = widened(past.v[at]);
                y.x += weight * both.x, y.y += weight * both.y;
            }
        } else {
#pragma unroll 8
            for (int at = 0; at < position; at++) {
                float weight = from_lane(p, at);
                if (inside) {
                    float2 v = widened(read<u32>(h.values + at * HD + 2 * pair));
                    y.x += weight * v.x, y.y += weight * v.y;
                }
            }
        }
        if (inside) {
            y.x += last * own[2 * HD + 2 * pair], y.y += last * own[2 * HD + 2 * pair + 1];
            ((u32*)op.out)[((h.take * op.heads + h.head) * HD) / 2 + pair] = pack(op.flags & FP16_OUT, y.x / sum, y.y / sum);
        }
    }
}
