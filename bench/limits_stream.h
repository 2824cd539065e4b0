// The streaming loops behind LimitKernels, for a vector type V and its operations, which the
// including limits_<isa>.cc defines in an anonymous namespace before it includes this:
//   V load(const V*), void store(V*, V), void stream(V*, V), V join(V, V), void fence(),
//   void keep(V)   (makes the value observable)
#pragma once

#include "limits_kernels.h"

namespace qb::limits {
namespace {

constexpr int kUnroll = 8;

template <int R, int W, bool kStream>
inline void one_step(const V* in, V* out, V (&sum)[4], int lane) {
  V last = sum[lane & 3];
  if constexpr (R > 0) {
    last = load(in);
    for (int r = 1; r < R; ++r) last = join(last, load(in + r));
  }
  if constexpr (W == 0) {
    sum[lane & 3] = join(sum[lane & 3], last);
  } else {
    for (int w = 0; w < W; ++w) {
      if constexpr (kStream)
        stream(out + w, last);
      else
        store(out + w, last);
    }
  }
}

template <int R, int W, bool kStream>
void loop(const void* src, void* dst, std::size_t steps) {
  const V* in = static_cast<const V*>(src);
  V* out = static_cast<V*>(dst);
  V sum[4] = {};
  // steps is a multiple of 8 KiB over the vector size: no tail.
  for (std::size_t i = 0; i < steps; i += kUnroll) {
    for (int u = 0; u < kUnroll; ++u) one_step<R, W, kStream>(in + u * R, out + u * W, sum, u);
    in += kUnroll * R;
    out += kUnroll * W;
    __asm__ volatile("" ::: "memory");
  }
  if constexpr (kStream) fence();
  keep(join(join(sum[0], sum[1]), join(sum[2], sum[3])));
}

/// The same as kStreams streams, read kTurn bytes of each in turn and prefetched kAhead bytes ahead
/// (0: not at all): beyond the caches they are faster than one where reading dominates. Which way
/// is best differs from CPU to CPU. Not whole pages apart, or all would fall into one set of the
/// first-level cache; what that leaves is done by a single stream.
template <int R, int W, int kStreams, std::size_t kTurn, std::size_t kAhead>
void streams(const void* src, void* dst, std::size_t steps) {
  constexpr std::size_t kSteps = kTurn / sizeof(V) / R;
  constexpr std::size_t kRound = kSteps > 4 ? kSteps / 4 * 4 : 4;  // steps at a time
  constexpr std::size_t kShift = 9 * kRound;
  const std::size_t part = steps / kStreams / kRound * kRound;
  const std::size_t stride = part > 4 * kShift ? part - kShift : 0;
  const V* in = static_cast<const V*>(src);
  V* out = static_cast<V*>(dst);
  V sum[4] = {};
  for (std::size_t i = 0; i < stride; i += kRound) {
    for (int s = 0; s < kStreams; ++s)
      for (std::size_t k = 0; k < kRound; k += 4) {
        const std::size_t at = std::size_t(s) * stride + i + k;
        for (std::size_t line = 0; kAhead > 0 && line < 4 * R * sizeof(V); line += 64)
          __builtin_prefetch(reinterpret_cast<const char*>(in + at * R) + kAhead + line);
        for (int u = 0; u < 4; ++u)
          one_step<R, W, W != 0>(in + (at + std::size_t(u)) * R, out + (at + std::size_t(u)) * W,
                                 sum, u);
      }
    __asm__ volatile("" ::: "memory");
  }
  for (std::size_t at = kStreams * stride; at < steps; ++at)
    one_step<R, W, W != 0>(in + at * R, out + at * W, sum, 0);
  if constexpr (W != 0) fence();
  keep(join(join(sum[0], sum[1]), join(sum[2], sum[3])));
}

/// Where reading dominates and there is something to write.
template <int R>
constexpr StreamLoop narrowing() {
  return {R,
          1,
          loop<R, 1, false>,
          {streams<R, 1, 4, 128, 512>, streams<R, 1, 2, 128, 0>, streams<R, 1, 2, 4096, 0>}};
}

constexpr StreamLoop kLoops[] = {
    {1,
     0,
     loop<1, 0, false>,
     {streams<1, 0, 8, 128, 512>, streams<1, 0, 4, 128, 256>, streams<1, 0, 4, 2048, 0>}},
    {0, 1, loop<0, 1, false>, {loop<0, 1, true>}},
    {1, 1, loop<1, 1, false>, {loop<1, 1, true>}},
    {1, 2, loop<1, 2, false>, {loop<1, 2, true>}},
    {1, 4, loop<1, 4, false>, {loop<1, 4, true>}},
    {1, 8, loop<1, 8, false>, {loop<1, 8, true>}},
    narrowing<2>(),
    narrowing<4>(),
    narrowing<8>(),
    narrowing<16>(),
};
constexpr std::size_t kLoopCount = sizeof kLoops / sizeof kLoops[0];

}  // namespace
}  // namespace qb::limits
