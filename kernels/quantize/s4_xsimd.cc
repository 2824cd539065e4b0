// SPDX-License-Identifier: Apache-2.0
// s4, portable.
//
// No clip is written: |x| <= absmax makes |x*inv| at most 7 and two roundings, which is 7 after
// rounding to an integer. (Input that is not finite gives unspecified codes.)
#include "quantize/s4_xsimd.h"
#include "quantize/kernels.h"

namespace qb::quantize {
namespace {

/// Zero-extended halves.
inline Int load16(const f16* p) {
#if defined(QB_XSIMD_avx2)
  return Int(_mm256_cvtepu16_epi32(
      _mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(p)))));
#elif defined(QB_XSIMD_sse4_2)
  return Int(_mm_cvtepu16_epi32(
      _mm_loadl_epi64(static_cast<const __m128i*>(static_cast<const void*>(p)))));
#elif defined(QB_XSIMD_neon)
  const uint8x8_t h = vld1_u8(static_cast<const std::uint8_t*>(static_cast<const void*>(p)));
  return Int(vreinterpretq_s32_u32(vmovl_u16(vreinterpret_u16_u8(h))));
#else
  std::int32_t wide[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) wide[i] = static_cast<std::uint16_t>(p[i]);
  return Int::load_unaligned(wide);
#endif
}

// ---- absmax

inline float absmax(const float* x, std::size_t len) {
  Float a[8];
  for (auto& v : a) v = Float(0.0f);
  std::size_t j = 0;
  for (; j + 8 * kLanes <= len; j += 8 * kLanes)
    for (std::size_t i = 0; i < 8; ++i)
      a[i] = xsimd::max(a[i], xsimd::abs(Float::load_unaligned(x + j + i * kLanes)));
  for (; j + kLanes <= len; j += kLanes)
    a[0] = xsimd::max(a[0], xsimd::abs(Float::load_unaligned(x + j)));
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = xsimd::max(a[i], a[i + step]);
  float largest = reduce_max(a[0]);
  for (; j < len; ++j) {
    const float e = __builtin_fabsf(x[j]);
    largest = e > largest ? e : largest;
  }
  return largest;
}

inline float absmax(const f16* x, std::size_t len) {
  const auto* p = static_cast<const std::uint16_t*>(static_cast<const void*>(x));
  const Word mask(0x7fff);
  Word a[8];
  for (auto& v : a) v = Word(std::uint16_t{0});
  std::size_t j = 0;
  for (; j + 8 * Word::size <= len; j += 8 * Word::size)
    for (std::size_t i = 0; i < 8; ++i)
      a[i] = xsimd::max(a[i], Word::load_unaligned(p + j + i * Word::size) & mask);
  for (; j + Word::size <= len; j += Word::size)
    a[0] = xsimd::max(a[0], Word::load_unaligned(p + j) & mask);
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = xsimd::max(a[i], a[i + step]);
  unsigned largest = reduce_max(a[0]);
  for (; j < len; ++j) {
    const unsigned e = unsigned(x[j]) & 0x7fffu;
    largest = e > largest ? e : largest;
  }
  return f16_to_f32(f16(largest));
}

// ---- codes

/// rne(v) for |v| < 2^22, as a nibble: the sum has no fraction bits left, and its low bits are
/// those of the integer.
inline Int nearest(const Float& v) { return as<Int>(v + Float(0x1.8p23f)) & Int(15); }

inline Int code(const float* x, const Float& inv) {
  return nearest(Float::load_unaligned(x) * inv);
}

/// The product of two halves is exact in f32; then rounded to the 11 significant bits of f16,
/// nearest, ties to even. The range of f16 does not come into it: |v| < 8, and below 2^-14, where
/// f16 has fewer bits, the code is 0 either way.
inline Int code(const f16* x, const Float& inv) {
  const Int h = load16(x);
  const Int shifted = (h & Int(0x7fff)) << 13;
  const Int normal = shifted + Int(0x38000000);  // exponent + (127 - 15)
  const Int subnormal = as<Int>(as<Float>(shifted + Int(0x38800000)) - Float(0x1p-14f));
  const Int sign = (h << 16) & Int(std::int32_t(0x80000000u));
  const Int wide = xsimd::select(shifted < Int(0x400 << 13), subnormal, normal) | sign;
  const Int b = as<Int>(as<Float>(wide) * inv);
  const Int rounded = (b + Int(0xfff) + ((b >> 13) & Int(1))) & Int(std::int32_t(0xffffe000u));
  return nearest(as<Float>(rounded));
}

/// Adjacent nibbles, one in each byte, into the low byte of each word.
inline Word merge(const Byte& nibbles) {
  const Word pair = as<Word>(nibbles);
  return (pair & Word(0x000f)) | ((pair >> 4) & Word(0x00f0));
}

/// The sixteen bytes of 32 elements.
template <class T>
inline void encode32(const T* x, const Float& inv, std::uint8_t* q) {
  Word byte[16 / Word::size];
  for (Word& b : byte) {
    const auto at = [&](std::size_t i) { return code(x + i * kLanes, inv); };
    b = merge(narrow(at(0), at(1), at(2), at(3)));
    x += Byte::size;
  }
  store_bytes(q, byte);
}

template <class T>
inline void encode(const T* x, std::size_t len, float inv, std::uint8_t* q) {
  const Float factor(inv);
  std::size_t j = 0;
  for (; j + 32 <= len; j += 32) encode32(x + j, factor, q + j / 2);
  if (j < len) {  // through memory of our own: zeros behind the end leave the last nibble 0
    T rest[32] = {};
    std::uint8_t bytes[16];
    __builtin_memcpy(rest, x + j, (len - j) * sizeof(T));
    encode32(rest, factor, bytes);
    __builtin_memcpy(q + j / 2, bytes, (len - j + 1) / 2);
  }
}

inline void store_scale(float* p, float scale) { *p = scale; }
inline void store_scale(f16* p, float scale) { *p = f32_to_f16(scale); }

template <class S>
inline void quantize(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                     S* scale) {
  const Float qmax(7.0f);
  if (len && len % 32 == 0 && len <= 256)
    for (; groups >= kLanes; groups -= kLanes) {
      const Float largest = absmax_of_lanes(x, len);
      const Float inv = finite_or_zero(quotient(qmax, largest));  // 0 for a group of zeros
      float factor[kLanes], back[kLanes];
      inv.store_unaligned(factor);
      xsimd::select(inv != Float(0.0f), quotient(largest, qmax), Float(0.0f)).store_unaligned(back);
      for (std::size_t i = 0; i < kLanes; ++i, x += len, q += len / 2) {
        store_scale(scale++, back[i]);
        encode(x, len, factor[i], q);
      }
    }
  for (; groups; --groups, x += len, q += (len + 1) / 2) {
    const float largest = absmax(x, len);
    float inv = 7.0f / largest;
    inv = inv <= 0x1.fffffep127f ? inv : 0.0f;
    store_scale(scale++, inv != 0.0f ? largest / 7.0f : 0.0f);
    encode(x, len, inv, q);
  }
}

// ---- back

/// Picks lanes' nibbles out of a 32-bit word of eight, where they stand: lane i of part p gets
/// nibble n = p*kLanes + i as code * 2^(4n), and `unit` is 2^(-4n). No shift by lane is needed.
struct Nibbles {
  static constexpr std::size_t kParts = 8 / kLanes;
  Int mask[kParts], sign[kParts];
  Float unit[kParts];
  Nibbles() {
    std::uint32_t m[8], s[8];
    float u[8];
    for (int n = 0; n < 8; ++n) {
      m[n] = 0xfu << 4 * n;
      s[n] = 0x8u << 4 * n;
      u[n] = 1.0f / float(1u << 4 * n);
    }
    for (std::size_t p = 0; p < kParts; ++p) {
      mask[p] = as<Int>(batch<std::uint32_t>::load_unaligned(m + p * kLanes));
      sign[p] = as<Int>(batch<std::uint32_t>::load_unaligned(s + p * kLanes));
      unit[p] = Float::load_unaligned(u + p * kLanes);
    }
  }
  /// The codes, exactly.
  Float codes(std::int32_t word, std::size_t p) const {
    return xsimd::to_float((((Int(word) & mask[p]) ^ sign[p]) - sign[p])) * unit[p];
  }
};

/// 32 elements.
inline void decode32(const std::uint8_t* q, const Nibbles& nibbles, const Float& scale, float* y) {
  for (std::size_t i = 0; i < 4; ++i) {
    std::int32_t word;
    __builtin_memcpy(&word, q + 4 * i, sizeof word);
    for (std::size_t p = 0; p < Nibbles::kParts; ++p)
      (nibbles.codes(word, p) * scale).store_unaligned(y + 8 * i + p * kLanes);
  }
}

inline void decode(const std::uint8_t* q, std::size_t len, const Nibbles& nibbles, float scale,
                   float* y) {
  const Float factor(scale);
  std::size_t j = 0;
  for (; j + 32 <= len; j += 32) decode32(q + j / 2, nibbles, factor, y + j);
  if (j < len) {
    std::uint8_t bytes[16] = {};
    float rest[32];
    __builtin_memcpy(bytes, q + j / 2, (len - j + 1) / 2);
    decode32(bytes, nibbles, factor, rest);
    __builtin_memcpy(y + j, rest, (len - j) * sizeof(float));
  }
}

inline Byte low_nibbles(const Byte& b) { return b & Byte(std::uint8_t{15}); }
inline Byte high_nibbles(const Byte& b) { return as<Byte>((as<Word>(b) >> 4) & Word(0x0f0f)); }

/// The sixteen results f16(code / inv), by nibble, as tables of their low and their high bytes.
struct HalfTable {
  static Table part(f16 inv, int shift) {
    const float divisor = f16_to_f32(inv);
    std::uint8_t bytes[16];
    for (int n = 0; n < 16; ++n) {
      const float quotient = divisor == 0.0f ? 0.0f : float(n < 8 ? n : n - 16) / divisor;
      bytes[n] = std::uint8_t(static_cast<std::uint16_t>(f32_to_f16(quotient)) >> shift);
    }
    return Table(bytes);
  }
  explicit HalfTable(f16 inv) : low(part(inv, 0)), high(part(inv, 8)) {}
  Table low, high;
};

/// kStep elements.
inline void decode_half(const std::uint8_t* q, const HalfTable& table, f16* y) {
  const Byte bytes = Byte::load_unaligned(q);
  std::uint8_t nibbles[kStep];
  store_interleaved(nibbles, low_nibbles(bytes), high_nibbles(bytes));
  for (std::size_t i = 0; i < kStep; i += Byte::size) {
    const Byte index = Byte::load_unaligned(nibbles + i);
    store_interleaved(y + i, table.low.at(index), table.high.at(index));
  }
}

// ---- layout

inline Byte pack_step(const std::int8_t* q) {
  const auto* p = static_cast<const std::uint8_t*>(static_cast<const void*>(q));
  return narrow(merge(Byte::load_unaligned(p)), merge(Byte::load_unaligned(p + Byte::size)));
}

inline void unpack_step(const std::uint8_t* packed, const Table& code, std::int8_t* q) {
  const Byte bytes = Byte::load_unaligned(packed);
  store_interleaved(q, code.at(low_nibbles(bytes)), code.at(high_nibbles(bytes)));
}

}  // namespace

void QB_SYMBOL(quantize_f32_s4)(const float* x, std::size_t groups, std::size_t len,
                                std::uint8_t* q, float* scale) {
  quantize(x, groups, len, q, scale);
}

void QB_SYMBOL(quantize_f32_s4g)(const float* x, std::size_t groups, std::size_t len,
                                 std::uint8_t* q, f16* scale) {
  quantize(x, groups, len, q, scale);
}

void QB_SYMBOL(quantize_f16_s4)(const f16* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                                f16* inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += (len + 1) / 2) {
    const float largest = absmax(x, len);
    float wide = 7.0f / largest;
    wide = wide < 65504.0f ? wide : 65504.0f;
    const f16 stored = f32_to_f16(largest == 0.0f ? 0.0f : wide);
    encode(x, len, f16_to_f32(stored), q);
    inv[i] = stored;
  }
}

void QB_SYMBOL(dequantize_s4_f32)(const std::uint8_t* q, std::size_t groups, std::size_t len,
                                  const float* scale, float* y) {
  const Nibbles nibbles;
  for (std::size_t i = 0; i < groups; ++i)
    decode(q + i * ((len + 1) / 2), len, nibbles, scale[i], y + i * len);
}

void QB_SYMBOL(dequantize_s4g_f32)(const std::uint8_t* q, std::size_t groups, std::size_t len,
                                   const f16* scale, float* y) {
  const Nibbles nibbles;
  for (std::size_t i = 0; i < groups; ++i)
    decode(q + i * ((len + 1) / 2), len, nibbles, f16_to_f32(scale[i]), y + i * len);
}

void QB_SYMBOL(dequantize_s4_f16)(const std::uint8_t* q, std::size_t groups, std::size_t len,
                                  const f16* inv, f16* y) {
  for (std::size_t i = 0; i < groups; ++i, q += (len + 1) / 2, y += len) {
    const HalfTable table(inv[i]);
    std::size_t j = 0;
    for (; j + kStep <= len; j += kStep) decode_half(q + j / 2, table, y + j);
    if (j < len) {
      std::uint8_t bytes[kStep / 2] = {};
      f16 rest[kStep];
      __builtin_memcpy(bytes, q + j / 2, (len - j + 1) / 2);
      decode_half(bytes, table, rest);
      __builtin_memcpy(y + j, rest, (len - j) * sizeof(f16));
    }
  }
}

void QB_SYMBOL(pack_s4)(const std::int8_t* q, std::size_t n, std::uint8_t* packed) {
  std::size_t j = 0;
  for (; j + kStep <= n; j += kStep) pack_step(q + j).store_unaligned(packed + j / 2);
  if (j < n) {
    std::int8_t rest[kStep] = {};
    std::uint8_t bytes[kStep / 2];
    __builtin_memcpy(rest, q + j, n - j);
    pack_step(rest).store_unaligned(bytes);
    __builtin_memcpy(packed + j / 2, bytes, (n - j + 1) / 2);
  }
}

void QB_SYMBOL(unpack_s4)(const std::uint8_t* packed, std::size_t n, std::int8_t* q) {
  std::uint8_t codes[16];
  for (int i = 0; i < 16; ++i) codes[i] = std::uint8_t(i < 8 ? i : i - 16);
  const Table code(codes);
  std::size_t j = 0;
  for (; j + kStep <= n; j += kStep) unpack_step(packed + j / 2, code, q + j);
  if (j < n) {
    std::uint8_t bytes[kStep / 2] = {};
    std::int8_t rest[kStep];
    __builtin_memcpy(bytes, packed + j / 2, (n - j + 1) / 2);
    unpack_step(bytes, code, rest);
    __builtin_memcpy(q + j, rest, n - j);
  }
}

}  // namespace qb::quantize
