// SPDX-License-Identifier: Apache-2.0
// The streaming loops behind LimitKernels, for a vector type V and its operations, which the
// including limits_<isa>.cc defines in an anonymous namespace before it includes this:
//   V load(const V*), void store(V*, V), void stream(V*, V), void fence(),
//   void keep(V)   (the value has to be in a register, and nothing more)
//
// A limit must be the best that anyone finds, so that nothing but the loads and stores of the
// pattern is in these loops: vectors that are read are kept, not combined, and what is stored is
// the first vector read.
#pragma once

#include "limits_kernels.h"

namespace qb::limits {
namespace {

enum class Store { ordinary, non_temporal };

/// One step at `in` and `out`; stores `value` where nothing is read.
template <int R, int W, Store kStore>
inline __attribute__((always_inline)) void one_step(const V* in, V* out, V value) {
  for (int r = 0; r < R; ++r) {
    const V read = load(in + r);
    if (r == 0 && W > 0)
      value = read;
    else
      keep(read);
  }
  for (int w = 0; w < W; ++w) {
    if constexpr (kStore == Store::non_temporal)
      stream(out + w, value);
    else
      store(out + w, value);
  }
}

/// In the order of the addresses, kUnroll steps an iteration.
template <int R, int W, Store kStore, int kUnroll>
void in_order(const void* src, void* dst, std::size_t steps, std::size_t repeats) {
  const V value = load(static_cast<const V*>(src));
  for (std::size_t repeat = 0; repeat < repeats; ++repeat) {
    const V* in = static_cast<const V*>(src);
    V* out = static_cast<V*>(dst);
    for (std::size_t i = 0; i < steps; i += kUnroll) {
#pragma GCC unroll 16
      for (int u = 0; u < kUnroll; ++u) one_step<R, W, kStore>(in + u * R, out + u * W, value);
      in += kUnroll * R;
      out += kUnroll * W;
      __asm__ volatile("" ::: "memory");
    }
  }
  if constexpr (kStore == Store::non_temporal) fence();
}

/// kPlaces places of the arrays take turns; a turn moves kTurn bytes of the wider side (source or
/// destination). The source is prefetched kAhead bytes ahead (0: not at all). The distance between
/// places is no multiple of a page, since they would share one set of L1. The rest of the arrays is
/// done in order.
template <int R, int W, Store kStore, int kPlaces, std::size_t kTurn, std::size_t kAhead>
void in_turns(const void* src, void* dst, std::size_t steps, std::size_t repeats) {
  constexpr int kTogether = 4;  // steps between prefetches
  constexpr std::size_t kWider = R > W ? R : W;
  constexpr std::size_t kWanted = kTurn / sizeof(V) / kWider / kTogether * kTogether;
  constexpr std::size_t kSteps = kWanted > kTogether ? kWanted : kTogether;  // of one turn
  constexpr std::size_t kShift = 9 * kSteps;
  const std::size_t part = steps / kPlaces / kSteps * kSteps;
  const std::size_t apart = part > 4 * kShift ? part - kShift : 0;
  const V* const in = static_cast<const V*>(src);
  V* const out = static_cast<V*>(dst);
  const V value = load(in);
  for (std::size_t repeat = 0; repeat < repeats; ++repeat) {
    for (std::size_t i = 0; i < apart; i += kSteps)
      for (std::size_t place = 0; place < kPlaces; ++place)
        for (std::size_t k = 0; k < kSteps; k += kTogether) {
          const std::size_t at = place * apart + i + k;
          if constexpr (kAhead > 0 && R > 0)
#pragma GCC unroll 16
            for (std::size_t line = 0; line < kTogether * R * sizeof(V); line += 64)
              __builtin_prefetch(reinterpret_cast<const char*>(in + at * R) + kAhead + line);
#pragma GCC unroll 4
          for (std::size_t u = 0; u < kTogether; ++u)
            one_step<R, W, kStore>(in + (at + u) * R, out + (at + u) * W, value);
          __asm__ volatile("" ::: "memory");
        }
    for (std::size_t at = kPlaces * apart; at < steps; ++at)
      one_step<R, W, kStore>(in + at * R, out + at * W, value);
  }
  if constexpr (kStore == Store::non_temporal) fence();
}

/// Patterns that write. Beyond the caches non-temporal stores win. On a Xeon of the 4th or 5th
/// generation turns make them another 1.1 to 1.3 times as fast: of 128 bytes at 4 places for one
/// read per write, at 2 or 8 places for more reads. On a Zen 4 prefetching the source helps. In L2
/// turns of whole pages are the best by a few percent.
template <int R, int W>
constexpr StreamLoop writing() {
  constexpr Store kNt = Store::non_temporal, kOrdinary = Store::ordinary;
  return {R,
          W,
          {in_order<R, W, kOrdinary, 8>, in_order<R, W, kOrdinary, 16>},
          {in_order<R, W, kNt, 8>, in_turns<R, W, kNt, 4, 128, 512>, in_turns<R, W, kNt, 4, 128, 0>,
           in_turns<R, W, kNt, 2, 128, 0>, in_turns<R, W, kNt, 8, 128, 0>,
           in_turns<R, W, kNt, 4, 128, 256>, in_turns<R, W, kNt, 4, 2048, 0>,
           in_turns<R, W, kNt, 2, 4096, 0>, in_turns<R, W, kOrdinary, 4, 4096, 0>}};
}

constexpr StreamLoop kLoops[] = {
    {1,
     0,
     {in_order<1, 0, Store::ordinary, 8>, in_order<1, 0, Store::ordinary, 16>},
     {in_turns<1, 0, Store::ordinary, 8, 128, 512>, in_turns<1, 0, Store::ordinary, 8, 128, 0>,
      in_turns<1, 0, Store::ordinary, 4, 128, 512>, in_turns<1, 0, Store::ordinary, 4, 128, 256>,
      in_turns<1, 0, Store::ordinary, 2, 128, 0>, in_turns<1, 0, Store::ordinary, 4, 2048, 0>,
      in_turns<1, 0, Store::ordinary, 4, 4096, 2048>, in_turns<1, 0, Store::ordinary, 8, 2048, 0>}},
    {0,
     1,
     {in_order<0, 1, Store::ordinary, 8>, in_order<0, 1, Store::ordinary, 16>},
     {in_order<0, 1, Store::non_temporal, 8>, in_turns<0, 1, Store::non_temporal, 4, 128, 0>,
      in_turns<0, 1, Store::non_temporal, 2, 4096, 0>,
      in_turns<0, 1, Store::ordinary, 4, 4096, 0>}},
    writing<1, 1>(),
    writing<1, 2>(),
    writing<1, 4>(),
    writing<1, 8>(),
    writing<2, 1>(),
    writing<4, 1>(),
    writing<8, 1>(),
    writing<16, 1>(),
};
constexpr std::size_t kLoopCount = sizeof kLoops / sizeof kLoops[0];

}  // namespace
}  // namespace qb::limits
