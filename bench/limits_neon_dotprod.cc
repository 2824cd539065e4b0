// Limits of the NEON dot-product level: SDOT, sixteen 8-bit products an instruction.
#include "limits_neon.h"

namespace qb::limits {
namespace {

double int8_peak(std::size_t rounds) {
  chains<kChains>(rounds, vdupq_n_s32(0), vdupq_n_s8(3),
                  [](int32x4_t sum, int8x16_t x) { return vdotq_s32(sum, x, x); });
  return kChains * 16 * 2;
}

}  // namespace

// Nibbles cost what bytes cost: there is no faster product of them.
extern const LimitKernels limits_neon_dotprod{"neon_dotprod", sizeof(V), kLoops,   kLoopCount,
                                              f32_peak,       int8_peak, int8_peak};
}  // namespace qb::limits
