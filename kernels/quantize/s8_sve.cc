// SPDX-License-Identifier: Apache-2.0
// s8, SVE.
//
//   quantize    FMUL; FADD of a number so large that the sum keeps no fraction. The sum rounds to
//   the
//               nearest integer, ties to even, which is its low byte; UZP1 gathers those. (FCVT has
//               half the rate of FADD or less.)
//   f16         The same in half arithmetic, whose product is the notebook's f16(x*inv).
//   dequantize  The same sum backwards: integer ADD, FSUB, FMUL.
//   f16 back    Division by FMUL with the reciprocal and one FMLS, FMLA step.
//
// No clip is written: |x| <= absmax makes |x*inv| at most 127 and two roundings, which is 127 after
// rounding to an integer. (Input that is not finite gives unspecified codes.)
#include "quantize/s8_sve.h"

#include "quantize/groups_sve.h"
#include "quantize/kernels.h"

namespace qb::quantize {
namespace {

inline void codes(const f16* x, std::size_t len, svfloat16_t inv, std::int8_t* q) {
  const std::size_t lanes = svcnth();
  const svbool_t all = svptrue_b8();
  std::size_t j = 0;
  for (; len - j >= 4 * lanes; j += 4 * lanes) {
    const f16* const at = x + j;
    svst1_s8(all, q + j, both(code(all, at, inv), code(all, at + lanes, inv)));
    svst1_s8(all, q + j + 2 * lanes,
             both(code(all, at + 2 * lanes, inv), code(all, at + 3 * lanes, inv)));
  }
  for (; j < len; j += lanes) {
    const svbool_t p = lanes16(j, len);
    svst1b_s16(p, q + j, code(p, x + j, inv));
  }
}

struct Codes {
  static constexpr float kMost = 127;
  static std::size_t bytes(std::size_t len) { return len; }
  static void encode(const float* x, std::size_t len, svfloat32_t inv, std::int8_t* q) {
    codes<HalfToEven>(x, len, inv, q);
  }
};

// ---- back

inline svfloat16_t value16(svbool_t p, const std::int8_t* q) {
  const svbool_t all = svptrue_b16();
  const svint16_t sum = svadd_n_s16_x(all, svld1sb_s16(p, q), kHalfMagicBits);
  return svsub_n_f16_x(all, svreinterpret_f16_s16(sum), kHalfMagic);
}

template <class Y>
inline void back(const std::int8_t* q, std::size_t len, svfloat32_t factor, Y* y) {
  const std::size_t lanes = svcntw();
  const svbool_t all = svptrue_b32();
  std::size_t j = 0;
  for (; len - j >= 4 * lanes; j += 4 * lanes) {
    step(all, q + j, factor, y + j);
    step(all, q + j + lanes, factor, y + j + lanes);
    step(all, q + j + 2 * lanes, factor, y + j + 2 * lanes);
    step(all, q + j + 3 * lanes, factor, y + j + 3 * lanes);
  }
  for (; j < len; j += lanes) step(lanes32(j, len), q + j, factor, y + j);
}

/// q/inv rounded once: the remainder of the first quotient is exact, and with it the second one is
/// right. Not below 2^-8, where q/inv may overflow on the way, nor above 2^14, where the reciprocal
/// loses bits.
inline void quotients(svbool_t p, const std::int8_t* q, svfloat16_t inv, svfloat16_t reciprocal,
                      f16* y) {
  const svbool_t all = svptrue_b16();
  const svfloat16_t v = value16(p, q), first = svmul_f16_x(all, v, reciprocal);
  const svfloat16_t rest = svmls_f16_x(all, v, first, inv);
  svst1_u16(p, words(y), svreinterpret_u16_f16(svmla_f16_x(all, first, rest, reciprocal)));
}

inline void quotients(const std::int8_t* q, std::size_t len, f16 divisor, f16* y) {
  const std::size_t lanes = svcnth();
  const svbool_t all = svptrue_b16();
  const svfloat16_t inv = splat(divisor);
  const svfloat16_t reciprocal = splat(narrowed(1.0f / widened(divisor)));
  std::size_t j = 0;
  for (; len - j >= 2 * lanes; j += 2 * lanes) {
    quotients(all, q + j, inv, reciprocal, y + j);
    quotients(all, q + j + lanes, inv, reciprocal, y + j + lanes);
  }
  for (; j < len; j += lanes) quotients(lanes16(j, len), q + j, inv, reciprocal, y + j);
}

}  // namespace

void quantize_f32_s8_sve(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                         float* scale) {
  quantize_groups<Codes>(x, groups, len, q, scale);
}

void quantize_f32_s8g_sve(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                          f16* scale) {
  quantize_groups<Codes>(x, groups, len, q, scale);
}

void quantize_f16_s8_sve(const f16* x, std::size_t groups, std::size_t len, std::int8_t* q,
                         f16* inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += len) {
    inv[i] = inverse_scale(x, len, Codes::kMost);
    codes(x, len, splat(inv[i]), q);
  }
}

void dequantize_s8_f32_sve(const std::int8_t* q, std::size_t groups, std::size_t len,
                           const float* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len)
    back(q, len, svdup_n_f32(scale[i]), y);
}

void dequantize_s8g_f32_sve(const std::int8_t* q, std::size_t groups, std::size_t len,
                            const f16* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len)
    back(q, len, svdup_n_f32(widened(scale[i])), y);
}

void dequantize_s8_f16_sve(const std::int8_t* q, std::size_t groups, std::size_t len,
                           const f16* inv, f16* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) {
    const float divisor = widened(inv[i]);
    if (divisor > 0x1p-8f && divisor <= 0x1p14f) {
      quotients(q, len, inv[i], y);
    } else if (divisor == 0.0f) {
      for (std::size_t j = 0; j < len; j += svcnth())
        svst1_u16(lanes16(j, len), words(y + j), svdup_n_u16(0));
    } else {
      // A product with the reciprocal rounds to the same f16 as the quotient. With q = Q, inv = I
      // and a rounding boundary M as integers of 7, 11 and 12 bits, q/inv is never on a boundary (M
      // would divide Q) and differs from it by more than 2^-23 of itself; the product is nearer.
      back(q, len, svdup_n_f32(1.0f / divisor), y);
    }
  }
}

}  // namespace qb::quantize
