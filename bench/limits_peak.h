// SPDX-License-Identifier: Apache-2.0
// How an arithmetic peak is run: chains of one instruction that wait for nothing but themselves.
#pragma once

#include <cstddef>

#if defined(__x86_64__)
#define QB_VECTOR_REGISTER "x"
#else
#define QB_VECTOR_REGISTER "w"
#endif

namespace qb::limits {
namespace {

/// Of NEON's peaks: four pipes of four cycles' latency.
[[maybe_unused]] constexpr int kNeonChains = 16;

/// Hides the value of x from the compiler, which then can't move products of x out of a loop.
template <class X>
[[maybe_unused]] inline __attribute__((always_inline)) void hide(X& x) {
  __asm__ volatile("" : "+" QB_VECTOR_REGISTER(x));
}

/// `rounds` times v = step(v, x) for each of kChains accumulators, which stay in registers.
template <int kChains, class A, class X, class Step>
[[maybe_unused]] inline __attribute__((always_inline)) void chains(std::size_t rounds, A start, X x,
                                                                   Step step) {
  A a[kChains];
  for (A& v : a) v = start;
  for (std::size_t i = 0; i < rounds; ++i)
    for (A& v : a) {
      hide(x);
      v = step(v, x);
    }
  for (A& v : a) hide(v);
}

}  // namespace
}  // namespace qb::limits
