// SPDX-License-Identifier: Apache-2.0
// Float conversions, NEON (armv8-a). FCVTL and FCVTN are baseline, and convert between binary16 and
// binary32 whatever FPCR.FZ and FPCR.FZ16 say; bfloat16 is integer arithmetic, ADDHN rounding and
// narrowing in one. Unrolled by four vectors of eight, for the latency of the conversions is
// longer than the queues of the small cores.
#include "convert/neon.h"

#include "core/scalar_half.h"

namespace qb::convert {
namespace {

// Through bytes: the only element type that may alias all others and needs no alignment.
inline uint16x8_t load16(const void* p) {
  return vreinterpretq_u16_u8(vld1q_u8(static_cast<const std::uint8_t*>(p)));
}
inline void store(void* p, uint16x8_t v) {
  vst1q_u8(static_cast<std::uint8_t*>(p), vreinterpretq_u8_u16(v));
}
inline void store(void* p, uint32x4_t v) {
  vst1q_u8(static_cast<std::uint8_t*>(p), vreinterpretq_u8_u32(v));
}

inline void eight(const f16* x, float* y) {
  const float16x8_t h = vreinterpretq_f16_u16(load16(x));
  store(y, vreinterpretq_u32_f32(vcvt_f32_f16(vget_low_f16(h))));
  store(y + 4, vreinterpretq_u32_f32(vcvt_high_f32_f16(h)));
}

inline void eight(const float* x, f16* y) {
  const float16x4_t low = vcvt_f16_f32(vreinterpretq_f32_u32(load32(x)));
  store(y, vreinterpretq_u16_f16(vcvt_high_f16_f32(low, vreinterpretq_f32_u32(load32(x + 4)))));
}

inline void eight(const bf16* x, float* y) {
  const uint16x8_t h = load16(x);
  const uint16x8_t nan = vcgtq_u16(vandq_u16(h, vdupq_n_u16(0x7fff)), vdupq_n_u16(0x7f80));
  const uint16x8_t quiet = vorrq_u16(h, vandq_u16(nan, vdupq_n_u16(0x40)));
  store(y, vshll_n_u16(vget_low_u16(quiet), 16));
  store(y + 4, vshll_high_n_u16(quiet, 16));
}

inline void eight(const float* x, bf16* y) {
  const uint32x4_t a = load32(x), b = load32(x + 4);
  // 0x7fff and the last bit that stays: ties to even.
  const uint32x4_t half = vdupq_n_u32(0x7fff);
  const uint32x4_t a_half = vsraq_n_u32(half, vshlq_n_u32(a, 15), 31);
  const uint32x4_t b_half = vsraq_n_u32(half, vshlq_n_u32(b, 15), 31);
  const uint16x8_t rounded = vaddhn_high_u32(vaddhn_u32(a, a_half), b, b_half);
  const uint16x8_t top = vuzp2q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
  const float32x4_t a_value = vreinterpretq_f32_u32(a), b_value = vreinterpretq_f32_u32(b);
  const uint16x8_t number = vuzp1q_u16(vreinterpretq_u16_u32(vceqq_f32(a_value, a_value)),
                                       vreinterpretq_u16_u32(vceqq_f32(b_value, b_value)));
  store(y, vbslq_u16(number, rounded, vorrq_u16(top, vdupq_n_u16(0x40))));
}

inline void one(f16 x, float* y) { *y = f16_to_f32(x); }
inline void one(float x, f16* y) { *y = f32_to_f16(x); }
inline void one(bf16 x, float* y) { *y = bf16_to_f32(x); }
inline void one(float x, bf16* y) { *y = f32_to_bf16(x); }

template <class In, class Out>
inline void run(const In* x, std::size_t n, Out* y) {
  in_eights(
      x, n, y, [](const In* from, Out* to) { eight(from, to); },
      [](In from, Out* to) { one(from, to); });
}

}  // namespace

void convert_f16_f32_neon(const f16* x, std::size_t n, float* y) { run(x, n, y); }

void convert_f32_f16_neon(const float* x, std::size_t n, f16* y) { run(x, n, y); }

void convert_bf16_f32_neon(const bf16* x, std::size_t n, float* y) { run(x, n, y); }

void convert_f32_bf16_neon(const float* x, std::size_t n, bf16* y) { run(x, n, y); }

}  // namespace qb::convert
