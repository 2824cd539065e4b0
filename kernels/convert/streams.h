// SPDX-License-Identifier: Apache-2.0
// How the x86 conversions go through arrays by their size: kNear, and past the caches.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "core/budgets.h"
#include "core/turns.h"

namespace qb::convert {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kNear = X86Budget::kNear;

/// A multiple of kBlock elements of an output too large for the caches; y at a cache line. Where
/// reading dominates in two places in turn; where writing does one is best.
template <class C>
inline std::size_t run_streams(const typename C::In* x, std::size_t n, typename C::Out* y) {
  constexpr std::size_t kStep = kTurnBytes / sizeof *x;
  const std::size_t done = n / kStep * kStep;
  const auto blocks = [=](std::size_t begin, std::size_t count) {
    for (std::size_t i = begin; i < begin + count; i += C::kBlock)
      C::template block<true>(x + i, y + i);
  };
  if constexpr (sizeof *x > sizeof *y)
    for_turns<kStep>(done, [=](std::size_t begin) { blocks(begin, kStep); });
  else
    blocks(0, done);
  _mm_sfence();
  return done;
}

}  // namespace
}  // namespace qb::convert
