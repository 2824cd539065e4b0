// SPDX-License-Identifier: Apache-2.0
// Quantization of groups of len elements, each with its own scale, NEON. `Codes` brings
//
//   kMost                    the largest code
//   bytes(len)               the bytes of len codes
//   encode(x, len, inv, q)   writes len elements times inv, as codes
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/neon.h"

namespace qb::quantize {
namespace {

/// Four groups at a time, as far as there are four; returns how many groups are done.
template <class Codes, class Q, class S>
[[maybe_unused]] inline std::size_t quantize_fours(const float* x, std::size_t groups,
                                                   std::size_t len, Q* q, S* scale) {
  for (std::size_t done = 0; done < groups / 4 * 4; done += 4) {
    const float32x4_t most = absmax_of_4(x, len), largest = vdupq_n_f32(Codes::kMost);
    const float32x4_t inv = finite_or_zero(vdivq_f32(largest, most));
    const uint32x4_t all = vreinterpretq_u32_f32(vdivq_f32(most, largest));
    store4(scale + done, vreinterpretq_f32_u32(vbicq_u32(all, vceqzq_f32(inv))));
    float factor[4];
    vst1q_f32(factor, inv);
    for (std::size_t i = 0; i < 4; ++i, x += len, q += Codes::bytes(len))
      Codes::encode(x, len, factor[i], q);
  }
  return groups / 4 * 4;
}

template <class Codes, class Q, class S>
[[maybe_unused]] inline void quantize_groups(const float* x, std::size_t groups, std::size_t len,
                                             Q* q, S* scale) {
  constexpr std::size_t kShort = 256;  // longer groups hide their reductions and divisions
  std::size_t done = 0;
  if (len == 32)  // a constant, without loops
    done = quantize_fours<Codes>(x, groups, 32, q, scale);
  else if (len >= 16 && len <= kShort)
    done = quantize_fours<Codes>(x, groups, len, q, scale);
  for (; done < groups; ++done) {
    const float* const group = x + done * len;
    const float most = absmax_of_1(group, len), inv = finite_or_zero(Codes::kMost / most);
    store1(scale + done, inv != 0.0f ? most / Codes::kMost : 0.0f);
    Codes::encode(group, len, inv, q + done * Codes::bytes(len));
  }
}

/// The notebook's inverse scale: what a group of f16 is multiplied with to give codes of `largest`
/// at most.
[[maybe_unused]] inline f16 inverse_scale(const f16* x, std::size_t len, float largest) {
  const float most = absmax_of_1(x, len), inv = largest / most;
  return narrowed(most == 0.0f ? 0.0f : inv < 65504.0f ? inv : 65504.0f);
}

}  // namespace
}  // namespace qb::quantize
