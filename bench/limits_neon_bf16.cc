// Limits of the NEON bfloat16 level: BFMMLA, a 2x4 by 4x2 product summed in f32 an instruction.
#include "limits_neon.h"

namespace qb::limits {
namespace {

double bf16_peak(std::size_t rounds) {
  chains<kChains>(rounds, vdupq_n_f32(1.0f), vreinterpretq_bf16_u16(vdupq_n_u16(0x3f7f)),
                  [](float32x4_t sum, bfloat16x8_t x) { return vbfmmlaq_f32(sum, x, x); });
  return kChains * 16 * 2;
}

}  // namespace

// Its level has no integer product of its own.
extern const LimitKernels limits_neon_bf16{"neon_bf16", sizeof(V), kLoops, kLoopCount,
                                           bf16_peak,   nullptr,   nullptr};
}  // namespace qb::limits
