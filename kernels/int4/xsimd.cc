// Int4 quantization, portable. Arithmetic is xsimd's; narrowing, interleaving and table lookup of
// bytes, which xsimd 8 leaves to scalar code or lacks, go through the batch's register.
//
// No clip is written anywhere: |x| <= absmax makes |x*inv| at most 7 and two roundings, which is 7
// after rounding to an integer. (A non-finite input gives some code or other.)
#include "core/xsimd.h"

#include "core/scalar_half.h"
#include "int4/kernels.h"

namespace qb::int4 {
namespace {

using Float = batch<float>;
using Int = batch<std::int32_t>;
using Word = batch<std::uint16_t>;
using Byte = batch<std::uint8_t>;
constexpr std::size_t kLanes = Int::size;
constexpr std::size_t kStep = 2 * Byte::size;  // elements of one step: a batch of bytes

/// The same bits as another batch.
template <class To, class From>
inline To as(const From& v) {
  static_assert(sizeof(To) == sizeof(From));
  To out;
  __builtin_memcpy(&out, &v, sizeof out);
  return out;
}

// ---- what xsimd lacks; lanes stay in order

/// Lanes below 65536.
inline Word narrow(const Int& a, const Int& b) {
#if defined(QB_XSIMD_avx2)  // packing works in lanes of 128 bits: put the quarters in order
  return Word(_mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8));
#elif defined(QB_XSIMD_sse4_2)
  return Word(_mm_packus_epi32(a, b));
#elif defined(QB_XSIMD_neon)
  return Word(
      vcombine_u16(vmovn_u32(vreinterpretq_u32_s32(a)), vmovn_u32(vreinterpretq_u32_s32(b))));
#else
  std::int32_t wide[2 * kLanes];
  a.store_unaligned(wide);
  b.store_unaligned(wide + kLanes);
  std::uint16_t narrowed[2 * kLanes];
  for (std::size_t i = 0; i < 2 * kLanes; ++i) narrowed[i] = static_cast<std::uint16_t>(wide[i]);
  return Word::load_unaligned(narrowed);
#endif
}

/// Lanes below 256.
inline Byte narrow(const Word& a, const Word& b) {
#if defined(QB_XSIMD_avx2)
  return Byte(_mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8));
#elif defined(QB_XSIMD_sse4_2)
  return Byte(_mm_packus_epi16(a, b));
#elif defined(QB_XSIMD_neon)
  return Byte(vcombine_u8(vmovn_u16(a), vmovn_u16(b)));
#else
  std::uint16_t wide[Byte::size];
  a.store_unaligned(wide);
  b.store_unaligned(wide + Word::size);
  std::uint8_t narrowed[Byte::size];
  for (std::size_t i = 0; i < Byte::size; ++i) narrowed[i] = static_cast<std::uint8_t>(wide[i]);
  return Byte::load_unaligned(narrowed);
#endif
}

/// a0 b0 a1 b1 ... to memory, twice a batch.
inline void store_interleaved(void* p, const Byte& a, const Byte& b) {
#if defined(QB_XSIMD_avx2)
  const __m256i low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
  auto* const out = static_cast<__m256i*>(p);
  _mm256_storeu_si256(out, _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256(out + 1, _mm256_permute2x128_si256(low, high, 0x31));
#elif defined(QB_XSIMD_sse4_2)
  auto* const out = static_cast<__m128i*>(p);
  _mm_storeu_si128(out, _mm_unpacklo_epi8(a, b));
  _mm_storeu_si128(out + 1, _mm_unpackhi_epi8(a, b));
#elif defined(QB_XSIMD_neon)
  vst2q_u8(static_cast<std::uint8_t*>(p), (uint8x16x2_t{{a, b}}));
#else
  std::uint8_t even[Byte::size], odd[Byte::size], both[2 * Byte::size];
  a.store_unaligned(even);
  b.store_unaligned(odd);
  for (std::size_t i = 0; i < Byte::size; ++i) {
    both[2 * i] = even[i];
    both[2 * i + 1] = odd[i];
  }
  __builtin_memcpy(p, both, sizeof both);
#endif
}

/// Sixteen bytes, and the bytes among them that the indices, each below 16, name.
struct Table {
#if defined(QB_XSIMD_avx2)
  explicit Table(const std::uint8_t* p)
      : bytes(_mm256_broadcastsi128_si256(
            _mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(p))))) {}
  Byte at(const Byte& index) const { return Byte(_mm256_shuffle_epi8(bytes, index)); }
  __m256i bytes;
#elif defined(QB_XSIMD_sse4_2)
  explicit Table(const std::uint8_t* p)
      : bytes(_mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(p)))) {}
  Byte at(const Byte& index) const { return Byte(_mm_shuffle_epi8(bytes, index)); }
  __m128i bytes;
#elif defined(QB_XSIMD_neon)
  explicit Table(const std::uint8_t* p) : bytes(vld1q_u8(p)) {}
  Byte at(const Byte& index) const { return Byte(vqtbl1q_u8(bytes, index)); }
  uint8x16_t bytes;
#else
  explicit Table(const std::uint8_t* p) { __builtin_memcpy(bytes, p, sizeof bytes); }
  Byte at(const Byte& index) const {
    std::uint8_t lane[Byte::size];
    index.store_unaligned(lane);
    for (std::uint8_t& b : lane) b = bytes[b];
    return Byte::load_unaligned(lane);
  }
  std::uint8_t bytes[16];
#endif
};

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

/// A batch of bytes from kStep elements.
template <class T>
inline Byte codes(const T* x, const Float& inv) {
  Word word[4];
  for (std::size_t i = 0; i < 4; ++i)
    word[i] = narrow(code(x + 2 * i * kLanes, inv), code(x + (2 * i + 1) * kLanes, inv));
  return narrow(merge(narrow(word[0], word[1])), merge(narrow(word[2], word[3])));
}

template <class T>
inline void encode(const T* x, std::size_t len, float inv, std::uint8_t* q) {
  const Float factor(inv);
  std::size_t j = 0;
  for (; j + kStep <= len; j += kStep) codes(x + j, factor).store_unaligned(q + j / 2);
  if (j < len) {  // through memory of our own: zeros behind the end leave the last nibble 0
    T rest[kStep] = {};
    std::uint8_t bytes[kStep / 2];
    __builtin_memcpy(rest, x + j, (len - j) * sizeof(T));
    codes(rest, factor).store_unaligned(bytes);
    __builtin_memcpy(q + j / 2, bytes, (len - j + 1) / 2);
  }
}

/// x, or 0 where it is not finite.
inline float finite_or_zero(float x) {
  return x <= 0x1.fffffep127f && x >= -0x1.fffffep127f ? x : 0.0f;
}

/// Codes of one f32 group; returns its scale in f32.
inline float quantize(const float* x, std::size_t len, std::uint8_t* q) {
  const float largest = absmax(x, len);
  const float inv = finite_or_zero(7.0f / largest);  // 0 for a group of zeros
  encode(x, len, inv, q);
  return inv != 0.0f ? largest / 7.0f : 0.0f;
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

// ---- q4_0

/// The signed value of the largest magnitude among 32, the first on a tie; +0 if all are zero.
inline float signed_extreme(const float* x) {
  Float high = Float::load_unaligned(x), low = high;
  for (std::size_t j = kLanes; j < kBlock; j += kLanes) {
    const Float v = Float::load_unaligned(x + j);
    high = xsimd::max(high, v);
    low = xsimd::min(low, v);
  }
  const float highest = reduce_max(high), depth = reduce_max(-low);
  if (highest == depth)  // rare: look for the first
    for (std::size_t j = 0; j < kBlock; ++j)
      if (__builtin_fabsf(x[j]) == highest) return x[j] + 0.0f;
  return (depth > highest ? -depth : highest) + 0.0f;
}

/// min(15, trunc(x*id + 8.5)). Clamped first, so that a non-finite value converts too.
inline Int nibble(const float* x, const Float& id) {
  const Float v = Float::load_unaligned(x) * id + Float(8.5f);
  return xsimd::to_int(xsimd::max(xsimd::min(v, Float(15.0f)), Float(0.0f)));
}

}  // namespace

void QB_SYMBOL(quantize_f32_s4)(const float* x, std::size_t groups, std::size_t len,
                                std::uint8_t* q, float* scale) {
  for (std::size_t i = 0; i < groups; ++i)
    scale[i] = quantize(x + i * len, len, q + i * ((len + 1) / 2));
}

void QB_SYMBOL(quantize_f32_s4g)(const float* x, std::size_t groups, std::size_t len,
                                 std::uint8_t* q, f16* scale) {
  for (std::size_t i = 0; i < groups; ++i)
    scale[i] = f32_to_f16(quantize(x + i * len, len, q + i * ((len + 1) / 2)));
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

void QB_SYMBOL(quantize_f32_q4_0)(const float* x, std::size_t blocks, BlockQ4_0* y) {
  for (std::size_t i = 0; i < blocks; ++i, x += kBlock) {
    const float d = signed_extreme(x) / -8.0f;
    const Float id(finite_or_zero(1.0f / d));
    std::int32_t both[kBlock / 2];
    for (std::size_t j = 0; j < kBlock / 2; j += kLanes)
      (nibble(x + j, id) | (nibble(x + kBlock / 2 + j, id) << 4)).store_unaligned(both + j);
    y[i].d = f32_to_f16(d);
    for (std::size_t j = 0; j < kBlock / 2; ++j) y[i].qs[j] = std::uint8_t(both[j]);
  }
}

void QB_SYMBOL(dequantize_q4_0_f32)(const BlockQ4_0* x, std::size_t blocks, float* y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    const Float d(f16_to_f32(x[i].d));
    std::int32_t low[kBlock / 2], high[kBlock / 2];
    for (std::size_t j = 0; j < kBlock / 2; ++j) {
      low[j] = int(x[i].qs[j] & 15u) - 8;
      high[j] = int(x[i].qs[j] >> 4) - 8;
    }
    for (std::size_t j = 0; j < kBlock / 2; j += kLanes) {
      (xsimd::to_float(Int::load_unaligned(low + j)) * d).store_unaligned(y + j);
      (xsimd::to_float(Int::load_unaligned(high + j)) * d).store_unaligned(y + kBlock / 2 + j);
    }
  }
}

}  // namespace qb::int4
