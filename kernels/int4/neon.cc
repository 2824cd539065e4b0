// Int4 quantization, NEON (armv8-a; half arithmetic only by conversion).
//
//   quantize    FMAX of FABS, FMUL + FCVTNS (its rounding is rne), XTN; LD2/UZP and SLI pack
//   dequantize  SSHR takes the odd codes, SHL + SSHR the even ones, ZIP interleaves; SXTL, SCVTF
//   f16 back    sixteen results at most: TBL looks up their low and high bytes
//
// No clip is written anywhere: |x| <= absmax makes |x*inv| at most 7 and two roundings, which is 7
// after rounding to an integer. (A non-finite input gives some code or other.)
#include <arm_neon.h>

#include "int4/kernels.h"

namespace qb::int4 {
namespace {

constexpr std::size_t kStep = 32;  // elements of one step: 16 bytes of codes

/// Elements may be aligned to nothing but themselves, and f16 is not an arm_neon.h type.
inline float32x4_t load4(const float* x) { return vld1q_f32(x); }
inline float32x4_t load4(const f16* x) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(x))));
}
inline float widen(f16 h) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(std::uint16_t(h)))), 0);
}
inline f16 narrow(float v) {
  return f16(vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(v))), 0));
}

inline float absmax(const float* x, std::size_t len) {
  float32x4_t a[8];
  for (auto& v : a) v = vdupq_n_f32(0);
  std::size_t j = 0;
  for (; j + 32 <= len; j += 32)
    for (std::size_t i = 0; i < 8; ++i) a[i] = vmaxq_f32(a[i], vabsq_f32(vld1q_f32(x + j + 4 * i)));
  for (; j + 4 <= len; j += 4) a[0] = vmaxq_f32(a[0], vabsq_f32(vld1q_f32(x + j)));
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = vmaxq_f32(a[i], a[i + step]);
  float largest = vmaxvq_f32(a[0]);
  for (; j < len; ++j) {
    const float e = __builtin_fabsf(x[j]);
    largest = e > largest ? e : largest;
  }
  return largest;
}

inline float absmax(const f16* x, std::size_t len) {
  const uint16x8_t mask = vdupq_n_u16(0x7fff);
  const auto* p = reinterpret_cast<const std::uint16_t*>(x);
  uint16x8_t a[8];
  for (auto& v : a) v = vdupq_n_u16(0);
  std::size_t j = 0;
  for (; j + 64 <= len; j += 64)
    for (std::size_t i = 0; i < 8; ++i)
      a[i] = vmaxq_u16(a[i], vandq_u16(vld1q_u16(p + j + 8 * i), mask));
  for (; j + 8 <= len; j += 8) a[0] = vmaxq_u16(a[0], vandq_u16(vld1q_u16(p + j), mask));
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = vmaxq_u16(a[i], a[i + step]);
  unsigned largest = vmaxvq_u16(a[0]);
  for (; j < len; ++j) {
    const unsigned e = unsigned(x[j]) & 0x7fffu;
    largest = e > largest ? e : largest;
  }
  return widen(f16(largest));
}

/// Two codes a byte: 16 bytes of 32 codes, the even ones from `even`. SLI keeps the low four bits
/// of its destination, so neither input needs a mask.
inline uint8x16_t merge(int8x16_t even, int8x16_t odd) {
  return vsliq_n_u8(vreinterpretq_u8_s8(even), vreinterpretq_u8_s8(odd), 4);
}

inline int32x4_t code4(const float* x, float inv) {
  return vcvtnq_s32_f32(vmulq_n_f32(load4(x), inv));
}
inline int32x4_t code4(const f16* x, float inv) {
  return vcvtnq_s32_f32(vcvt_f32_f16(vcvt_f16_f32(vmulq_n_f32(load4(x), inv))));
}

template <class T>
inline int8x16_t codes16(const T* x, float inv) {
  const int16x8_t low = vcombine_s16(vmovn_s32(code4(x, inv)), vmovn_s32(code4(x + 4, inv)));
  const int16x8_t high = vcombine_s16(vmovn_s32(code4(x + 8, inv)), vmovn_s32(code4(x + 12, inv)));
  return vcombine_s8(vmovn_s16(low), vmovn_s16(high));
}

template <class T>
inline uint8x16_t codes32(const T* x, float inv) {
  const int8x16_t a = codes16(x, inv), b = codes16(x + 16, inv);
  return merge(vuzp1q_s8(a, b), vuzp2q_s8(a, b));
}

template <class T>
inline void encode(const T* x, std::size_t len, float inv, std::uint8_t* q) {
  std::size_t j = 0;
  for (; j + kStep <= len; j += kStep) vst1q_u8(q + j / 2, codes32(x + j, inv));
  if (j < len) {  // through memory of our own: zeros behind the end leave the last nibble 0
    T rest[kStep] = {};
    std::uint8_t bytes[kStep / 2];
    __builtin_memcpy(rest, x + j, (len - j) * sizeof(T));
    vst1q_u8(bytes, codes32(rest, inv));
    __builtin_memcpy(q + j / 2, bytes, (len - j + 1) / 2);
  }
}

/// x, or 0 where it is not finite.
inline float finite_or_zero(float x) { return __builtin_fabsf(x) <= 0x1.fffffep127f ? x : 0.0f; }

/// Codes of one f32 group; returns its scale in f32.
inline float quantize(const float* x, std::size_t len, std::uint8_t* q) {
  const float largest = absmax(x, len);
  const float inv = finite_or_zero(7.0f / largest);  // 0 for a group of zeros
  encode(x, len, inv, q);
  return inv != 0.0f ? largest / 7.0f : 0.0f;
}

inline int8x16_t even_codes(uint8x16_t bytes) {
  return vshrq_n_s8(vreinterpretq_s8_u8(vshlq_n_u8(bytes, 4)), 4);
}
inline int8x16_t odd_codes(uint8x16_t bytes) { return vshrq_n_s8(vreinterpretq_s8_u8(bytes), 4); }

/// Sixteen codes times the scale.
inline void scaled(int8x16_t codes, float scale, float* y) {
  const int16x8_t low = vmovl_s8(vget_low_s8(codes)), high = vmovl_s8(vget_high_s8(codes));
  vst1q_f32(y, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), scale));
  vst1q_f32(y + 4, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))), scale));
  vst1q_f32(y + 8, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), scale));
  vst1q_f32(y + 12, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(high))), scale));
}

inline void decode32(const std::uint8_t* q, float scale, float* y) {
  const uint8x16_t bytes = vld1q_u8(q);
  const int8x16_t even = even_codes(bytes), odd = odd_codes(bytes);
  scaled(vzip1q_s8(even, odd), scale, y);
  scaled(vzip2q_s8(even, odd), scale, y + 16);
}

/// The sixteen results f16(code / inv), by nibble, as tables of their low and their high bytes.
struct HalfTable {
  uint8x16_t low, high;
  explicit HalfTable(f16 inv) {
    const float divisor = widen(inv);
    float quotient[16];
    for (int n = 0; n < 16; ++n)
      quotient[n] = divisor == 0.0f ? 0.0f : float(n < 8 ? n : n - 16) / divisor;
    const auto half8 = [](const float* v) {
      return vreinterpretq_u8_f16(
          vcombine_f16(vcvt_f16_f32(vld1q_f32(v)), vcvt_f16_f32(vld1q_f32(v + 4))));
    };
    const uint8x16_t a = half8(quotient), b = half8(quotient + 8);
    low = vuzp1q_u8(a, b);
    high = vuzp2q_u8(a, b);
  }
};

inline void decode32(const std::uint8_t* q, const HalfTable& table, f16* y) {
  const uint8x16_t bytes = vld1q_u8(q);
  const uint8x16_t even = vandq_u8(bytes, vdupq_n_u8(15)), odd = vshrq_n_u8(bytes, 4);
  const uint8x16_t first = vzip1q_u8(even, odd), second = vzip2q_u8(even, odd);
  // ST2 interleaves the low and the high bytes.
  auto* const p = reinterpret_cast<std::uint8_t*>(y);
  vst2q_u8(p, (uint8x16x2_t{{vqtbl1q_u8(table.low, first), vqtbl1q_u8(table.high, first)}}));
  vst2q_u8(p + 32, (uint8x16x2_t{{vqtbl1q_u8(table.low, second), vqtbl1q_u8(table.high, second)}}));
}

/// Factor is a scale or a HalfTable.
template <class Factor, class Y>
inline void decode(const std::uint8_t* q, std::size_t len, const Factor& factor, Y* y) {
  std::size_t j = 0;
  for (; j + kStep <= len; j += kStep) decode32(q + j / 2, factor, y + j);
  if (j < len) {
    std::uint8_t bytes[kStep / 2] = {};
    Y rest[kStep];
    __builtin_memcpy(bytes, q + j / 2, (len - j + 1) / 2);
    decode32(bytes, factor, rest);
    __builtin_memcpy(y + j, rest, (len - j) * sizeof(Y));
  }
}

inline void pack32(const std::int8_t* q, std::uint8_t* packed) {
  const int8x16x2_t pair = vld2q_s8(q);  // even codes, odd codes
  vst1q_u8(packed, merge(vandq_s8(pair.val[0], vdupq_n_s8(15)), pair.val[1]));
}

inline void unpack32(const std::uint8_t* packed, std::int8_t* q) {
  const uint8x16_t bytes = vld1q_u8(packed);
  vst2q_s8(q, (int8x16x2_t{{even_codes(bytes), odd_codes(bytes)}}));
}

/// The signed value of the largest magnitude among 32, the first on a tie; +0 if all are zero.
inline float signed_extreme(const float* x) {
  float32x4_t high = vld1q_f32(x), low = high;
  for (int j = 4; j < 32; j += 4) {
    const float32x4_t v = vld1q_f32(x + j);
    high = vmaxq_f32(high, v);
    low = vminq_f32(low, v);
  }
  const float highest = vmaxvq_f32(high), lowest = vminvq_f32(low);
  if (highest == -lowest)  // rare: look for the first
    for (std::size_t j = 0; j < kBlock; ++j)
      if (__builtin_fabsf(x[j]) == highest) return x[j] + 0.0f;
  return (-lowest > highest ? lowest : highest) + 0.0f;
}

/// min(15, trunc(x*id + 8.5)) of 16 elements.
inline uint8x16_t nibbles16(const float* x, float id) {
  const auto four = [=](const float* at) {
    return vmovn_u32(vcvtq_u32_f32(vaddq_f32(vmulq_n_f32(vld1q_f32(at), id), vdupq_n_f32(8.5f))));
  };
  const uint16x8_t low = vcombine_u16(four(x), four(x + 4));
  const uint16x8_t high = vcombine_u16(four(x + 8), four(x + 12));
  return vminq_u8(vcombine_u8(vmovn_u16(low), vmovn_u16(high)), vdupq_n_u8(15));
}

}  // namespace

void quantize_f32_s4_neon(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                          float* scale) {
  for (std::size_t i = 0; i < groups; ++i)
    scale[i] = quantize(x + i * len, len, q + i * ((len + 1) / 2));
}

void quantize_f32_s4g_neon(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                           f16* scale) {
  for (std::size_t i = 0; i < groups; ++i)
    scale[i] = narrow(quantize(x + i * len, len, q + i * ((len + 1) / 2)));
}

void quantize_f16_s4_neon(const f16* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                          f16* inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += (len + 1) / 2) {
    const float largest = absmax(x, len);
    float wide = 7.0f / largest;
    wide = wide < 65504.0f ? wide : 65504.0f;
    const f16 stored = narrow(largest == 0.0f ? 0.0f : wide);
    encode(x, len, widen(stored), q);
    inv[i] = stored;
  }
}

void dequantize_s4_f32_neon(const std::uint8_t* q, std::size_t groups, std::size_t len,
                            const float* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i)
    decode(q + i * ((len + 1) / 2), len, scale[i], y + i * len);
}

void dequantize_s4g_f32_neon(const std::uint8_t* q, std::size_t groups, std::size_t len,
                             const f16* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i)
    decode(q + i * ((len + 1) / 2), len, widen(scale[i]), y + i * len);
}

void dequantize_s4_f16_neon(const std::uint8_t* q, std::size_t groups, std::size_t len,
                            const f16* inv, f16* y) {
  for (std::size_t i = 0; i < groups; ++i)
    decode(q + i * ((len + 1) / 2), len, HalfTable(inv[i]), y + i * len);
}

void pack_s4_neon(const std::int8_t* q, std::size_t n, std::uint8_t* packed) {
  std::size_t j = 0;
  for (; j + kStep <= n; j += kStep) pack32(q + j, packed + j / 2);
  if (j < n) {
    std::int8_t rest[kStep] = {};
    std::uint8_t bytes[kStep / 2];
    __builtin_memcpy(rest, q + j, n - j);
    pack32(rest, bytes);
    __builtin_memcpy(packed + j / 2, bytes, (n - j + 1) / 2);
  }
}

void unpack_s4_neon(const std::uint8_t* packed, std::size_t n, std::int8_t* q) {
  std::size_t j = 0;
  for (; j + kStep <= n; j += kStep) unpack32(packed + j / 2, q + j);
  if (j < n) {
    std::uint8_t bytes[kStep / 2] = {};
    std::int8_t rest[kStep];
    __builtin_memcpy(bytes, packed + j / 2, (n - j + 1) / 2);
    unpack32(bytes, rest);
    __builtin_memcpy(q + j, rest, n - j);
  }
}

void quantize_f32_q4_0_neon(const float* x, std::size_t blocks, BlockQ4_0* y) {
  for (std::size_t i = 0; i < blocks; ++i, x += kBlock) {
    const float d = signed_extreme(x) / -8.0f;
    const float id = finite_or_zero(1.0f / d);
    y[i].d = narrow(d);
    vst1q_u8(y[i].qs, vsliq_n_u8(nibbles16(x, id), nibbles16(x + 16, id), 4));
  }
}

void dequantize_q4_0_f32_neon(const BlockQ4_0* x, std::size_t blocks, float* y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    // Flipping the sign bit of a stored nibble n gives n - 8 in two's complement.
    const uint8x16_t bytes = veorq_u8(vld1q_u8(x[i].qs), vdupq_n_u8(0x88));
    const float d = widen(x[i].d);
    scaled(even_codes(bytes), d, y);
    scaled(odd_codes(bytes), d, y + 16);
  }
}

}  // namespace qb::int4
