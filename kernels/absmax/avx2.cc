// Absmax, AVX2. What binds; the shares of the limit that are reached are in results/.
//
//   one group       the loads, two of 32 bytes a cycle with an AND and a maximum each; beyond the
//                   caches memory, read as four interleaved streams.
//   groups of 32    the vector pipes in L1: reducing eight groups takes 21 (f32) or 25 (f16)
//                   operations on top of 56 or 24; memory from L2 outward.
#include "absmax/eights.h"

#include "absmax/kernels.h"
#include "core/stream.h"

namespace qb::absmax {
namespace {

constexpr std::size_t kStreams = 4, kPage = 4096, kLine = 64;

/// One group too large for the caches: four streams, a line of each in turn, keep more of the
/// memory's banks and of the core's prefetchers busy than one. Fetching ahead by instruction only
/// gets in their way (measured on a Zen 4).
template <class U>
inline float run_streams(const typename U::T* x, std::size_t len) {
  constexpr std::size_t lanes = U::lanes;
  // Not whole pages apart, or all streams would fall into one set of the first-level cache.
  const std::size_t bytes = len * sizeof *x / kStreams / kPage * kPage - 9 * kLine;
  const std::size_t stride = bytes / sizeof *x;
  __m256i a[kStreams];
  for (auto& v : a) v = _mm256_setzero_si256();
  for (std::size_t j = 0; j < stride; j += 2 * lanes)
    for (std::size_t i = 0; i < kStreams; ++i) {
      const auto* const line = x + i * stride + j;
      a[i] = U::max(a[i], U::max(U::magnitude(line), U::magnitude(line + lanes)));
    }
  for (std::size_t step = kStreams / 2; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = U::max(a[i], a[i + step]);
  const float rest = run<U>(x + kStreams * stride, len - kStreams * stride);
  const float most = U::reduce(a[0]);
  // As bits, for NaN: it is the largest.
  return __builtin_bit_cast(std::uint32_t, rest) > __builtin_bit_cast(std::uint32_t, most) ? rest
                                                                                           : most;
}

template <class U>
inline void all(const typename U::T* x, std::size_t groups, std::size_t len, float* out) {
  if (len * sizeof *x <= kShort) return short_groups<U>(x, groups, len, out);
  const bool far = len * sizeof *x >= kStreamBytes;
  for (std::size_t i = 0; i < groups; ++i)
    out[i] = far ? run_streams<U>(x + i * len, len) : run<U>(x + i * len, len);
}

}  // namespace

void absmax_f32_avx2(const float* x, std::size_t groups, std::size_t len, float* out) {
  all<U32>(x, groups, len, out);
}

void absmax_f16_avx2(const f16* x, std::size_t groups, std::size_t len, float* out) {
  all<U16>(x, groups, len, out);
}

}  // namespace qb::absmax
