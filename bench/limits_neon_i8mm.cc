// SPDX-License-Identifier: Apache-2.0
// Limits of the NEON matrix level: SMMLA, a 2x8 by 8x2 product of bytes an instruction.
#include <arm_neon.h>

#include "limits_kernels.h"
#include "limits_peak.h"

namespace qb::limits {
namespace {

double int8_peak(std::size_t rounds) {
  chains<kNeonChains>(rounds, vdupq_n_s32(0), vdupq_n_s8(3),
                      [](int32x4_t sum, int8x16_t x) { return vmmlaq_s32(sum, x, x); });
  return kNeonChains * 32 * 2;
}

}  // namespace

extern const LimitKernels limits_neon_i8mm{
    .isa = "neon_i8mm", .int8_peak = int8_peak, .int4_peak = int8_peak};
}  // namespace qb::limits
