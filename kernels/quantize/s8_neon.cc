// SPDX-License-Identifier: Apache-2.0
// s8, NEON (armv8-a).
//
//   quantize    FMUL; FADD of a number so large that the sum keeps no fraction; UZP1 gathers low
//               bytes. A pairwise maximum reduces four groups to one vector, so that one division
//               serves them all.
//   f16         Two FMAs round the products to the precision of f16.
//   dequantize  The same sum backwards: SXTL, SADDW, FSUB, FMUL.
//
// No clip is written: |x| <= absmax makes |x*inv| at most 127 and two roundings, which is 127 after
// rounding to an integer. (Input that is not finite gives unspecified codes.)
#include "quantize/s8_neon.h"

#include "quantize/groups_neon.h"
#include "quantize/kernels.h"

namespace qb::quantize {
namespace {

template <class Rounding, class T>
inline void codes(const T* x, std::size_t len, float factor, std::int8_t* q) {
  const float32x4_t inv = vdupq_n_f32(factor);
  std::size_t j = 0;
  for (; j + 32 <= len; j += 32) {
    codes16<Rounding>(x + j, inv, q + j);
    codes16<Rounding>(x + j + 16, inv, q + j + 16);
  }
  if (j + 16 <= len) {
    codes16<Rounding>(x + j, inv, q + j);
    j += 16;
  }
  if (j == len) return;
  if (len >= 16)
    return codes16<Rounding>(x + len - 16, inv,
                             q + len - 16);  // the last vector, some elements again
  for (; j < len; ++j) q[j] = std::int8_t(Rounding::round(load1(x + j) * factor));
}

struct Codes {
  static constexpr float kMost = 127;
  static std::size_t bytes(std::size_t len) { return len; }
  static void encode(const float* x, std::size_t len, float inv, std::int8_t* q) {
    codes<HalfToEven>(x, len, inv, q);
  }
};

template <class Y>
inline void back(const std::int8_t* q, std::size_t len, float factor, Y* y) {
  const float32x4_t scale = vdupq_n_f32(factor);
  std::size_t j = 0;
  for (; j + 32 <= len; j += 32) {
    back16(q + j, scale, y + j);
    back16(q + j + 16, scale, y + j + 16);
  }
  if (j + 16 <= len) {
    back16(q + j, scale, y + j);
    j += 16;
  }
  if (j == len) return;
  if (len >= 16)
    return back16(q + len - 16, scale, y + len - 16);  // the last vector, some elements again
  for (; j < len; ++j) store1(y + j, float(q[j]) * factor);
}

}  // namespace

void quantize_f32_s8_neon(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                          float* scale) {
  quantize_groups<Codes>(x, groups, len, q, scale);
}

void quantize_f32_s8g_neon(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                           f16* scale) {
  quantize_groups<Codes>(x, groups, len, q, scale);
}

void quantize_f16_s8_neon(const f16* x, std::size_t groups, std::size_t len, std::int8_t* q,
                          f16* inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += len) {
    inv[i] = inverse_scale(x, len, Codes::kMost);
    codes<ThroughF16>(x, len, widened(inv[i]), q);
  }
}

void dequantize_s8_f32_neon(const std::int8_t* q, std::size_t groups, std::size_t len,
                            const float* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) back(q, len, scale[i], y);
}

void dequantize_s8g_f32_neon(const std::int8_t* q, std::size_t groups, std::size_t len,
                             const f16* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) back(q, len, widened(scale[i]), y);
}

void dequantize_s8_f16_neon(const std::int8_t* q, std::size_t groups, std::size_t len,
                            const f16* inv, f16* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) {
    // A product with the reciprocal rounds to the same f16 as the quotient. With q = Q, inv = I and
    // a rounding boundary M as integers of 7, 11 and 12 bits, q/inv is never on a boundary (M would
    // divide Q) and differs from it by more than 2^-23 of itself; the product is nearer than that.
    const float divisor = widened(inv[i]);
    if (divisor == 0.0f)
      for (std::size_t j = 0; j < len; ++j) y[j] = f16(0);
    else
      back(q, len, 1.0f / divisor, y);
  }
}

}  // namespace qb::quantize
