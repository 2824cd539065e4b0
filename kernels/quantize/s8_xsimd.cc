// SPDX-License-Identifier: Apache-2.0
// s8, portable.
//
// No clip is written: |x| <= absmax makes |x*inv| at most 127 and two roundings, which is 127 after
// rounding to an integer. (Input that is not finite gives unspecified codes.)
#include "quantize/s8_xsimd.h"
#include "quantize/kernels.h"

namespace qb::quantize {
namespace {

/// The notebook's: to f16 first. A sum with 2^13 times v's power of two keeps v's 11 leading bits;
/// below f16's normal numbers that is more than f16 keeps, and the code 0 either way.
struct ThroughF16 {
  static I round(const F& v) {
    const F power = floats(bits_of(v) & U(0xff800000u)) * F(0x1p13f);
    return HalfToEven::round((v + power) - power);
  }
  static std::int8_t round(float v) { return HalfToEven::round(f16_to_f32(f32_to_f16(v))); }
};

template <class Rounding, class T>
inline void codes(const T* x, std::size_t len, float factor, std::int8_t* q) {
  const F inv(factor);
  std::size_t j = 0;
  for (; len - j >= kStep; j += kStep) codes_of_step<Rounding>(x + j, inv, q + j);
  for (; j < len; ++j) q[j] = Rounding::round(load1(x + j) * factor);
}

template <class S>
inline void store_scales(S* to, const F& scale) {
  alignas(64) float values[kLanes];
  scale.store_aligned(values);
  for (std::size_t i = 0; i < kLanes; ++i) store1(to + i, values[i]);
}

template <class S>
inline void quantize(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                     S* scale) {
  const F qmax(127.0f);
  if (len && len % kStep == 0 && len <= 256)
    for (; groups >= kLanes; groups -= kLanes, scale += kLanes) {
      const F largest = absmax_of_lanes(x, len);
      const F inv = finite_or_zero(quotient(qmax, largest));
      store_scales(scale, xsimd::select(inv != F(0.0f), quotient(largest, qmax), F(0.0f)));
      alignas(64) float factor[kLanes];
      inv.store_aligned(factor);
      for (std::size_t i = 0; i < kLanes; ++i, x += len, q += len)
        codes<HalfToEven>(x, len, factor[i], q);
    }
  for (std::size_t i = 0; i < groups; ++i, x += len, q += len) {
    const float largest = absmax(x, len);
    float inv = 127.0f / largest;
    inv = inv <= kMost ? inv : 0.0f;
    store1(scale + i, inv != 0.0f ? largest / 127.0f : 0.0f);
    codes<HalfToEven>(x, len, inv, q);
  }
}

}  // namespace

void QB_SYMBOL(quantize_f32_s8)(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                                float* scale) {
  quantize(x, groups, len, q, scale);
}

void QB_SYMBOL(quantize_f32_s8g)(const float* x, std::size_t groups, std::size_t len,
                                 std::int8_t* q, f16* scale) {
  quantize(x, groups, len, q, scale);
}

void QB_SYMBOL(quantize_f16_s8)(const f16* x, std::size_t groups, std::size_t len, std::int8_t* q,
                                f16* inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += len) {
    const float largest = absmax(x, len);
    float wide = 127.0f / largest;
    wide = wide < 65504.0f ? wide : 65504.0f;
    inv[i] = f32_to_f16(largest == 0.0f ? 0.0f : wide);
    codes<ThroughF16>(x, len, f16_to_f32(inv[i]), q);
  }
}

void QB_SYMBOL(dequantize_s8_f32)(const std::int8_t* q, std::size_t groups, std::size_t len,
                                  const float* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) back(q, len, scale[i], y);
}

void QB_SYMBOL(dequantize_s8g_f32)(const std::int8_t* q, std::size_t groups, std::size_t len,
                                   const f16* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len)
    back(q, len, f16_to_f32(scale[i]), y);
}

void QB_SYMBOL(dequantize_s8_f16)(const std::int8_t* q, std::size_t groups, std::size_t len,
                                  const f16* inv, f16* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) {
    // A product with the reciprocal rounds to the same f16 as the quotient. With q = Q, inv = I and
    // a rounding boundary M as integers of 7, 11 and 12 bits, q/inv is never on a boundary (M would
    // divide Q) and differs from it by more than 2^-23 of itself; the product is nearer than that.
    const float divisor = f16_to_f32(inv[i]);
    if (divisor == 0.0f)
      for (std::size_t j = 0; j < len; ++j) y[j] = f16(0);
    else
      back(q, len, 1.0f / divisor, y);
  }
}

}  // namespace qb::quantize
