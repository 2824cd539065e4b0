// Limits of the architecture's baseline: SSE2 on x86-64, NEON on AArch64.
#include "limits_kernels.h"

#if defined(__x86_64__)
#include "limits_sse.h"

namespace qb::limits {
namespace {

// pmaddwd + paddd: eight 16-bit products a vector, the widest integer dot product of SSE2.
double int8_peak(std::size_t rounds) {
  V a[8];
  for (auto& v : a) v = _mm_setzero_si128();
  V x = _mm_set1_epi16(3);
  for (std::size_t i = 0; i < rounds; ++i)
    for (auto& v : a) {
      __asm__ volatile("" : "+x"(x));
      v = _mm_add_epi32(v, _mm_madd_epi16(x, x));
    }
  for (auto& v : a) __asm__ volatile("" ::"x"(v));
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
  int32x4_t a[8];
  for (auto& v : a) v = vdupq_n_s32(0);
  int8x16_t x = vdupq_n_s8(3);
  for (std::size_t i = 0; i < rounds; ++i)
    for (auto& v : a) {
      __asm__ volatile("" : "+w"(x));
      int16x8_t p = vmull_s8(vget_low_s8(x), vget_low_s8(x));
      v = vpadalq_s16(v, vmlal_high_s8(p, x, x));
    }
  for (auto& v : a) __asm__ volatile("" ::"w"(v));
  return 8 * 16 * 2;
}

// Eight products of nibbles and bytes fit 16 bits: smlal + smlal2 only, sadalp for the eighth.
double int4_peak(std::size_t rounds) {
  int32x4_t a[4];
  for (auto& v : a) v = vdupq_n_s32(0);
  int8x16_t x = vdupq_n_s8(3);
  for (std::size_t i = 0; i < rounds; ++i)
    for (auto& v : a) {
      int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(x)), high = vmull_high_s8(x, x);
      for (int product = 1; product < 8; ++product) {
        __asm__ volatile("" : "+w"(x));
        low = vmlal_s8(low, vget_low_s8(x), vget_low_s8(x));
        high = vmlal_high_s8(high, x, x);
      }
      v = vpadalq_s16(vpadalq_s16(v, low), high);
    }
  for (auto& v : a) __asm__ volatile("" ::"w"(v));
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
