// How the x86 conversions go through arrays too large for the caches.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <immintrin.h>

#include <cstddef>

namespace qb::convert {
namespace {

constexpr std::size_t kLine = 64, kPage = 4096;

/// A multiple of kBlock elements of an output too large for the caches; y at a cache line.
template <class C>
inline std::size_t run_streams(const typename C::In* x, std::size_t n, typename C::Out* y) {
  constexpr std::size_t page = C::kStreams * kPage / sizeof *y;
  // Not whole pages apart, or all streams would fall into one set of the first-level cache.
  const std::size_t stride =
      C::kStreams == 1 ? n / C::kBlock * C::kBlock : n / page * kPage / sizeof *y - 9 * C::kBlock;
  for (std::size_t i = 0; i < stride; i += C::kBlock)
    for (std::size_t s = 0; s < C::kStreams; ++s)
      C::template block<true>(x + s * stride + i, y + s * stride + i);
  _mm_sfence();
  return C::kStreams * stride;
}

}  // namespace
}  // namespace qb::convert
