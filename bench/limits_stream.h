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

/// A pure read as four streams a quarter of the buffer apart, prefetched: beyond the caches it
/// keeps more lines in flight than one stream does.
void read_interleaved(const void* src, void*, std::size_t steps) {
  constexpr std::size_t ahead = 1024 / sizeof(V);
  const std::size_t quarter = steps / 4;
  const V* in = static_cast<const V*>(src);
  V sum[4] = {};
  for (std::size_t i = 0; i < quarter; i += 4) {
    for (int s = 0; s < 4; ++s) {
      const V* at = in + std::size_t(s) * quarter + i;
      for (std::size_t line = 0; line < 4 * sizeof(V); line += 64)
        __builtin_prefetch(reinterpret_cast<const char*>(at + ahead) + line);
      sum[s] = join(join(join(sum[s], load(at)), join(load(at + 1), load(at + 2))), load(at + 3));
    }
    __asm__ volatile("" ::: "memory");
  }
  keep(join(join(sum[0], sum[1]), join(sum[2], sum[3])));
}

constexpr StreamLoop kLoops[] = {
    {1, 0, loop<1, 0, false>, read_interleaved}, {0, 1, loop<0, 1, false>, loop<0, 1, true>},
    {1, 1, loop<1, 1, false>, loop<1, 1, true>}, {1, 2, loop<1, 2, false>, loop<1, 2, true>},
    {1, 4, loop<1, 4, false>, loop<1, 4, true>}, {1, 8, loop<1, 8, false>, loop<1, 8, true>},
    {2, 1, loop<2, 1, false>, loop<2, 1, true>}, {4, 1, loop<4, 1, false>, loop<4, 1, true>},
    {8, 1, loop<8, 1, false>, loop<8, 1, true>},
};
constexpr std::size_t kLoopCount = sizeof kLoops / sizeof kLoops[0];

}  // namespace
}  // namespace qb::limits
