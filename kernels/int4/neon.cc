// Int4 quantization, NEON (armv8-a; half arithmetic only by conversion).
//
//   quantize    FMUL, FADD of a number so large that the sum keeps no fraction, and UZP1 to gather
//               low bytes; UZP1, UZP2 and SLI pack. A pairwise maximum reduces four groups to one
//               vector, so that one division serves them all
//   f16         the products are rounded to the precision of f16 by two FMAs
//   dequantize  SSHR takes the odd codes, SHL + SSHR the even ones, ZIP interleaves; the sum
//               backwards: SXTL, SADDW, FSUB, FMUL
//   f16 back    sixteen results at most: TBL looks up their low and high bytes
//
// No clip is written anywhere: |x| <= absmax makes |x*inv| at most 7 and two roundings, which is 7
// after rounding to an integer. (A non-finite input gives some code or other.)
#include "core/neon.h"

#include "int4/kernels.h"

namespace qb::int4 {
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
    int4::encode(x, len, inv, q);
  }
};

inline int8x16_t even_codes(uint8x16_t bytes) {
  return vshrq_n_s8(vreinterpretq_s8_u8(vshlq_n_u8(bytes, 4)), 4);
}
inline int8x16_t odd_codes(uint8x16_t bytes) { return vshrq_n_s8(vreinterpretq_s8_u8(bytes), 4); }

/// Sixteen codes times the scale.
inline void scaled(int8x16_t codes, float scale, float* y) {
  const Floats16 values(codes);
  for (unsigned i = 0; i < 4; ++i) vst1q_f32(y + 4 * i, vmulq_n_f32(values.v[i], scale));
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

/// The signed value of the largest magnitude among 32, the first on a tie; +0 if all are zero.
inline float first_extreme(const float* x, float magnitude) {
  for (std::size_t j = 0; j < kBlock; ++j)
    if (__builtin_fabsf(x[j]) == magnitude) return x[j] + 0.0f;
  return magnitude;  // NaN
}

/// The same of four blocks, through trees of pairwise maxima and minima.
inline float32x4_t signed_extremes(const float* x) {
  float32x4_t high[4], low[4];
  for (std::size_t i = 0; i < 4; ++i) {
    float32x4_t v[8], u[4];
    for (std::size_t j = 0; j < 8; ++j) v[j] = vld1q_f32(x + i * kBlock + 4 * j);
    for (std::size_t j = 0; j < 4; ++j) u[j] = vminq_f32(v[j], v[j + 4]);
    for (std::size_t j = 0; j < 4; ++j) v[j] = vmaxq_f32(v[j], v[j + 4]);
    high[i] = vmaxq_f32(vmaxq_f32(v[0], v[1]), vmaxq_f32(v[2], v[3]));
    low[i] = vminq_f32(vminq_f32(u[0], u[1]), vminq_f32(u[2], u[3]));
  }
  const float32x4_t most = vpmaxq_f32(vpmaxq_f32(high[0], high[1]), vpmaxq_f32(high[2], high[3]));
  const float32x4_t least = vpminq_f32(vpminq_f32(low[0], low[1]), vpminq_f32(low[2], low[3]));
  const float32x4_t depth = vnegq_f32(least), magnitude = vmaxq_f32(most, depth);
  float32x4_t extreme = vbslq_f32(vcgtq_f32(depth, most), least, most);
  const uint32x4_t tie = vbicq_u32(vceqq_f32(depth, most), vceqzq_f32(most));
  if (vmaxvq_u32(tie) != 0) {  // rare: look for the first
    float m[4], e[4];
    vst1q_f32(m, magnitude);
    for (std::size_t i = 0; i < 4; ++i) e[i] = first_extreme(x + i * kBlock, m[i]);
    extreme = vld1q_f32(e);
  }
  return vaddq_f32(extreme, vdupq_n_f32(0));
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
  quantize<Codes>(x, groups, len, q, scale);
}

void quantize_f32_s4g_neon(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                           f16* scale) {
  quantize<Codes>(x, groups, len, q, scale);
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

void quantize_f32_q4_0_neon(const float* x, std::size_t blocks, BlockQ4_0* y) {
  const auto block = [](const float* from, f16 d, float id, BlockQ4_0* to) {
    to->d = d;
    vst1q_u8(to->qs, vsliq_n_u8(nibbles16(from, id), nibbles16(from + 16, id), 4));
  };
  for (; blocks >= 4; blocks -= 4) {
    const float32x4_t d = vmulq_n_f32(signed_extremes(x), -0.125f);
    f16 stored[4];
    float id[4];
    store4(stored, d);
    vst1q_f32(id, finite_or_zero(vdivq_f32(vdupq_n_f32(1.0f), d)));
    for (std::size_t i = 0; i < 4; ++i, x += kBlock) block(x, stored[i], id[i], y++);
  }
  for (; blocks; --blocks, x += kBlock) {
    const float d = first_extreme(x, absmax_of_1(x, kBlock)) * -0.125f;
    block(x, narrowed(d), finite_or_zero(1.0f / d), y++);
  }
}

void dequantize_q4_0_f32_neon(const BlockQ4_0* x, std::size_t blocks, float* y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    // Flipping the sign bit of a stored nibble n gives n - 8 in two's complement.
    const uint8x16_t bytes = veorq_u8(vld1q_u8(x[i].qs), vdupq_n_u8(0x88));
    const float d = widened(x[i].d);
    scaled(even_codes(bytes), d, y);
    scaled(odd_codes(bytes), d, y + 16);
  }
}

}  // namespace qb::int4
