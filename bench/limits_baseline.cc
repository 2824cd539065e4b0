// Limits of the architecture's baseline: SSE2 on x86-64, NEON on AArch64.
#include "limits_kernels.h"

#if defined(__x86_64__)
#include "limits_sse.h"

namespace qb::limits {
namespace {

// pmaddwd + paddd: eight 16-bit products a vector, the widest integer dot product of SSE2.
double int8_peak(std::size_t rounds) {
  chains<8>(rounds, _mm_setzero_si128(), _mm_set1_epi16(3),
            [](V sum, V x) { return _mm_add_epi32(sum, _mm_madd_epi16(x, x)); });
  return 8 * 8 * 2;
}

// SSE2 multiplies no bytes: nibbles cost what bytes cost.
double int4_peak(std::size_t rounds) { return int8_peak(rounds); }

}  // namespace
}  // namespace qb::limits

#elif defined(__aarch64__)
#include "limits_neon.h"

namespace qb::limits {
namespace {

// smull + smlal2 + sadalp: sixteen 8-bit products without the dot-product extension.
double int8_peak(std::size_t rounds) {
  chains<8>(rounds, vdupq_n_s32(0), vdupq_n_s8(3), [](int32x4_t sum, int8x16_t x) {
    const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(x));
    return vpadalq_s16(sum, vmlal_high_s8(low, x, x));
  });
  return 8 * 16 * 2;
}

// Eight products of nibbles and bytes fit 16 bits: smlal + smlal2 only, sadalp for the eighth.
double int4_peak(std::size_t rounds) {
  chains<4>(rounds, vdupq_n_s32(0), vdupq_n_s8(3), [](int32x4_t sum, int8x16_t& x) {
    int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(x)), high = vmull_high_s8(x, x);
    for (int product = 1; product < 8; ++product) {
      hide(x);
      low = vmlal_s8(low, vget_low_s8(x), vget_low_s8(x));
      high = vmlal_high_s8(high, x, x);
    }
    return vpadalq_s16(vpadalq_s16(sum, low), high);
  });
  return 4 * 8 * 16 * 2;
}

}  // namespace
}  // namespace qb::limits
#else
#error "limits_baseline.cc knows x86-64 and AArch64"
#endif

namespace qb::limits {
extern const LimitKernels limits_baseline{"baseline", sizeof(V), kLoops,   kLoopCount,
                                          f32_peak,   int8_peak, int4_peak};
}  // namespace qb::limits
