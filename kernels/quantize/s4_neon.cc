// SPDX-License-Identifier: Apache-2.0
// s4, NEON (armv8-a; half arithmetic only by conversion).
//
//   quantize    FMUL; FADD of a number so large that the sum keeps no fraction; UZP1 gathers low
//               bytes; UZP1, UZP2 and SLI pack. A pairwise maximum reduces four groups to one
//               vector, so that one division serves them all.
//   f16         Two FMAs round the products to the precision of f16.
//   dequantize  SSHR takes the odd codes, SHL and SSHR the even ones, ZIP interleaves; then the sum
//               backwards: SXTL, SADDW, FSUB, FMUL.
//   f16 back    Sixteen results at most: TBL looks up their low and high bytes.
//
// No clip is written: |x| <= absmax makes |x*inv| at most 7 and two roundings, which is 7 after
// rounding to an integer. (Input that is not finite gives unspecified codes.)
#include "quantize/s4_neon.h"
#include "quantize/groups_neon.h"
#include "quantize/kernels.h"

namespace qb::quantize {
namespace {

constexpr std::size_t kStep = 32;  // elements of one step: 16 bytes of codes

/// Two codes a byte: 16 bytes of 32 codes, the even ones from `even`. SLI keeps the low four bits
/// of its destination, so neither input needs a mask.
inline uint8x16_t merge(int8x16_t even, int8x16_t odd) {
  return vsliq_n_u8(vreinterpretq_u8_s8(even), vreinterpretq_u8_s8(odd), 4);
}

/// The code in the low nibble.
inline int32x4_t code4(const float* x, float inv) { return nearest(vmulq_n_f32(load4(x), inv)); }

/// To f16 first: adding 2^13 times the power of two below |v| leaves v its 11 significant bits,
/// ties to even; below f16's normal numbers that is more than f16 keeps, and the code 0 either way.
/// That product is exact, so the FMAs round only the sum.
inline int32x4_t code4(const f16* x, float inv) {
  const float32x4_t v = vmulq_n_f32(load4(x), inv), shift = vdupq_n_f32(0x1p13f);
  const float32x4_t power =
      vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), vdupq_n_u32(0xff800000u)));
  return nearest(vfmsq_f32(vfmaq_f32(v, power, shift), power, shift));
}

template <class T>
inline int8x16_t codes16(const T* x, float inv) {
  return low_bytes(code4(x, inv), code4(x + 4, inv), code4(x + 8, inv), code4(x + 12, inv));
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

struct Codes {
  static constexpr float kMost = 7;
  static std::size_t bytes(std::size_t len) { return (len + 1) / 2; }
  static void encode(const float* x, std::size_t len, float inv, std::uint8_t* q) {
    quantize::encode(x, len, inv, q);
  }
};

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
    const float divisor = widened(inv);
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

}  // namespace

void quantize_f32_s4_neon(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                          float* scale) {
  quantize_groups<Codes>(x, groups, len, q, scale);
}

void quantize_f32_s4g_neon(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                           f16* scale) {
  quantize_groups<Codes>(x, groups, len, q, scale);
}

void quantize_f16_s4_neon(const f16* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                          f16* inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += (len + 1) / 2) {
    inv[i] = inverse_scale(x, len, Codes::kMost);
    encode(x, len, widened(inv[i]), q);
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
    decode(q + i * ((len + 1) / 2), len, widened(scale[i]), y + i * len);
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

}  // namespace qb::quantize
