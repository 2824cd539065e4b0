// Limits of the NEON matrix level: SMMLA, a 2x8 by 8x2 product of bytes an instruction.
#include "limits_neon.h"

namespace qb::limits {
namespace {

double int8_peak(std::size_t rounds) {
  chains<kChains>(rounds, vdupq_n_s32(0), vdupq_n_s8(3),
                  [](int32x4_t sum, int8x16_t x) { return vmmlaq_s32(sum, x, x); });
  return kChains * 32 * 2;
}

}  // namespace

// Nibbles cost what bytes cost: there is no faster product of them.
extern const LimitKernels limits_neon_i8mm{"neon_i8mm", sizeof(V), kLoops,   kLoopCount,
                                           f32_peak,    int8_peak, int8_peak};
}  // namespace qb::limits
