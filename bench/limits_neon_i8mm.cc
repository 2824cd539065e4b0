// Limits of the NEON matrix level: SMMLA, a 2x8 by 8x2 product of bytes an instruction.
#include "limits_neon.h"

namespace qb::limits {
namespace {

double int8_peak(std::size_t rounds) {
  int32x4_t a[kChains];
  for (auto& v : a) v = vdupq_n_s32(0);
  int8x16_t x = vdupq_n_s8(3);
  for (std::size_t i = 0; i < rounds; ++i)
    for (auto& v : a) {
      __asm__ volatile("" : "+w"(x));
      v = vmmlaq_s32(v, x, x);
    }
  for (auto& v : a) __asm__ volatile("" ::"w"(v));
  return kChains * 32 * 2;
}

}  // namespace

// Nibbles cost what bytes cost: there is no faster product of them.
extern const LimitKernels limits_neon_i8mm{"neon_i8mm", sizeof(V), kLoops,   kLoopCount,
                                           f32_peak,    int8_peak, int8_peak};
}  // namespace qb::limits
