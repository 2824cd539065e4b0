// Int8 quantization, NEON (armv8-a). FCVTNS rounds halves to even and FCVTAS halves away from zero,
// FCVTN and FCVTL convert f16, and a pairwise maximum reduces four groups to one vector, so that
// one division serves them all.
//
// No clip is written anywhere: |x| <= absmax makes |x*inv| at most 127 and two roundings, which is
// 127 after rounding to an integer. (A non-finite input gives some code or other.)
#include <arm_neon.h>

#include "int8/kernels.h"

namespace qb::int8 {
namespace {

constexpr float kMost = 0x1.fffffep127f;

// f16 has a type of its own here, so it is loaded and stored as bytes.
inline const std::uint8_t* bytes(const void* p) { return static_cast<const std::uint8_t*>(p); }
inline std::uint8_t* bytes(void* p) { return static_cast<std::uint8_t*>(p); }

inline float32x4_t load4(const float* x) { return vld1q_f32(x); }
inline float32x4_t load4(const f16* x) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(bytes(x))));
}
inline void store4(float* y, float32x4_t v) { vst1q_f32(y, v); }
inline void store4(f16* y, float32x4_t v) {
  vst1_u8(bytes(y), vreinterpret_u8_f16(vcvt_f16_f32(v)));
}

inline float widened(f16 h) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(std::uint16_t(h)))), 0);
}
inline f16 narrowed(float v) {
  return f16(vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(v))), 0));
}
inline float load1(const float* x) { return *x; }
inline float load1(const f16* x) { return widened(*x); }
inline void store1(float* y, float v) { *y = v; }
inline void store1(f16* y, float v) { *y = narrowed(v); }

// ---- absmax, on the bits with the sign cleared: NaN is the largest and needs no care

inline uint32x4_t magnitude4(const float* x) {
  return vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x)), vdupq_n_u32(0x7fffffffu));
}

inline float absmax(const float* x, std::size_t len) {
  uint32x4_t a[8];
  for (auto& v : a) v = vdupq_n_u32(0);
  std::size_t j = 0;
  for (; j + 32 <= len; j += 32)
    for (std::size_t i = 0; i < 8; ++i) a[i] = vmaxq_u32(a[i], magnitude4(x + j + 4 * i));
  for (; j + 4 <= len; j += 4) a[0] = vmaxq_u32(a[0], magnitude4(x + j));
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = vmaxq_u32(a[i], a[i + step]);
  std::uint32_t largest = vmaxvq_u32(a[0]);
  for (; j < len; ++j) {
    const std::uint32_t m = __builtin_bit_cast(std::uint32_t, x[j]) & 0x7fffffffu;
    largest = m > largest ? m : largest;
  }
  return __builtin_bit_cast(float, largest);
}

inline float absmax(const f16* x, std::size_t len) {
  const uint16x8_t mask = vdupq_n_u16(0x7fff);
  const auto magnitude8 = [mask](const f16* at) {
    return vandq_u16(vreinterpretq_u16_u8(vld1q_u8(bytes(at))), mask);
  };
  uint16x8_t a[8];
  for (auto& v : a) v = vdupq_n_u16(0);
  std::size_t j = 0;
  for (; j + 64 <= len; j += 64)
    for (std::size_t i = 0; i < 8; ++i) a[i] = vmaxq_u16(a[i], magnitude8(x + j + 8 * i));
  for (; j + 8 <= len; j += 8) a[0] = vmaxq_u16(a[0], magnitude8(x + j));
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = vmaxq_u16(a[i], a[i + step]);
  std::uint16_t largest = vmaxvq_u16(a[0]);
  for (; j < len; ++j) {
    const std::uint16_t m = static_cast<std::uint16_t>(x[j]) & 0x7fffu;
    largest = m > largest ? m : largest;
  }
  return widened(f16(largest));
}

/// The absmax of four runs of len elements, a multiple of 32; lane i for run i.
inline float32x4_t absmax_of_4(const float* x, std::size_t len) {
  uint32x4_t m[4];
  for (std::size_t i = 0; i < 4; ++i, x += len) {
    uint32x4_t a[4];
    for (auto& v : a) v = vdupq_n_u32(0);
    for (std::size_t j = 0; j < len; j += 16)
      for (std::size_t k = 0; k < 4; ++k) a[k] = vmaxq_u32(a[k], magnitude4(x + j + 4 * k));
    m[i] = vmaxq_u32(vmaxq_u32(a[0], a[1]), vmaxq_u32(a[2], a[3]));
  }
  return vreinterpretq_f32_u32(vpmaxq_u32(vpmaxq_u32(m[0], m[1]), vpmaxq_u32(m[2], m[3])));
}

// ---- rounding to integers

struct HalfToEven {
  static int32x4_t round(float32x4_t v) { return vcvtnq_s32_f32(v); }
  static int round(float v) { return vcvtns_s32_f32(v); }
};

/// The notebook's: to f16 first.
struct ThroughF16 {
  static int32x4_t round(float32x4_t v) { return vcvtnq_s32_f32(vcvt_f32_f16(vcvt_f16_f32(v))); }
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
  const int16x8_t low = vcombine_s16(vqmovn_s32(word(0)), vqmovn_s32(word(4)));
  const int16x8_t high = vcombine_s16(vqmovn_s32(word(8)), vqmovn_s32(word(12)));
  vst1q_s8(q, vcombine_s8(vqmovn_s16(low), vqmovn_s16(high)));
}

template <class Rounding, class T>
inline void codes(const T* x, std::size_t len, float factor, std::int8_t* q) {
  const float32x4_t inv = vdupq_n_f32(factor);
  std::size_t j = 0;
  for (; j + 16 <= len; j += 16) codes16<Rounding>(x + j, inv, q + j);
  for (; j < len; ++j) q[j] = std::int8_t(Rounding::round(load1(x + j) * factor));
}

// ---- factors and scales

/// v where it is finite, otherwise 0: the group is treated as zero.
inline float32x4_t finite_or_zero(float32x4_t v) {
  return vreinterpretq_f32_u32(
      vandq_u32(vreinterpretq_u32_f32(v), vcleq_f32(v, vdupq_n_f32(kMost))));
}

/// Stores the scales of four groups and returns their factors.
template <class S>
inline float32x4_t factors_of_4(const float* x, std::size_t len, S* scale) {
  const float32x4_t largest = absmax_of_4(x, len), qmax = vdupq_n_f32(127.0f);
  const float32x4_t inv = finite_or_zero(vdivq_f32(qmax, largest));
  const uint32x4_t unused = vceqzq_f32(inv);
  const uint32x4_t all = vreinterpretq_u32_f32(vdivq_f32(largest, qmax));
  store4(scale, vreinterpretq_f32_u32(vbicq_u32(all, unused)));
  return inv;
}

template <class S>
inline void quantize(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                     S* scale) {
  if (len % 32 == 0 && len <= 256)
    for (; groups >= 4; groups -= 4, scale += 4) {
      float factor[4];
      vst1q_f32(factor, factors_of_4(x, len, scale));
      for (std::size_t i = 0; i < 4; ++i, x += len, q += len)
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

inline void block(const float* x, BlockQ8_0* y, f16 d, float32x4_t id) {
  y->d = d;
  codes16<HalfAway>(x, id, y->qs);
  codes16<HalfAway>(x + 16, id, y->qs + 16);
}

// ---- back

template <class Y>
inline void back16(const std::int8_t* q, float32x4_t scale, Y* y) {
  const int8x16_t v = vld1q_s8(q);
  const int16x8_t low = vmovl_s8(vget_low_s8(v)), high = vmovl_high_s8(v);
  store4(y, vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), scale));
  store4(y + 4, vmulq_f32(vcvtq_f32_s32(vmovl_high_s16(low)), scale));
  store4(y + 8, vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), scale));
  store4(y + 12, vmulq_f32(vcvtq_f32_s32(vmovl_high_s16(high)), scale));
}

template <class Y>
inline void back(const std::int8_t* q, std::size_t len, float factor, Y* y) {
  const float32x4_t scale = vdupq_n_f32(factor);
  std::size_t j = 0;
  for (; j + 16 <= len; j += 16) back16(q + j, scale, y + j);
  for (; j < len; ++j) store1(y + j, float(q[j]) * factor);
}

}  // namespace

void quantize_f32_s8_neon(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                          float* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f32_s8g_neon(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                           f16* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f16_s8_neon(const f16* x, std::size_t groups, std::size_t len, std::int8_t* q,
                          f16* inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += len) {
    const float largest = absmax(x, len);
    float wide = 127.0f / largest;
    wide = wide < 65504.0f ? wide : 65504.0f;
    inv[i] = narrowed(largest == 0.0f ? 0.0f : wide);
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
    const float d = absmax(x, kBlock) / 127.0f, id = 1.0f / d;
    block(x, y++, narrowed(d), vdupq_n_f32(id <= kMost ? id : 0.0f));
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
