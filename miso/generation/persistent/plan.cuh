enum { MATVEC, ATTEND };                                     // Op.type
enum { BF16, INT8, INT4, FP8 };                              // Op.kind
enum { RESIDUAL, ATTENDED, VECTOR, BEGIN };                  // Op.source
enum { GATED = 1, SAME_PHASE = 2, NOT_FIRST = 4, RECORD = 8, IN_DEPTH = 16, FP16_OUT = 32 };  // Op.flags

#define THREADS (32 * WARPS)

// Numbers before a part's weighted values: its maximum score, the sum of its weights, and two of padding.
constexpr int FACTS = 4;

struct Op {  // 80 bytes, filled by the host
    const u8* w;        // MATVEC: the matrix [rows, K]; ATTEND: keys [TAKES, KV, capacity, HD]
    const u8* scale;    // int8, int4: [rows, K / 64] fp16; fp8: [rows] fp32; ATTEND: values
    const u8* zero;     // int4: zeros as scale; ATTEND: rotary table [2, positions, HD / 2]
    const u16* norm;    // [K] bf16, or null
    // in: sums [in_parts, TAKES, K] fp32, attention output, or h [TAKES, K]; ATTEND: q, k, v [in_parts,
    // TAKES, NT]
    const u8* in;
    // out: sums [parts, TAKES, N] fp32, or h [TAKES, N] 16 bits; ATTEND: [TAKES, heads, parts, FACTS + HD]
    u8* out;
    i64 step;           // bytes from one depth step's matrix to the next
    int K, N;           // N outputs; ATTEND: HD and capacity
    // from, to: the residual row (0 or 1) that is read and written; 2: none
    u8 type, kind, source, in_parts, parts, from, to, flags;
    u8 heads, kv;       // of ATTEND, and of an attention output that is read
    u16 positions;      // of the rotary table
    // plan: operations of the same sizes share one. others: matrices after the first, up to 2.
    u8 plan, others;
    u16 other;          // index of the first of those in the list
};

// A further matrix of the operation, elsewhere in memory; ``row`` is the output that is its row 0, a multiple
// of 8.
struct Other {
    const u8 *w, *scale, *zero;
    i64 row;
};

// A program's share of a MATVEC: some rows, in tiles of 8, and one part of the bytes of each row. Stages, 256
// bytes of a tile's rows, are dealt to the warps in turn, so that all fetches in flight of a program are
// close together in memory.
struct Plan {
    int row, offset, bytes;           // first row; first byte of each row, and their number
    // tiles (of a gated product both matrices'); stages of a tile; tiles for whose sums there is room
    u16 units, stages, chunk;
    u16 slice;                        // numbers of a residual row that this program stores
    u8 part, skip_units, skip_stages; // skip: distance to a warp's next stage
};

static_assert(sizeof(Op) == 80 && sizeof(Other) == 32 && sizeof(Plan) == 24, "the host's sizes");

struct Frame {
    const Op* ops;                  // followed by the other matrices
    u32* barrier;                   // zero at launch
    const i64* position;            // [1]
    i64* next_position;             // the same address
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
    int ops_all, others_all, ops_backbone, codebooks, all_codebooks, frames, D, d, first_parts, logits_parts, top_k, depth_top_k, widest;
    float temperature, depth_temperature, eps;
};

static_assert(sizeof(Frame) == 184, "the host's size");

extern __shared__ __align__(128) u8 memory[];

struct Shared {
    const Op* ops;
    const Other* others;
    const Plan* plans;
    u8* x;          // inputs of the product, 16 bits [TAKES][stride]
    float* sums;    // [tiles of a chunk][stages or warps][TAKES][8]
    float* factor;  // [TAKES] 1 / root mean square
    float* parts;   // [2][TAKES][WARPS]
    int* codes;     // [TAKES][CODEBOOKS]
    // [RING] for each slot: its contents have arrived; they may be overwritten
    u64 *arrived, *used;
};

// A warp's way through the ring: every STEP-th slot is its own. It continues from one product to the next.
template <int STEP> struct Turns {
    // the next slot; stages of the coming product that lie before it
    int slot, lead;
    u32 turn;

    DEVICE void next() {
        if ((slot += STEP) >= RING) slot -= RING, turn ^= 1;
    }
};

// A position in the operation list. The depth decoder's operations are repeated for each of its positions.
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

constexpr int NO_ROW = 0x7fffffff;

// Matrix 0, 1 or 2 of an operation; NO_ROW is the first row of one that doesn't exist.
DEVICE Other matrix_of(const Shared& s, const Op& op, int which) {
    return which > 0 && which <= op.others ? s.others[op.other + which - 1] : Other{op.w, op.scale, op.zero, which ? NO_ROW : 0};
}
DEVICE float scale_of(const Shared& s, const Op& op, int row) {  // of fp8
    const float* scales = (const float*)op.scale;
    for (int i = 0; i < op.others; i++) {
        const Other& other = s.others[op.other + i];
        if (row >= other.row) scales = (const float*)other.scale - other.row;
    }
    return scales[row];
}

DEVICE int pitch_of(const Op& op) { return op.kind == BF16 ? op.K * 2 : op.kind == INT4 ? op.K / 2 : op.K; }

// The number of inputs in that many bytes of a row.
DEVICE int inputs_of(int kind, int bytes) { return kind == BF16 ? bytes / 2 : kind == INT4 ? bytes * 2 : bytes; }
// Bytes from one take's x to the next; 64 bytes of padding put neighbouring takes into different banks.
DEVICE int stride_of(int kind, const Plan& plan) { return 2 * inputs_of(kind, plan.stages * 256) + 64; }
// Whether the middle two of each four inputs are exchanged.
DEVICE bool mixed_up(int kind) { return KINDS & 1 << INT4 && kind == INT4; }

DEVICE Plan plan_of(const Op& op) {
    Plan plan = {0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
    plan.slice = ((op.K + gridDim.x - 1) / gridDim.x + 3) & ~3;
    int programs = gridDim.x / op.parts, part = blockIdx.x / programs;
    if (op.type != MATVEC || part >= op.parts) return plan;
    int pitch = pitch_of(op), own = blockIdx.x - part * programs;
    int size = ((pitch + op.parts - 1) / op.parts + 255) / 256 * 256, tiles = (op.N + 7) / 8;
    int first = own * tiles / programs, last = (own + 1) * tiles / programs;
    plan.part = part;
    plan.row = first * 8;
    plan.offset = part * size;
    plan.bytes = max(min(size, pitch - plan.offset), 0);
    plan.units = (last - first) * (op.flags & GATED ? 2 : 1);
    plan.stages = max((plan.bytes + 255) / 256, 1);
    plan.skip_units = WARPS / plan.stages, plan.skip_stages = WARPS % plan.stages;
    int room = SUMS / (min((int)plan.stages, WARPS) * TAKES * 32);
    plan.chunk = plan.units <= room ? plan.units : room & ~1;
    return plan;
}
