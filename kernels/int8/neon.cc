// Int8 quantization, NEON (armv8-a).
//
//   quantize    FMUL, FADD of a number so large that the sum keeps no fraction, and UZP1 to gather
//               low bytes; q8_0 by FCVTAS, which rounds halves away from zero. A pairwise maximum
//               reduces four groups to one vector, so that one division serves them all
//   f16         the products are rounded to the precision of f16 by two FMAs
//   dequantize  the same sum backwards: SXTL, SADDW, FSUB, FMUL
//
// No clip is written anywhere: |x| <= absmax makes |x*inv| at most 127 and two roundings, which is
// 127 after rounding to an integer. (A non-finite input gives some code or other.)
#include "core/neon.h"

#include "int8/kernels.h"

namespace qb::int8 {
namespace {

// ---- rounding to integers, which are left in the low bytes

struct HalfToEven {
  static int32x4_t round(float32x4_t v) { return nearest(v); }
  static int round(float v) { return vcvtns_s32_f32(v); }
};

/// The notebook's: to f16 first. Adding 2^13 times the power of two below |v| leaves v its 11
/// significant bits, ties to even; below f16's normal numbers that is more than f16 keeps, and the
/// code 0 either way. That product is exact, so the FMAs round only the sum.
struct ThroughF16 {
  static int32x4_t round(float32x4_t v) {
    const float32x4_t power =
        vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), vdupq_n_u32(0xff800000u)));
    const float32x4_t shift = vdupq_n_f32(0x1p13f);
    return nearest(vfmsq_f32(vfmaq_f32(v, power, shift), power, shift));
  }
  static int round(float v) { return vcvtns_s32_f32(widened(narrowed(v))); }
};

/// q8_0's.
struct HalfAway {
  static int32x4_t round(float32x4_t v) { return vcvtaq_s32_f32(v); }
};

// ---- codes

template <class Rounding, class T>
inline void codes16(const T* x, float32x4_t inv, std::int8_t* q) {
  const auto word = [=](std::size_t j) { return Rounding::round(vmulq_f32(load4(x + j), inv)); };
  vst1q_s8(q, low_bytes(word(0), word(4), word(8), word(12)));
}

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
  if (len >= 16) return codes16<Rounding>(x + len - 16, inv, q + len - 16);  // some of them again
  for (; j < len; ++j) q[j] = std::int8_t(Rounding::round(load1(x + j) * factor));
}

struct Codes {
  static constexpr float kMost = 127;
  static std::size_t bytes(std::size_t len) { return len; }
  static void encode(const float* x, std::size_t len, float inv, std::int8_t* q) {
    codes<HalfToEven>(x, len, inv, q);
  }
};

inline void block(const float* x, BlockQ8_0* y, f16 d, float32x4_t id) {
  y->d = d;
  codes16<HalfAway>(x, id, y->qs);
  codes16<HalfAway>(x + 16, id, y->qs + 16);
}

// ---- back

template <class Y>
inline void back16(const std::int8_t* q, float32x4_t scale, Y* y) {
  const Floats16 codes(vld1q_s8(q));
  for (unsigned i = 0; i < 4; ++i) store4(y + 4 * i, vmulq_f32(codes.v[i], scale));
}

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
  if (len >= 16) return back16(q + len - 16, scale, y + len - 16);  // some of them again
  for (; j < len; ++j) store1(y + j, float(q[j]) * factor);
}

}  // namespace

void quantize_f32_s8_neon(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                          float* scale) {
  quantize<Codes>(x, groups, len, q, scale);
}

void quantize_f32_s8g_neon(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                           f16* scale) {
  quantize<Codes>(x, groups, len, q, scale);
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

void quantize_f32_q8_0_neon(const float* x, std::size_t blocks, BlockQ8_0* y) {
  for (; blocks >= 4; blocks -= 4) {
    const float32x4_t scale = vdivq_f32(absmax_of_4(x, kBlock), vdupq_n_f32(127.0f));
    float factor[4];
    f16 d[4];
    vst1q_f32(factor, finite_or_zero(vdivq_f32(vdupq_n_f32(1.0f), scale)));
    store4(d, scale);
    for (std::size_t i = 0; i < 4; ++i, x += kBlock) block(x, y++, d[i], vdupq_n_f32(factor[i]));
  }
  for (; blocks; --blocks, x += kBlock) {
    const float d = absmax_of_1(x, kBlock) / 127.0f;
    block(x, y++, narrowed(d), vdupq_n_f32(finite_or_zero(1.0f / d)));
  }
}

void dequantize_q8_0_f32_neon(const BlockQ8_0* x, std::size_t blocks, float* y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    const float32x4_t scale = vdupq_n_f32(widened(x[i].d));
    back16(x[i].qs, scale, y);
    back16(x[i].qs + 16, scale, y + 16);
  }
}

}  // namespace qb::int8
