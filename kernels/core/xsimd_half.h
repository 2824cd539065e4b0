// SPDX-License-Identifier: Apache-2.0
// binary16, which xsimd lacks, in portable variants: core/scalar_half.h's arithmetic on batches.
// Signed throughout: magnitudes are not negative, and signed comparisons are single instructions
// everywhere.
#pragma once

#include "core/xsimd.h"

namespace qb {
namespace {

/// The bits of floats from zero-extended halves, as f16_to_f32.
[[maybe_unused]] inline batch<std::int32_t> half_to_float(const batch<std::int32_t>& h) {
  using Int = batch<std::int32_t>;
  using Float = batch<float>;
  const Int m = h & Int(0x7fff);
  const Int rebiased = (m << 13) + Int(0x38000000);  // exponent + (127 - 15)
  const Int subnormal =
      bitwise<std::int32_t>(bitwise<float>((m << 13) + Int(0x38800000)) - Float(0x1p-14f));
  const Int quiet = xsimd::select(m > Int(0x7c00), Int(0x400000), Int(0));
  const Int special = (rebiased + Int(0x38000000)) | quiet;
  const Int magnitude =
      xsimd::select(m < Int(0x400), subnormal, xsimd::select(m < Int(0x7c00), rebiased, special));
  return magnitude | ((h << 16) & Int(std::int32_t(0x80000000u)));
}

}  // namespace
}  // namespace qb
