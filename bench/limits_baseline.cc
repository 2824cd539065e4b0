// SPDX-License-Identifier: Apache-2.0
// Limits of the architecture's baseline: SSE2 on x86-64, NEON on AArch64.
#if defined(__x86_64__)
#include <emmintrin.h>

#include "limits_kernels.h"

namespace qb::limits {
namespace {
using V = __m128i;
inline V load(const V* p) { return _mm_load_si128(p); }
inline void store(V* p, V v) { _mm_store_si128(p, v); }
inline void stream(V* p, V v) { _mm_stream_si128(p, v); }
inline void fence() { _mm_sfence(); }
inline void keep(V v) { __asm__ volatile("" ::"x"(v)); }
}  // namespace
}  // namespace qb::limits

#include "limits_peak.h"
#include "limits_stream.h"

namespace qb::limits {
namespace {

double f32_peak(std::size_t rounds) {
  chains<8>(rounds, _mm_set1_ps(1.0f), _mm_set1_ps(0.999f),
            [](__m128 sum, __m128 x) { return _mm_add_ps(sum, _mm_mul_ps(x, x)); });
  return 8 * 4 * 2;
}

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
#include <arm_neon.h>

#include <cstdint>

#include "limits_kernels.h"

namespace qb::limits {
namespace {
using V = uint8x16_t;
inline V load(const V* p) { return vld1q_u8(reinterpret_cast<const std::uint8_t*>(p)); }
inline void store(V* p, V v) { vst1q_u8(reinterpret_cast<std::uint8_t*>(p), v); }
inline void stream(V* p, V v) { store(p, v); }
inline void fence() {}
inline void keep(V v) { __asm__ volatile("" ::"w"(v)); }
}  // namespace
}  // namespace qb::limits

#include "limits_peak.h"
#include "limits_stream.h"

namespace qb::limits {
namespace {

double f32_peak(std::size_t rounds) {
  chains<kNeonChains>(rounds, vdupq_n_f32(1.0f), vdupq_n_f32(0.999f),
                      [](float32x4_t sum, float32x4_t x) { return vfmaq_f32(sum, x, x); });
  return kNeonChains * 4 * 2;
}

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
extern const LimitKernels limits_baseline{.isa = "baseline",
                                          .step_bytes = sizeof(V),
                                          .loops = kLoops,
                                          .loop_count = kLoopCount,
                                          .f32_peak = f32_peak,
                                          .int8_peak = int8_peak,
                                          .int4_peak = int4_peak};
}  // namespace qb::limits
