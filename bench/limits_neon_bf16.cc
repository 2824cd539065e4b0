// SPDX-License-Identifier: Apache-2.0
// Limits of the NEON bfloat16 level: BFMMLA, a 2x4 by 4x2 product summed in f32 an instruction.
#include <arm_neon.h>

#include "limits_kernels.h"
#include "limits_peak.h"

namespace qb::limits {
namespace {

double bf16_peak(std::size_t rounds) {
  chains<kNeonChains>(rounds, vdupq_n_f32(1.0f), vreinterpretq_bf16_u16(vdupq_n_u16(0x3f7f)),
                      [](float32x4_t sum, bfloat16x8_t x) { return vbfmmlaq_f32(sum, x, x); });
  return kNeonChains * 16 * 2;
}

}  // namespace

extern const LimitKernels limits_neon_bf16{.isa = "neon_bf16", .bf16_peak = bf16_peak};
}  // namespace qb::limits
