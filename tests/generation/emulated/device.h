// The functions of device.cuh in C++, for an emulated GPU. A thread is a fiber, which runs until it has to wait. So a
// read before the wait for its data finds old or invalid bytes, in every run alike.
#include <csetjmp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <unordered_map>
#include <vector>
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#undef INFINITY
#define INFINITY __builtin_inff()
#define DEVICE inline
#define __device__
#define __global__
#define __noinline__
#define __launch_bounds__(...)
#define __expf exp_of  // the C library uses these names
#define __logf log_of
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { u32 x, y; };
struct alignas(16) uint4 { u32 x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(u32 x, u32 y) { return {x, y}; }
inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }
template <class T> inline T min(T a, T b) { return a < b ? a : b; }
template <class T> inline T max(T a, T b) { return a > b ? a : b; }
inline float exp_of(float x) { return expf(x); }
inline float log_of(float x) { return logf(x); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline u32 __float_as_uint(float f) { u32 v; memcpy(&v, &f, 4); return v; }
inline float __uint_as_float(u32 v) { float f; memcpy(&f, &v, 4); return f; }

// An mbarrier or a named barrier.
struct Count { u16 left, count; u32 turn; };
// An asynchronous copy; ``to`` null: tell the barrier that the copies before it have arrived.
struct Copy { u8* to; const u8* from; int bytes, all; };
struct Block { u8* shared; Count named[17]; std::unordered_map<u64*, std::vector<Copy>> copies; };
struct Warp { u32 said[32][6]; Count together; };
struct Index { u32 x; };
struct Fiber {
    ucontext_t context;  // where it starts
    jmp_buf at;          // where it continues
    bool started, done;
    const u32* turn;     // it waits while *turn is ``old``; null: it doesn't wait
    u32 old;
    Index thread, block;
    Block* in;
    Warp* warp;
    std::vector<Copy> begun;
};
static Fiber* running;
static Index grid, threads;
static jmp_buf outside;
#define threadIdx (running->thread)
#define blockIdx (running->block)
#define gridDim grid
#define blockDim threads
#define memory (running->in->shared)
// Let other fibers run. swapcontext would make a system call each time.
inline void others() {
    if (!_setjmp(running->at)) _longjmp(outside, 1);
}
inline void wrong(const char* what) { fprintf(stderr, "emulated GPU: %s\n", what); abort(); }
template <class T> inline T* aligned(const void* p) { if ((u64)p % sizeof(T)) wrong("an address isn't aligned"); return (T*)p; }

inline void told(Count& t) { if (--t.left == 0) t.left = t.count, t.turn ^= 1; }
inline void meet(Count& t, int count) {
    if (!t.left) t.left = t.count = count;
    u32 turn = t.turn;
    told(t);
    running->turn = &t.turn, running->old = turn;
    while (t.turn == turn) others();
    running->turn = nullptr;
}
DEVICE void warp_together() { meet(running->warp->together, 32); }
DEVICE void all_together() { meet(running->in->named[16], threads.x); }
DEVICE void together() { meet(running->in->named[0], 32 * WARPS); }
DEVICE void some_together(int which, int count) { meet(running->in->named[which], count); }

DEVICE void begin_turns(u64* barrier, u32 count) { *(Count*)barrier = {(u16)count, (u16)count, 0}; }
DEVICE void tell(u64* barrier) { told(*(Count*)barrier); }
DEVICE u32 shared_address(const void* p) { return (u32)((u8*)p - memory); }
DEVICE u64 seldom_read() { return 0; }
DEVICE void fetch16(u32 to, const void* from, bool there, u64) {
    u8* at = (u8*)aligned<uint4>(memory + to);
    memset(at, 0xff, 16);
    running->begun.push_back({at, (const u8*)aligned<uint4>(from), there ? 16 : 0, 16});
}
DEVICE void fetch8(u32 to, const void* from, bool there, u64) {
    u8* at = (u8*)aligned<u64>(memory + to);
    memset(at, 0xff, 8);
    running->begun.push_back({at, (const u8*)aligned<u64>(from), there ? 8 : 0, 8});
}
DEVICE void fetches_tell(u64* barrier) {
    std::vector<Copy>&own = running->begun, &all = running->in->copies[barrier];
    all.insert(all.end(), own.begin(), own.end());
    all.push_back({nullptr, nullptr, 0, 0});
    own.clear();
}
DEVICE void wait_turn(u64* barrier, u32 turn) {
    Count& t = *(Count*)barrier;
    // Copies arrive when a fiber waits for them, and not earlier.
    for (auto& copies = running->in->copies; t.turn == turn;) {
        auto found = copies.find(barrier);
        if (found != copies.end()) {
            for (const Copy& c : found->second)
                if (c.to) memset(c.to, 0, c.all), memcpy(c.to, c.from, c.bytes);
                else told(t);
            copies.erase(found);
        }
        if (t.turn == turn) others();
    }
}

template <class T> DEVICE T read(const void* p, bool there = true) { return there ? *aligned<T>(p) : T{}; }
DEVICE void arrive(u32* counter) { ++*counter; }
DEVICE void wait_for(const u32* counter, u32 count) { while (*counter < count) others(); }

inline float of_fp16(u16 v) { _Float16 h; memcpy(&h, &v, 2); return (float)h; }
inline u16 to_fp16(double f) { _Float16 h = (_Float16)f; u16 v; memcpy(&v, &h, 2); return v; }
inline u16 to_bf16(float f) { u32 v = __float_as_uint(f); return (u16)((v + 0x7fff + (v >> 16 & 1)) >> 16); }
DEVICE float from_bf16(u32 bits) { return __uint_as_float(bits << 16); }
DEVICE u32 pack_bf16(float low, float high) { return to_bf16(low) | (u32)to_bf16(high) << 16; }
DEVICE u32 pack_fp16(float low, float high) {
    return to_fp16(fminf(fmaxf(low, -65504.f), 65504.f)) | (u32)to_fp16(fminf(fmaxf(high, -65504.f), 65504.f)) << 16;
}
template <class F> inline u32 of_halves(u32 a, u32 b, u32 c, F f) {
    u32 low = to_fp16(f(of_fp16(a), of_fp16(b), of_fp16(c)));
    return low | (u32)to_fp16(f(of_fp16(a >> 16), of_fp16(b >> 16), of_fp16(c >> 16))) << 16;
}
DEVICE u32 sub_fp16(u32 a, u32 b) { return of_halves(a, b, 0, [](double x, double y, double) { return x - y; }); }
DEVICE u32 mul_fp16(u32 a, u32 b) { return of_halves(a, b, 0, [](double x, double y, double) { return x * y; }); }
DEVICE u32 fma_fp16(u32 a, u32 b, u32 c) { return of_halves(a, b, c, [](double x, double y, double z) { return x * y + z; }); }
template <u32 MASK, u32 WITH> DEVICE u32 masked_with(u32 v) { return (v & MASK) | WITH; }
DEVICE u32 pick_bytes(u32 a, u32 b, u32 which) {
    u64 all = a | (u64)b << 32;
    u32 picked = 0;
    for (int i = 0; i < 4; i++) picked |= (u32)(all >> (8 * (which >> (4 * i) & 7)) & 255) << (8 * i);
    return picked;
}
inline float of_e4m3(u32 v) {
    int exponent = v >> 3 & 15;
    float size = exponent ? ldexpf(8 + (v & 7), exponent - 10) : ldexpf(v & 7, -9);
    return v & 128 ? -size : size;
}
DEVICE u32 e4m3_to_fp16(u32 two) { return to_fp16(of_e4m3(two & 255)) | (u32)to_fp16(of_e4m3(two >> 8 & 255)) << 16; }

// Exchange values between the lanes of a warp.
template <class F> inline auto among(const u32 (&own)[6], F heard) {
    Warp& w = *running->warp;
    memcpy(w.said[threadIdx.x & 31], own, sizeof own);
    warp_together();
    auto answer = heard(w.said);
    warp_together();
    return answer;
}
DEVICE u32 warp_sum(u32 v) { return among({v}, [](auto& said) { u32 all = 0; for (auto& s : said) all += s[0]; return all; }); }
DEVICE u32 warp_max(u32 v) { return among({v}, [](auto& said) { u32 all = 0; for (auto& s : said) all = max(all, s[0]); return all; }); }
DEVICE float from_lane(float v, int lane) { return among({__float_as_uint(v)}, [=](auto& said) { return __uint_as_float(said[lane & 31][0]); }); }
DEVICE float from_lane_xor(float v, int other) { return from_lane(v, (threadIdx.x & 31) ^ other); }
DEVICE float from_lane_below(float v, int by) { int lane = threadIdx.x & 31; return from_lane(v, lane >= by ? lane - by : lane); }

// d [16 x 8] += a [16 x 16] b [16 x 8], distributed over the lanes as in mma.m16n8k16
template <class F> inline void product(float (&d)[4], const uint4& a, u32 b0, u32 b1, F number) {
    int lane = threadIdx.x & 31;
    among({a.x, a.y, a.z, a.w, b0, b1}, [&](auto& said) {
        for (int o = 0; o < 4; o++) {
            int row = (lane >> 2) + (o >= 2 ? 8 : 0), column = 2 * (lane & 3) + (o & 1);
            for (int k = 0; k < 16; k++) {
                int pair = (k & 7) / 2, shift = 16 * (k & 1);
                u32 x = said[(row & 7) * 4 + pair][(row >= 8) + 2 * (k >= 8)], y = said[column * 4 + pair][4 + (k >= 8)];
                d[o] += number((u16)(x >> shift)) * number((u16)(y >> shift));
            }
        }
        return 0;
    });
}
DEVICE void product_bf16(float (&d)[4], const uint4& a, u32 b0, u32 b1) { product(d, a, b0, b1, from_bf16); }
DEVICE void product_fp16(float (&d)[4], const uint4& a, u32 b0, u32 b1) { product(d, a, b0, b1, of_fp16); }
