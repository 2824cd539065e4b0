// SPDX-License-Identifier: Apache-2.0
// s8 of f16, NEON with half arithmetic (armv8.2-a+fp16): eight elements a vector and no conversion.
// The products are the notebook's f16(x*inv) as they come.
//
//   quantize    FMUL, FADD of 1536: the sum keeps no fraction, and its low byte is the code
//   dequantize  ZIP puts the bytes into halves; division by FMUL with the reciprocal and one FMLS,
//               FMLA step
#include "core/neon.h"

#include "quantize/groups_neon.h"
#include "quantize/kernels.h"

#if !defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
#error "compile with the flags of cmake/Isa.cmake for neon_fp16"
#endif

namespace qb::quantize {
namespace {

inline float16x8_t splat(f16 h) { return vreinterpretq_f16_u16(vdupq_n_u16(std::uint16_t(h))); }
inline float16x8_t load8(const f16* x) { return vreinterpretq_f16_u8(vld1q_u8(bytes(x))); }

inline void codes16(const f16* x, float16x8_t inv, std::int8_t* q) {
  const float16x8_t magic = vdupq_n_f16(1536);
  const float16x8_t a = vaddq_f16(vmulq_f16(load8(x), inv), magic);
  const float16x8_t b = vaddq_f16(vmulq_f16(load8(x + 8), inv), magic);
  vst1q_s8(q, vuzp1q_s8(vreinterpretq_s8_f16(a), vreinterpretq_s8_f16(b)));
}

inline void codes(const f16* x, std::size_t len, f16 factor, std::int8_t* q) {
  const float16x8_t inv = splat(factor);
  std::size_t j = 0;
  for (; j + 64 <= len; j += 64)
    for (std::size_t i = 0; i < 64; i += 16) codes16(x + j + i, inv, q + j + i);
  for (; j + 16 <= len; j += 16) codes16(x + j, inv, q + j);
  if (j == len) return;
  if (len >= 16)
    return codes16(x + len - 16, inv, q + len - 16);  // the last vector, some elements again
  const float wide = widened(factor);
  for (; j < len; ++j) q[j] = std::int8_t(vcvtns_s32_f32(widened(narrowed(widened(x[j]) * wide))));
}

/// Division by a half: the remainder of the first quotient is exact, and with it the second one is
/// rounded once. Below 2^-8 q/inv may overflow on the way, above 2^14 the reciprocal loses bits.
struct Quotient {
  float16x8_t inv, reciprocal;
  explicit Quotient(f16 h) : inv(splat(h)), reciprocal(splat(narrowed(1.0f / widened(h)))) {}
  static bool fits(float h) { return h > 0x1p-8f && h <= 0x1p14f; }
  float16x8_t of(float16x8_t v) const {
    const float16x8_t first = vmulq_f16(v, reciprocal);
    return vfmaq_f16(first, vfmsq_f16(v, first, inv), reciprocal);
  }
  void back16(const std::int8_t* q, f16* y) const {
    // Flipping the sign bit adds 128; the byte 0x64 above is the exponent of 1024.
    const uint8x16_t b = veorq_u8(vld1q_u8(bytes(q)), vdupq_n_u8(0x80)), top = vdupq_n_u8(0x64);
    const float16x8_t base = vdupq_n_f16(1024 + 128);
    const float16x8_t low = vsubq_f16(vreinterpretq_f16_u8(vzip1q_u8(b, top)), base);
    const float16x8_t high = vsubq_f16(vreinterpretq_f16_u8(vzip2q_u8(b, top)), base);
    vst1q_u8(bytes(y), vreinterpretq_u8_f16(of(low)));
    vst1q_u8(bytes(y + 8), vreinterpretq_u8_f16(of(high)));
  }
};

/// The same by any other half but 0, in f32. A product with the reciprocal rounds to the same f16
/// as the quotient. With q = Q, inv = I and a rounding boundary M as integers of 7, 11 and 12 bits,
/// q/inv is never on a boundary (M would divide Q) and differs from it by more than 2^-23 of
/// itself; the product is nearer than that.
struct WideQuotient {
  float32x4_t reciprocal;
  explicit WideQuotient(f16 h) : reciprocal(vdupq_n_f32(1.0f / widened(h))) {}
  void back16(const std::int8_t* q, f16* y) const {
    const Floats16 codes(vld1q_s8(q));
    for (unsigned i = 0; i < 4; ++i) store4(y + 4 * i, vmulq_f32(codes.v[i], reciprocal));
  }
};

template <class Q>
inline void back(const std::int8_t* q, std::size_t len, f16 inv, f16* y) {
  const Q quotient(inv);
  std::size_t j = 0;
  for (; j + 32 <= len; j += 32) {
    quotient.back16(q + j, y + j);
    quotient.back16(q + j + 16, y + j + 16);
  }
  if (j + 16 <= len) {
    quotient.back16(q + j, y + j);
    j += 16;
  }
  if (j == len) return;
  if (len >= 16)
    return quotient.back16(q + len - 16, y + len - 16);  // the last vector, some elements again
  for (; j < len; ++j) y[j] = narrowed(float(q[j]) / widened(inv));
}

}  // namespace

void quantize_f16_s8_neon_fp16(const f16* x, std::size_t groups, std::size_t len, std::int8_t* q,
                               f16* inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += len) {
    inv[i] = inverse_scale(x, len, 127);
    codes(x, len, inv[i], q);
  }
}

void dequantize_s8_f16_neon_fp16(const std::int8_t* q, std::size_t groups, std::size_t len,
                                 const f16* inv, f16* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) {
    const float divisor = widened(inv[i]);
    if (Quotient::fits(divisor)) {
      back<Quotient>(q, len, inv[i], y);
    } else if (divisor == 0.0f) {
      for (std::size_t j = 0; j < len; ++j) y[j] = f16(0);
    } else {
      back<WideQuotient>(q, len, inv[i], y);
    }
  }
}

}  // namespace qb::quantize
