// What the kernel needs of the GPU, one function each, in PTX since NVRTC has no headers. Needs compute
// capability 8.0 (fp8: 8.9).
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define DEVICE __device__ __forceinline__
#define INFINITY __int_as_float(0x7f800000)

DEVICE u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// Copy 16 or 8 bytes (zeros if not ``there``) from global to shared memory asynchronously. ``seldom`` is an
// L2 policy: weights are read once per frame or step and must not evict what all programs read often.
DEVICE u64 seldom_read() {
    u64 policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}
DEVICE void fetch16(u32 to, const void* from, bool there, u64 seldom) {
    asm volatile("{ .reg .pred none; setp.eq.u32 none, %2, 0; cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, none, %3; }"
                 ::"r"(to), "l"(from), "r"((u32)there), "l"(seldom) : "memory");
}
DEVICE void fetch8(u32 to, const void* from, bool there, u64 seldom) {
    asm volatile("{ .reg .pred none; setp.eq.u32 none, %2, 0; cp.async.ca.shared.global.L2::cache_hint [%0], [%1], 8, none, %3; }"
                 ::"r"(to), "l"(from), "r"((u32)there), "l"(seldom) : "memory");
}

// Barriers in shared memory. A barrier's phase (its turn) flips each time it has been told ``count`` times.
DEVICE void begin_turns(u64* barrier, u32 count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}
DEVICE void tell(u64* barrier) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory"); }
DEVICE void fetches_tell(u64* barrier) {  // once this thread's fetches have arrived
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(barrier)) : "memory");
}
DEVICE void wait_turn(u64* barrier, u32 turn) {  // until the phase isn't ``turn`` (0 or 1, at first 0)
    u32 done;
#if __CUDA_ARCH__ >= 900
#define WAIT_TURN "mbarrier.try_wait.parity"
#else
#define WAIT_TURN "mbarrier.test_wait.parity"
#endif
    do asm volatile("{ .reg .pred p; " WAIT_TURN ".shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                    : "=r"(done) : "r"(shared_address(barrier)), "r"(turn) : "memory");
    while (!done);
}

// Zero if not ``there``. A plain read sees what other multiprocessors wrote before the grid barrier, since
// waiting there (``wait_for``) invalidates the L1 cache; and as reads are independent, many are in flight at
// once.
template <class T> DEVICE T read(const void* p, bool there = true) {
    T v = {};
    if (there) v = *(const T*)p;
    return v;
}

DEVICE void arrive(u32* counter) {  // a program that sees the count sees what this one wrote before
    asm volatile("fence.acq_rel.gpu; red.relaxed.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
}
DEVICE void wait_for(const u32* counter, u32 count) {
    u32 v;
    do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(counter) : "memory");
    while (v < count);
}

// d [16 x 8] += a [16 x 16] b [16 x 8]
DEVICE void product_bf16(float (&d)[4], const uint4& a, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}
DEVICE void product_fp16(float (&d)[4], const uint4& a, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}

DEVICE u32 pick_bytes(u32 a, u32 b, u32 which) { return __byte_perm(a, b, which); }
DEVICE u32 sub_fp16(u32 a, u32 b) {
    u32 d;
    asm("sub.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
    return d;
}
DEVICE u32 mul_fp16(u32 a, u32 b) {
    u32 d;
    asm("mul.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
    return d;
}
DEVICE u32 fma_fp16(u32 a, u32 b, u32 c) {
    u32 d;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}
template <u32 MASK, u32 WITH> DEVICE u32 masked_with(u32 v) {  // (v & MASK) | WITH, one instruction
    u32 d;
    asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(d) : "r"(v), "n"(MASK), "n"(WITH));
    return d;
}
DEVICE u32 pack_bf16(float low, float high) {
    u32 d;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
    return d;
}
DEVICE u32 pack_fp16(float low, float high) {  // saturates at the largest fp16
    u32 d;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(fminf(fmaxf(high, -65504.f), 65504.f)), "f"(fminf(fmaxf(low, -65504.f), 65504.f)));
    return d;
}
DEVICE float from_bf16(u32 bits) { return __uint_as_float(bits << 16); }
DEVICE u32 e4m3_to_fp16(u32 two) {
#if __CUDA_ARCH__ >= 890
    u32 d;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(d) : "h"((u16)two));
    return d;
#else
    return two;  // unreachable: the host refuses fp8 here
#endif
}

DEVICE u32 warp_sum(u32 v) { return __reduce_add_sync(0xffffffffu, v); }
DEVICE u32 warp_max(u32 v) { return __reduce_max_sync(0xffffffffu, v); }
DEVICE float from_lane_xor(float v, int other) { return __shfl_xor_sync(0xffffffffu, v, other); }
DEVICE float from_lane_below(float v, int by) { return __shfl_up_sync(0xffffffffu, v, by); }
DEVICE float from_lane(float v, int lane) { return __shfl_sync(0xffffffffu, v, lane); }
DEVICE void warp_together() { __syncwarp(); }
DEVICE void all_together() { __syncthreads(); }
// A barrier of the warps that multiply.
DEVICE void together() { asm volatile("barrier.sync 0, %0;" ::"n"(32 * WARPS) : "memory"); }
DEVICE void some_together(int which, int threads) { asm volatile("barrier.sync %0, %1;" ::"r"(which), "r"(threads) : "memory"); }
