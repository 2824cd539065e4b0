// SPDX-License-Identifier: Apache-2.0
// Absmax, NEON (armv8-a). Integer maximum over the bits with the sign cleared. UMAXV reduces a long
// group; short ones go several at a time through a tree of UMAXP, which joins two vectors in one.
#include "core/neon.h"
#include "absmax/kernels.h"

namespace qb::absmax {
namespace {

constexpr std::size_t kShort = 1024;  // bytes; from there on a group hides its own reduction

/// kLen: len where it is known, else 0.
template <std::size_t kLen>
inline void at_once(const float* x, std::size_t groups, std::size_t len, float* out) {
  const std::size_t n = kLen ? kLen : len;
  for (; groups >= 4; groups -= 4, x += 4 * n, out += 4) vst1q_f32(out, absmax_of_4(x, n));
  for (; groups; --groups, x += n, ++out) *out = absmax_of_1(x, n);
}

/// Eight halves in a vector: eight groups at a time.
template <std::size_t kLen>
inline void at_once(const f16* x, std::size_t groups, std::size_t len, float* out) {
  const std::size_t n = kLen ? kLen : len;
  for (; groups >= 8; groups -= 8, x += 8 * n, out += 8) {
    const uint16x8_t low = largest_of_4<Magnitudes16>(x, n);
    const uint16x8_t high = largest_of_4<Magnitudes16>(x + 4 * n, n);
    const float16x8_t all = vreinterpretq_f16_u16(vpmaxq_u16(low, high));
    vst1q_f32(out, vcvt_f32_f16(vget_low_f16(all)));
    vst1q_f32(out + 4, vcvt_high_f32_f16(all));
  }
  for (; groups; --groups, x += n, ++out) *out = absmax_of_1(x, n);
}

template <class T>
inline void all(const T* x, std::size_t groups, std::size_t len, float* out) {
  constexpr std::size_t lanes = 16 / sizeof *x;
  if (len == 32) {
    at_once<32>(x, groups, len, out);
  } else if (len >= lanes && len * sizeof *x <= kShort) {
    at_once<0>(x, groups, len, out);
  } else {
    for (std::size_t i = 0; i < groups; ++i) out[i] = absmax_of_1(x + i * len, len);
  }
}

}  // namespace

void absmax_f32_neon(const float* x, std::size_t groups, std::size_t len, float* out) {
  all(x, groups, len, out);
}

void absmax_f16_neon(const f16* x, std::size_t groups, std::size_t len, float* out) {
  all(x, groups, len, out);
}

}  // namespace qb::absmax
