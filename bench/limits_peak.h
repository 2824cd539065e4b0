// SPDX-License-Identifier: Apache-2.0
// How an arithmetic peak is run: chains of one instruction that wait for nothing but themselves.
#pragma once

#include <cstddef>
#include <utility>

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

/// `rounds` times v = step(v, x) for each accumulator v. They are arguments and not an array, which
/// compilers store in each round: stores would bind instead of what is measured.
template <class X, class Step, class... A>
[[maybe_unused]] inline __attribute__((always_inline)) void run_chains(std::size_t rounds, X x,
                                                                       Step step, A... v) {
  for (std::size_t i = 0; i < rounds; ++i) ((hide(x), v = step(v, x)), ...);
  (hide(v), ...);
}
template <class A, class X, class Step, std::size_t... I>
[[maybe_unused]] inline __attribute__((always_inline)) void start_chains(
    std::size_t rounds, A start, X x, Step step, std::index_sequence<I...>) {
  run_chains(rounds, x, step, (static_cast<void>(I), start)...);
}

/// kChains accumulators that begin with `start`, in registers.
template <int kChains, class A, class X, class Step>
[[maybe_unused]] inline __attribute__((always_inline)) void chains(std::size_t rounds, A start, X x,
                                                                   Step step) {
  start_chains(rounds, start, x, step, std::make_index_sequence<kChains>{});
}

}  // namespace
}  // namespace qb::limits
