// SPDX-License-Identifier: Apache-2.0
// Quantization of groups of len elements, each with its own scale, SVE. `Codes` brings
//
//   kMost                    the largest code
//   bytes(len)               the bytes of len codes
//   encode(x, len, inv, q)   writes len elements times inv, as codes
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/sve.h"

namespace qb::quantize {
namespace {

template <class Codes, class Q, class S>
[[maybe_unused]] inline void quantize_groups(const float* x, std::size_t groups, std::size_t len,
                                             Q* q, S* scale) {
  constexpr std::size_t kShort = 256;  // longer groups hide their reductions and divisions
  const svbool_t four = first4();
  const std::size_t bytes = Codes::bytes(len);
  if (len <= kShort)
    for (; groups >= 4; groups -= 4, scale += 4) {
      const svfloat32_t most = absmax_of_4(x, len), largest = svdup_n_f32(Codes::kMost);
      const svfloat32_t inv = finite_or_zero(svdiv_f32_x(four, largest, most));
      const svfloat32_t used = svdiv_f32_x(four, most, largest);
      store4(scale, svsel_f32(svcmpne_n_f32(four, inv, 0), used, svdup_n_f32(0)));
      for (std::uint32_t i = 0; i < 4; ++i, x += len, q += bytes)
        Codes::encode(x, len, svdup_lane_f32(inv, i), q);
    }
  for (std::size_t i = 0; i < groups; ++i, x += len, q += bytes) {
    const float most = absmax_of_1(x, len), inv = finite_or_zero(Codes::kMost / most);
    store1(scale + i, inv != 0.0f ? most / Codes::kMost : 0.0f);
    Codes::encode(x, len, svdup_n_f32(inv), q);
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
