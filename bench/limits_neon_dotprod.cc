// SPDX-License-Identifier: Apache-2.0
// Limits of the NEON dot-product level: SDOT, sixteen 8-bit products an instruction.
#include <arm_neon.h>

#include "limits_kernels.h"
#include "limits_peak.h"

namespace qb::limits {
namespace {

double int8_peak(std::size_t rounds) {
  chains<kNeonChains>(rounds, vdupq_n_s32(0), vdupq_n_s8(3),
                      [](int32x4_t sum, int8x16_t x) { return vdotq_s32(sum, x, x); });
  return kNeonChains * 16 * 2;
}

}  // namespace

extern const LimitKernels limits_neon_dotprod{
    .isa = "neon_dotprod", .int8_peak = int8_peak, .int4_peak = int8_peak};
}  // namespace qb::limits
