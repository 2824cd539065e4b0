// SPDX-License-Identifier: Apache-2.0
// Short runs in portable variants: as many as a vector has lanes are reduced at once, so that none
// is reduced alone, through memory, and one division serves them all.
#pragma once

#include "core/unroll.h"
#include "core/xsimd.h"

namespace qb {
namespace {

/// Lane i: op over the lanes of v[i], which is used up. A transpose that keeps only results.
template <class Op>
inline batch<float> reduce_lanes(batch<float> (&v)[batch<float>::size], const Op& op) {
  using V = batch<float>;
  // Zipping i with i + half each time leaves v[i] in lane i.
  std::size_t half = V::size / 2;
#if defined(QB_XSIMD_avx2)
  // What a zip of 256 bits means changed between xsimd's versions: join the halves first, then zip
  // within them.
  for (std::size_t i = 0; i < half; ++i)
    v[i] = op(V(_mm256_permute2f128_ps(v[i], v[i + half], 0x20)),
              V(_mm256_permute2f128_ps(v[i], v[i + half], 0x31)));
  half /= 2;
  for (; half; half /= 2)
    for (std::size_t i = 0; i < half; ++i)
      v[i] = op(V(_mm256_unpacklo_ps(v[i], v[i + half])), V(_mm256_unpackhi_ps(v[i], v[i + half])));
#else
  for (; half; half /= 2)
    for (std::size_t i = 0; i < half; ++i)
      v[i] = op(xsimd::zip_lo(v[i], v[i + half]), xsimd::zip_hi(v[i], v[i + half]));
#endif
  return v[0];
}

/// Lane i: the largest magnitude of the i'th run of len floats, a multiple of a vector's and not 0;
/// some number or other if one is NaN.
[[maybe_unused]] inline batch<float> absmax_of_lanes(const float* x, std::size_t len) {
  using V = batch<float>;
  V largest[V::size];
  for (V& v : largest) v = V(0.0f);
  for (std::size_t j = 0; j < len; j += V::size)
    QB_UNROLL for (std::size_t i = 0; i < V::size; ++i) largest[i] =
        xsimd::max(largest[i], xsimd::abs(V::load_unaligned(x + i * len + j)));
  return reduce_lanes(largest, [](const V& a, const V& b) { return xsimd::max(a, b); });
}

/// The correctly rounded quotient: xsimd 8.1 divides floats on NEON by an estimate and Newton
/// steps.
[[maybe_unused]] inline batch<float> quotient(const batch<float>& a, const batch<float>& b) {
#if defined(QB_XSIMD_neon)
  return batch<float>(vdivq_f32(a, b));
#else
  return a / b;
#endif
}

/// v, or 0 where it is not finite.
[[maybe_unused]] inline batch<float> finite_or_zero(const batch<float>& v) {
  return xsimd::select(xsimd::abs(v) <= batch<float>(0x1.fffffep127f), v, batch<float>(0.0f));
}

}  // namespace
}  // namespace qb
