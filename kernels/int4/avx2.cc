// Int4 quantization, AVX2.
//
//   quantize     a maximum of absolute values, then vmulps + vcvtps2dq (its rounding is rne) and
//                three levels of packing: vpackssdw, vpacksswb, vpmaddubsw (low + 16*high)
//   group, block the maxima of eight groups at once by a transpose tree, one vdivps for all eight,
//                ahead of the codes (core/avx2.h)
//   q4_0         two trees of integer maxima, for the extremes of either sign: a Zen 4 has those on
//                all four pipes, float maxima on the two that convert
//   dequantize   vpbroadcastd of four bytes puts eight nibbles into every lane; vpsllvd and vpsrad
//                leave lane i the i-th of them, sign-extended; vcvtdq2ps + vmulps
//   long f16     thresholds on the bits, by vpshufb and byte comparisons (int4/thresholds.h)
//   f16 back     sixteen results at most: vpshufb looks up their low and high bytes
//
// No clip is written anywhere: |x| <= absmax makes |x*inv| at most 7 and two roundings, which is 7
// after rounding to an integer. (A non-finite input gives some code or other.)
#include "core/avx2.h"

#include "core/turns.h"
#include "int4/kernels.h"
#include "int4/thresholds.h"

namespace qb::int4 {
namespace {

constexpr std::size_t kStep = 64;  // elements of one step of the s4 kernels: 32 bytes of codes

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

/// Streaming stores want 32-byte alignment.
template <bool streamed>
inline void store(void* p, __m256i v) {
  if constexpr (streamed)
    _mm256_stream_si256(static_cast<__m256i*>(p), v);
  else
    _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}
template <bool streamed>
inline void store(float* p, __m256 v) {
  store<streamed>(static_cast<void*>(p), _mm256_castps_si256(v));
}

inline bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 32 == 0; }

/// Whether `groups` outputs of `bytes` each, the first at p, made of `read` bytes each, are worth
/// streaming and all aligned.
inline bool streams(const void* p, std::size_t groups, std::size_t bytes, std::size_t read) {
  return past_caches(groups * read, groups * bytes) && aligned(p) &&
         (groups == 1 || bytes % 32 == 0);
}

// ---- absmax

inline __m256 magnitude(__m256 v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }

inline float absmax(const float* x, std::size_t len) {
  __m256 a[8];
  for (auto& v : a) v = _mm256_setzero_ps();
  std::size_t j = 0;
  if (len * sizeof *x >= kStreamBytes) {
    const FarMaxima far = far_maxima(x, len);
    a[0] = _mm256_castsi256_ps(far.most), j = far.done;
  }
  for (; j + 64 <= len; j += 64)
    for (std::size_t i = 0; i < 8; ++i)
      a[i] = _mm256_max_ps(a[i], magnitude(_mm256_loadu_ps(x + j + 8 * i)));
  for (; j + 8 <= len; j += 8) a[0] = _mm256_max_ps(a[0], magnitude(_mm256_loadu_ps(x + j)));
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = _mm256_max_ps(a[i], a[i + step]);
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(a[0]), _mm256_extractf128_ps(a[0], 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  m = _mm_max_ps(m, _mm_movehdup_ps(m));
  float largest = _mm_cvtss_f32(m);
  for (; j < len; ++j) {
    const float e = __builtin_fabsf(x[j]);
    largest = e > largest ? e : largest;
  }
  return largest;
}

/// Of binary16, as bits.
inline unsigned absmax(const f16* x, std::size_t len) {
  const __m256i mask = _mm256_set1_epi16(0x7fff);
  __m256i a[8];
  for (auto& v : a) v = _mm256_setzero_si256();
  std::size_t j = 0;
  if (len * sizeof *x >= kStreamBytes) {
    const FarMaxima far = far_maxima(x, len);
    a[0] = far.most, j = far.done;
  }
  for (; j + 128 <= len; j += 128)
    for (std::size_t i = 0; i < 8; ++i)
      a[i] = _mm256_max_epu16(a[i], _mm256_and_si256(mask, load(x + j + 16 * i)));
  for (; j + 16 <= len; j += 16) a[0] = _mm256_max_epu16(a[0], _mm256_and_si256(mask, load(x + j)));
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = _mm256_max_epu16(a[i], a[i + step]);
  const __m128i m = _mm_max_epu16(_mm256_castsi256_si128(a[0]), _mm256_extracti128_si256(a[0], 1));
  // vphminposuw is the only horizontal word reduction: a minimum, so complement.
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(m, _mm_set1_epi16(-1)));
  unsigned largest = ~unsigned(_mm_cvtsi128_si32(least)) & 0xffffu;
  for (; j < len; ++j) {
    const unsigned e = unsigned(x[j]) & 0x7fffu;
    largest = e > largest ? e : largest;
  }
  return largest;
}

// ---- codes

/// Not _cvtss_sh: clang's warns under -Wpedantic.
inline std::uint16_t to_half(float v) {
  const __m128i h = _mm_cvtps_ph(_mm_set_ss(v), _MM_FROUND_TO_NEAREST_INT);
  return std::uint16_t(_mm_extract_epi16(h, 0));
}

/// 64 codes, 8 a register, to 32 bytes.
inline __m256i pack64(const __m256i c[8]) {
  const __m256i low_nibble = _mm256_set1_epi8(15), weights = _mm256_set1_epi16(0x1001);
  __m256i half[2];
  for (int i = 0; i < 2; ++i) {
    const __m256i* const d = c + 4 * i;
    // Packing works within 128-bit halves: codes 0-3 8-11 16-19 24-27 | 4-7 12-15 20-23 28-31.
    const __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(d[0], d[1]), _mm256_packs_epi32(d[2], d[3]));
    half[i] = _mm256_maddubs_epi16(_mm256_and_si256(bytes, low_nibble), weights);
  }
  // Byte pairs, by their place in the result: 0 2 4 6 8 .. 14 | 1 3 5 .. 15 after vpermq brings
  // together the halves that belong together (each 0 2 4 6 1 3 5 7), put right by vpshufb.
  const __m256i order = _mm256_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,  //
                                         0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
  const __m256i packed = _mm256_packus_epi16(half[0], half[1]);
  return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(packed, 0xd8), order);
}

inline __m256i codes64(const float* x, __m256 inv) {
  __m256i c[8];
  for (int i = 0; i < 8; ++i)
    c[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inv));
  return pack64(c);
}

/// Rounded to f16 first: int8/avx2.cc has the proof.
inline __m256i codes64(const f16* x, __m256 inv) {
  const __m256 inv_large = _mm256_mul_ps(inv, _mm256_set1_ps(0x1p13f));
  __m256i c[8];
  for (int i = 0; i < 8; ++i) {
    const __m256 v = _mm256_cvtph_ps(load128(x + 8 * i)), large = _mm256_mul_ps(v, inv_large);
    c[i] = _mm256_cvtps_epi32(_mm256_sub_ps(_mm256_fmadd_ps(v, inv, large), large));
  }
  return pack64(c);
}

/// Codes of one group, whatever its length.
template <bool streamed, class T, class Factor>
inline void encode(const T* x, std::size_t len, const Factor& inv, std::uint8_t* q) {
  std::size_t j = 0;
  for (; j + kStep <= len; j += kStep) store<streamed>(q + j / 2, codes64(x + j, inv));
  if (j < len) {  // through memory of our own: zeros behind the end leave the last nibble 0
    T rest[kStep] = {};
    std::uint8_t bytes[kStep / 2];
    __builtin_memcpy(rest, x + j, (len - j) * sizeof(T));
    store<false>(bytes, codes64(rest, inv));
    __builtin_memcpy(q + j / 2, bytes, (len - j + 1) / 2);
  }
}

/// inv and scale of eight groups; both 0 where inv is not finite, as in a group of zeros.
struct Factors {
  __m256 inv, scale;
  explicit Factors(__m256 largest) {
    const __m256 seven = _mm256_set1_ps(7.0f);
    const __m256 quotient = _mm256_div_ps(seven, largest);
    const __m256 finite = _mm256_cmp_ps(quotient, _mm256_set1_ps(__builtin_inff()), _CMP_LT_OQ);
    inv = _mm256_and_ps(quotient, finite);
    scale = _mm256_and_ps(_mm256_div_ps(largest, seven), finite);
  }
};

/// The first n, 8 or 4.
inline void put_scales(float* scale, __m256 v, std::size_t n) {
  if (n == 4)
    _mm_storeu_ps(scale, _mm256_castps256_ps128(v));
  else
    _mm256_storeu_ps(scale, v);
}
inline void put_scales(f16* scale, __m256 v, std::size_t n) {
  const __m128i halves = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
  if (n == 4)
    _mm_storel_epi64(reinterpret_cast<__m128i*>(scale), halves);
  else
    _mm_storeu_si128(reinterpret_cast<__m128i*>(scale), halves);
}
inline void put_scale(float* scale, __m256 v) { *scale = _mm256_cvtss_f32(v); }
inline void put_scale(f16* scale, __m256 v) { *scale = f16(to_half(_mm256_cvtss_f32(v))); }

template <std::size_t kLen, bool kStream, class S>
[[gnu::noinline]] void groups_of(const float* x, std::size_t groups, std::uint8_t* q, S* scale) {
  constexpr std::size_t kVectors = kLen / 8;  // of one group
  in_two_passes<kLen, kStream>(
      x, groups, [](const float* from) { return absmax_of_4<kLen, kStream>(from); },
      [](__m256i low, __m256i high) { return reduce8(low, high, greater); },
      [=](std::size_t g, __m256 largest, std::size_t n) {
        const Factors factors(largest);
        put_scales(scale + g, factors.scale, n);
        return factors.inv;
      },
      [=](std::size_t g, const float* factor, const float* from) {
        std::uint8_t* to = q + g * kLen / 2;
        for (std::size_t v = 0; v < 4 * kVectors; v += 8, from += kStep, to += kStep / 2) {
          __m256i c[8];
          for (std::size_t i = 0; i < 8; ++i)
            c[i] = _mm256_cvtps_epi32(_mm256_mul_ps(
                _mm256_loadu_ps(from + 8 * i), _mm256_broadcast_ss(factor + (v + i) / kVectors)));
          store<kStream>(to, pack64(c));
        }
      });
}

template <std::size_t kLen, class S>
inline void groups_of(const float* x, std::size_t groups, std::uint8_t* q, S* scale, bool stream) {
  stream ? groups_of<kLen, true>(x, groups, q, scale) : groups_of<kLen, false>(x, groups, q, scale);
}

template <class S>
inline void quantize(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                     S* scale) {
  const std::size_t stride = (len + 1) / 2;
  const bool streamed = streams(q, groups, stride, len * sizeof *x);
  const bool lines = streams(q, 1, groups * stride, groups * len * sizeof *x);
  std::size_t done = groups / 16 * 16;
  if (done && len == 32)
    groups_of<32>(x, done, q, scale, lines);
  else if (done && len == 64)
    groups_of<64>(x, done, q, scale, lines);
  else if (done && len == 128)
    groups_of<128>(x, done, q, scale, lines);
  else
    done = 0;
  for (std::size_t i = done; i < groups; ++i) {
    const float* const group = x + i * len;
    const Factors factors(_mm256_set1_ps(absmax(group, len)));
    put_scale(scale + i, factors.scale);
    if (streamed)
      encode<true>(group, len, factors.inv, q + i * stride);
    else
      encode<false>(group, len, factors.inv, q + i * stride);
  }
  if (streamed || lines) _mm_sfence();
}

// ---- codes of a long f16 group, by table

/// Windows of 256 patterns, sixteen of them from the first threshold on, with two thresholds at
/// most inside.
struct Windows {
  bool usable = false;
  __m256i offset;  ///< the pattern before the first threshold
  /// By window: the code at its start, and the low bytes, biased, above which it is one more.
  __m256i start, first, second;

  Windows(unsigned absmax_bits, float inv) {
    if (absmax_bits == 0 || absmax_bits >= 0x7c00u) return;
    const ThresholdBits at(inv);
    const unsigned below = at.bits[0] - 1;
    if (absmax_bits >= below + 4096) return;
    for (std::size_t i = 0; i < 5; ++i)
      if (at.bits[i + 2] - at.bits[i] < 256) return;
    const auto words = [](unsigned v) { return _mm256_set1_epi16(std::int16_t(v)); };
    const __m256i begin = _mm256_slli_epi16(
        _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), 8);
    const __m256i none = words(127);  // no biased byte is greater
    __m256i codes = words(0), low = none, high = none;
    for (std::size_t i = 0; i < 7; ++i) {
      const __m256i d = _mm256_sub_epi16(words(at.bits[i] - below), begin);
      const __m256i inside =
          _mm256_and_si256(_mm256_cmpgt_epi16(d, words(0)), _mm256_cmpgt_epi16(words(256), d));
      codes = _mm256_sub_epi16(codes, _mm256_cmpgt_epi16(words(1), d));
      const __m256i above = _mm256_blendv_epi8(none, _mm256_sub_epi16(d, words(129)), inside);
      high = _mm256_min_epi16(high, _mm256_max_epi16(low, above));
      low = _mm256_min_epi16(low, above);
    }
    const auto bytes = [](__m256i v) {  // of the sixteen, in both halves
      const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi16(v, v), 0xd8);
      return _mm256_broadcastsi128_si256(_mm256_castsi256_si128(packed));
    };
    offset = words(below), start = bytes(codes), first = bytes(low), second = bytes(high);
    usable = true;
  }

  /// 32 codes as words of two nibbles: of elements 0-7 16-23 | 8-15 24-31.
  __m256i pairs(const f16* x) const {
    const __m256i a = load(x), b = load(x + 16), no_sign = _mm256_set1_epi16(0x7fff);
    const __m256i da = _mm256_subs_epu16(_mm256_and_si256(a, no_sign), offset);
    const __m256i db = _mm256_subs_epu16(_mm256_and_si256(b, no_sign), offset);
    const __m256i window = _mm256_packus_epi16(_mm256_srli_epi16(da, 8), _mm256_srli_epi16(db, 8));
    const __m256i low_byte = _mm256_set1_epi16(0xff);
    const __m256i low = _mm256_xor_si256(  // biased: bytes compare signed
        _mm256_packus_epi16(_mm256_and_si256(da, low_byte), _mm256_and_si256(db, low_byte)),
        _mm256_set1_epi8(-128));
    __m256i code = _mm256_shuffle_epi8(start, window);
    code = _mm256_sub_epi8(code, _mm256_cmpgt_epi8(low, _mm256_shuffle_epi8(first, window)));
    code = _mm256_sub_epi8(code, _mm256_cmpgt_epi8(low, _mm256_shuffle_epi8(second, window)));
    code = _mm256_sign_epi8(code, _mm256_packs_epi16(a, b));
    return _mm256_maddubs_epi16(_mm256_and_si256(code, _mm256_set1_epi8(15)),
                                _mm256_set1_epi16(0x1001));
  }
};

inline __m256i codes64(const f16* x, const Windows& table) {
  const __m256i bytes = _mm256_packus_epi16(table.pairs(x), table.pairs(x + 32));
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

// ---- back

/// Eight codes of four bytes, each times the scale. Lane i gets nibble i at its top, as
/// code * 2^28. A scale that carries the 2^-28 saves the shift that would sign-extend; it does if
/// that is exact, as for every f16.
template <bool prescaled>
inline __m256 decode8(const std::uint8_t* q, __m256 scale) {
  std::int32_t word;
  __builtin_memcpy(&word, q, sizeof word);
  const __m256i to_the_top = _mm256_setr_epi32(28, 24, 20, 16, 12, 8, 4, 0);
  const __m256i top = _mm256_sllv_epi32(_mm256_set1_epi32(word), to_the_top);
  const __m256i codes = prescaled ? _mm256_and_si256(top, _mm256_set1_epi32(int(0xf0000000u)))
                                  : _mm256_srai_epi32(top, 28);
  return _mm256_mul_ps(_mm256_cvtepi32_ps(codes), scale);
}

template <bool streamed, bool prescaled>
inline void decode32(const std::uint8_t* q, __m256 scale, float* y) {
  for (std::size_t i = 0; i < 4; ++i)
    store<streamed>(y + 8 * i, decode8<prescaled>(q + 4 * i, scale));
}

template <bool streamed, bool prescaled>
inline void decode(const std::uint8_t* q, std::size_t len, __m256 scale, float* y) {
  std::size_t j = 0;
  for (; j + 64 <= len; j += 64) {
    decode32<streamed, prescaled>(q + j / 2, scale, y + j);
    decode32<streamed, prescaled>(q + j / 2 + 16, scale, y + j + 32);
  }
  for (; j + 32 <= len; j += 32) decode32<streamed, prescaled>(q + j / 2, scale, y + j);
  if (j < len) {
    std::uint8_t bytes[16] = {};
    float rest[32];
    __builtin_memcpy(bytes, q + j / 2, (len - j + 1) / 2);
    decode32<false, prescaled>(bytes, scale, rest);
    __builtin_memcpy(y + j, rest, (len - j) * sizeof(float));
  }
}

template <bool streamed>
inline void dequantize(const std::uint8_t* q, std::size_t groups, std::size_t len,
                       const float* scale, float* y) {
  const std::size_t stride = (len + 1) / 2;
  for (std::size_t i = 0; i < groups; ++i) {
    // An ordinary scale takes the way of the f16 ones.
    if (scale[i] >= 0x1p-90f)
      decode<streamed, true>(q + i * stride, len, _mm256_set1_ps(scale[i] * 0x1p-28f), y + i * len);
    else
      decode<streamed, false>(q + i * stride, len, _mm256_set1_ps(scale[i]), y + i * len);
  }
  if (streamed) _mm_sfence();
}

inline __m256 prescaled8(__m128i halves) {
  return _mm256_mul_ps(_mm256_cvtph_ps(halves), _mm256_set1_ps(0x1p-28f));
}

template <bool streamed>
inline void dequantize(const std::uint8_t* q, std::size_t groups, std::size_t len, const f16* scale,
                       float* y) {
  const std::size_t stride = (len + 1) / 2;
  std::size_t i = 0;
  if (len == 32)  // the scales of eight groups at once
    for (; i + 8 <= groups; i += 8) {
      alignas(32) float factor[8];
      _mm256_store_ps(factor, prescaled8(load128(scale + i)));
      for (std::size_t g = 0; g < 8; ++g)
        decode32<streamed, true>(q + 16 * (i + g), _mm256_broadcast_ss(factor + g),
                                 y + 32 * (i + g));
    }
  for (; i < groups; ++i) {
    const __m128i half = _mm_set1_epi16(short(static_cast<std::uint16_t>(scale[i])));
    decode<streamed, true>(q + i * stride, len, prescaled8(half), y + i * len);
  }
  if (streamed) _mm_sfence();
}

template <class S>
inline void dequantize(const std::uint8_t* q, std::size_t groups, std::size_t len, const S* scale,
                       float* y) {
  const std::size_t bytes = len * sizeof(float);
  if (streams(y, groups, bytes, (len + 1) / 2))
    dequantize<true>(q, groups, len, scale, y);
  else
    dequantize<false>(q, groups, len, scale, y);
}

/// The sixteen results f16(code / inv), by nibble, as tables of their low and their high bytes.
struct HalfTable {
  __m256i low, high;
  explicit HalfTable(f16 inv) {
    const float divisor = _cvtsh_ss(static_cast<std::uint16_t>(inv));
    __m128i result[2];
    for (int i = 0; i < 2; ++i) {
      const __m256 code = i ? _mm256_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1)
                            : _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);
      __m256 quotient = _mm256_div_ps(code, _mm256_set1_ps(divisor));
      quotient = divisor == 0.0f ? _mm256_setzero_ps() : quotient;
      result[i] = _mm256_cvtps_ph(quotient, _MM_FROUND_TO_NEAREST_INT);
    }
    const __m128i low_bytes = _mm_set1_epi16(0xff);
    low = _mm256_broadcastsi128_si256(
        _mm_packus_epi16(_mm_and_si128(result[0], low_bytes), _mm_and_si128(result[1], low_bytes)));
    high = _mm256_broadcastsi128_si256(
        _mm_packus_epi16(_mm_srli_epi16(result[0], 8), _mm_srli_epi16(result[1], 8)));
  }
};

/// 64 results of 32 bytes.
template <bool streamed>
inline void decode64(const std::uint8_t* q, const HalfTable& table, f16* y) {
  const __m256i nibble = _mm256_set1_epi8(15);
  // Four bytes make a 128-bit half of the output. Even fours into the low half and odd ones into
  // the high half: then unpacking within halves leaves every output register in order.
  const __m256i bytes =
      _mm256_permutevar8x32_epi32(load(q), _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
  const __m256i even = _mm256_and_si256(bytes, nibble);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
  const __m256i even_low = _mm256_shuffle_epi8(table.low, even);
  const __m256i even_high = _mm256_shuffle_epi8(table.high, even);
  const __m256i odd_low = _mm256_shuffle_epi8(table.low, odd);
  const __m256i odd_high = _mm256_shuffle_epi8(table.high, odd);
  const __m256i e0 = _mm256_unpacklo_epi8(even_low, even_high);
  const __m256i e1 = _mm256_unpackhi_epi8(even_low, even_high);
  const __m256i o0 = _mm256_unpacklo_epi8(odd_low, odd_high);
  const __m256i o1 = _mm256_unpackhi_epi8(odd_low, odd_high);
  store<streamed>(y, _mm256_unpacklo_epi16(e0, o0));
  store<streamed>(y + 16, _mm256_unpackhi_epi16(e0, o0));
  store<streamed>(y + 32, _mm256_unpacklo_epi16(e1, o1));
  store<streamed>(y + 48, _mm256_unpackhi_epi16(e1, o1));
}

template <bool streamed>
inline void dequantize_half(const std::uint8_t* q, std::size_t groups, std::size_t len,
                            const f16* inv, f16* y) {
  for (std::size_t i = 0; i < groups; ++i, q += (len + 1) / 2, y += len) {
    const HalfTable table(inv[i]);
    std::size_t j = 0;
    for (; j + kStep <= len; j += kStep) decode64<streamed>(q + j / 2, table, y + j);
    if (j < len) {
      std::uint8_t bytes[kStep / 2] = {};
      f16 rest[kStep];
      __builtin_memcpy(bytes, q + j / 2, (len - j + 1) / 2);
      decode64<false>(bytes, table, rest);
      __builtin_memcpy(y + j, rest, (len - j) * sizeof(f16));
    }
  }
  if (streamed) _mm_sfence();
}

// ---- layout

inline __m256i pack_pairs(const std::int8_t* q) {
  const __m256i low_nibble = _mm256_set1_epi8(15), weights = _mm256_set1_epi16(0x1001);
  return _mm256_maddubs_epi16(_mm256_and_si256(load(q), low_nibble), weights);
}

/// 32 bytes of 64 codes.
inline __m256i pack64(const std::int8_t* q) {
  return _mm256_permute4x64_epi64(_mm256_packus_epi16(pack_pairs(q), pack_pairs(q + 32)), 0xd8);
}

template <bool streamed>
inline void pack(const std::int8_t* q, std::size_t n, std::uint8_t* packed) {
  std::size_t j = 0;
  for (; j + 2 * kStep <= n; j += 2 * kStep) {
    store<streamed>(packed + j / 2, pack64(q + j));
    store<streamed>(packed + j / 2 + 32, pack64(q + j + kStep));
  }
  if (streamed) _mm_sfence();
  for (; j + kStep <= n; j += kStep) store<false>(packed + j / 2, pack64(q + j));
  if (j < n) {
    std::int8_t rest[kStep] = {};
    std::uint8_t bytes[kStep / 2];
    __builtin_memcpy(rest, q + j, n - j);
    store<false>(bytes, pack64(rest));
    __builtin_memcpy(packed + j / 2, bytes, (n - j + 1) / 2);
  }
}

/// 64 codes of 32 bytes: vpshufb maps a nibble to its sign-extended code.
template <bool streamed>
inline void unpack64(const std::uint8_t* packed, std::int8_t* q) {
  const __m256i nibble = _mm256_set1_epi8(15);
  const __m256i code = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1,  //
                                        0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
  // Bytes 0-7 and 8-15 in the low quarters of the halves, for unpacking works within halves.
  const __m256i bytes = _mm256_permute4x64_epi64(load(packed), 0xd8);
  const __m256i even = _mm256_shuffle_epi8(code, _mm256_and_si256(bytes, nibble));
  const __m256i odd =
      _mm256_shuffle_epi8(code, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble));
  store<streamed>(q, _mm256_unpacklo_epi8(even, odd));
  store<streamed>(q + 32, _mm256_unpackhi_epi8(even, odd));
}

template <bool streamed>
inline void unpack(const std::uint8_t* packed, std::size_t n, std::int8_t* q) {
  std::size_t j = 0;
  for (; j + kStep <= n; j += kStep) unpack64<streamed>(packed + j / 2, q + j);
  if (streamed) _mm_sfence();
  if (j < n) {
    std::uint8_t bytes[kStep / 2] = {};
    std::int8_t rest[kStep];
    __builtin_memcpy(bytes, packed + j / 2, (n - j + 1) / 2);
    unpack64<false>(bytes, rest);
    __builtin_memcpy(q + j, rest, n - j);
  }
}

// ---- q4_0

/// For a block whose largest magnitude occurs with both signs: the sign of the first.
[[gnu::noinline]] float first_extreme(const float* x, float largest) {
  unsigned positive = 0, negative = 0;
  for (int i = 0; i < 4; ++i) {
    const __m256 v = _mm256_loadu_ps(x + 8 * i);
    positive |= unsigned(_mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_set1_ps(largest), _CMP_EQ_OQ)))
                << 8 * i;
    negative |= unsigned(_mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_set1_ps(-largest), _CMP_EQ_OQ)))
                << 8 * i;
  }
  const unsigned first = (positive | negative) & (0u - (positive | negative));
  return first & negative ? -largest : largest;
}

/// The values of largest magnitude of either sign, as integers: signed the highest is the largest
/// positive, unsigned the most negative; where one sign is missing, both are the other's.
struct Extremes {
  __m256i positive, negative;
};
inline __m256i positive_of(__m256i a, __m256i b) { return _mm256_max_epi32(a, b); }
inline __m256i negative_of(__m256i a, __m256i b) { return _mm256_max_epu32(a, b); }

/// Of four blocks, in each half.
inline __attribute__((always_inline)) Extremes extremes_of_4(const float* x) {
  const auto reduce = [=](auto op) {
    __m256i g[4];
    for (std::size_t i = 0; i < 4; ++i) {
      const float* const b = x + kBlock * i;
      g[i] = op(op(load(b), load(b + 8)), op(load(b + 16), load(b + 24)));
    }
    return reduce4(g[0], g[1], g[2], g[3], op);
  };
  return {reduce(positive_of), reduce(negative_of)};
}

/// Of eight, one a lane.
struct Extremes8 {
  __m256 positive, negative;
};
inline Extremes8 extremes_of_8(const Extremes& low, const Extremes& high) {
  return {reduce8(low.positive, high.positive, positive_of),
          reduce8(low.negative, high.negative, negative_of)};
}

/// d and 1/d (0 where it is not finite) of eight blocks at x.
struct FactorsQ4_0 {
  __m256 d, id;
  FactorsQ4_0(const Extremes8& e, const float* x) {
    const __m256 zero = _mm256_setzero_ps(), sign = _mm256_set1_ps(-0.0f);
    const __m256 sum = _mm256_add_ps(e.positive, e.negative);  // of both signs: its sign decides
    // Adding 0 makes -0 a +0, as a block of zeros has it.
    __m256 extreme = _mm256_add_ps(_mm256_blendv_ps(e.positive, e.negative, sum), zero);
    int ties = _mm256_movemask_ps(_mm256_and_ps(_mm256_cmp_ps(sum, zero, _CMP_EQ_OQ),
                                                _mm256_cmp_ps(extreme, zero, _CMP_NEQ_OQ)));
    if (__builtin_expect(ties != 0, 0)) {
      alignas(32) float each[8];
      _mm256_store_ps(each, extreme);
      for (; ties; ties &= ties - 1) {
        const auto b = std::size_t(__builtin_ctz(unsigned(ties)));
        each[b] = first_extreme(x + kBlock * b, __builtin_fabsf(each[b]));
      }
      extreme = _mm256_load_ps(each);
    }
    d = _mm256_mul_ps(extreme, _mm256_set1_ps(-0.125f));
    id = _mm256_div_ps(_mm256_set1_ps(1.0f), d);
    const __m256 finite =
        _mm256_cmp_ps(_mm256_andnot_ps(sign, id), _mm256_set1_ps(__builtin_inff()), _CMP_LT_OQ);
    id = _mm256_and_ps(id, finite);
  }
};

/// Sixteen times the codes of 16 elements, with four bits of fraction, before their limit, as
/// words: 0-3 8-11 | 4-7 12-15. The FMA rounds as the sum of the product and 8.5.
inline __m256i words_q4_0(const float* x, __m256 id) {
  const auto words = [=](const float* p) {
    return _mm256_cvttps_epi32(_mm256_fmadd_ps(_mm256_mul_ps(_mm256_loadu_ps(p), id),
                                               _mm256_set1_ps(16.0f), _mm256_set1_ps(136.0f)));
  };
  return _mm256_packus_epi32(words(x), words(x + 8));
}

/// The bytes of two blocks. Packing saturates: 15 and all of the fraction.
inline __m256i bytes_q4_0(const float* x, __m256 first, __m256 second) {
  const __m256i low = _mm256_packus_epi16(words_q4_0(x, first), words_q4_0(x + kBlock, second));
  const __m256i high =
      _mm256_packus_epi16(words_q4_0(x + 16, first), words_q4_0(x + kBlock + 16, second));
  const __m256i low_nibbles = _mm256_set1_epi8(15);
  const __m256i bytes = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(low, 4), low_nibbles),
                                        _mm256_andnot_si256(low_nibbles, high));
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/// A multiple of 16 blocks. kFar: as in in_two_passes.
template <bool kFar>
[[gnu::noinline]] void quantize_q4_0(const float* x, std::size_t blocks, BlockQ4_0* y) {
  alignas(16) f16 d[16];
  in_two_passes<kBlock, kFar>(
      x, blocks, [](const float* from) { return extremes_of_4(from); }, extremes_of_8,
      [&](std::size_t b, const Extremes8& extremes, std::size_t) {
        const FactorsQ4_0 factors(extremes, x + b * kBlock);
        put_scales(d + b % 16, factors.d, 8);
        return factors.id;
      },
      [&](std::size_t b, const float* id, const float* from) {
        for (std::size_t i = 0; i < 4; i += 2, from += 2 * kBlock) {
          const __m256i both =
              bytes_q4_0(from, _mm256_broadcast_ss(id + i), _mm256_broadcast_ss(id + i + 1));
          BlockQ4_0* const to = y + b + i;
          to[0].d = d[b % 16 + i];
          _mm_storeu_si128(reinterpret_cast<__m128i*>(to[0].qs), _mm256_castsi256_si128(both));
          to[1].d = d[b % 16 + i + 1];
          _mm_storeu_si128(reinterpret_cast<__m128i*>(to[1].qs), _mm256_extracti128_si256(both, 1));
        }
      });
}

/// Sixteen values of eight bytes: elements 0-7 (low nibbles) and 16-23 (high), or 8-15 and 24-31.
template <bool streamed>
inline void decode_q4_0(const std::uint8_t* qs, __m256 scale, float* low, float* high) {
  std::int64_t eight;
  __builtin_memcpy(&eight, qs, sizeof eight);
  // Byte i to the top of lane i. There a nibble n with its sign bit flipped reads (n - 8) * 2^28,
  // and the scale carries the 2^-28: exact, for d is an f16.
  const __m256i top = _mm256_setr_epi8(-1, -1, -1, 0, -1, -1, -1, 1, -1, -1, -1, 2, -1, -1, -1, 3,
                                       -1, -1, -1, 4, -1, -1, -1, 5, -1, -1, -1, 6, -1, -1, -1, 7);
  const __m256i bytes = _mm256_xor_si256(_mm256_shuffle_epi8(_mm256_set1_epi64x(eight), top),
                                         _mm256_set1_epi32(int(0x88000000u)));
  const __m256i low_codes = _mm256_slli_epi32(bytes, 4);
  const __m256i high_codes = _mm256_and_si256(bytes, _mm256_set1_epi32(int(0xf0000000u)));
  store<streamed>(low, _mm256_mul_ps(_mm256_cvtepi32_ps(low_codes), scale));
  store<streamed>(high, _mm256_mul_ps(_mm256_cvtepi32_ps(high_codes), scale));
}

template <bool streamed>
inline void dequantize_q4_0(const BlockQ4_0* x, std::size_t blocks, float* y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    const __m256 scale = prescaled8(_mm_set1_epi16(short(static_cast<std::uint16_t>(x[i].d))));
    decode_q4_0<streamed>(x[i].qs, scale, y, y + 16);
    decode_q4_0<streamed>(x[i].qs + 8, scale, y + 8, y + 24);
  }
  if (streamed) _mm_sfence();
}

}  // namespace

void quantize_f32_s4_avx2(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                          float* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f32_s4g_avx2(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                           f16* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f16_s4_avx2(const f16* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                          f16* inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += (len + 1) / 2) {
    const unsigned largest_bits = absmax(x, len);
    const float largest = _cvtsh_ss(static_cast<unsigned short>(largest_bits));
    float wide = 7.0f / largest;
    wide = wide < 65504.0f ? wide : 65504.0f;
    wide = largest == 0.0f ? 0.0f : wide;
    const std::uint16_t stored = to_half(wide);
    const float factor = _cvtsh_ss(stored);
    const Windows table(len < kLongHalf ? 0 : largest_bits, factor);
    if (table.usable)
      encode<false>(x, len, table, q);
    else
      encode<false>(x, len, _mm256_set1_ps(factor), q);
    inv[i] = f16(stored);
  }
}

void dequantize_s4_f32_avx2(const std::uint8_t* q, std::size_t groups, std::size_t len,
                            const float* scale, float* y) {
  dequantize(q, groups, len, scale, y);
}

void dequantize_s4g_f32_avx2(const std::uint8_t* q, std::size_t groups, std::size_t len,
                             const f16* scale, float* y) {
  dequantize(q, groups, len, scale, y);
}

void dequantize_s4_f16_avx2(const std::uint8_t* q, std::size_t groups, std::size_t len,
                            const f16* inv, f16* y) {
  const std::size_t bytes = len * sizeof(f16);
  if (streams(y, groups, bytes, (len + 1) / 2))
    dequantize_half<true>(q, groups, len, inv, y);
  else
    dequantize_half<false>(q, groups, len, inv, y);
}

void pack_s4_avx2(const std::int8_t* q, std::size_t n, std::uint8_t* packed) {
  if (streams(packed, 1, n / 2, n))
    pack<true>(q, n, packed);
  else
    pack<false>(q, n, packed);
}

void unpack_s4_avx2(const std::uint8_t* packed, std::size_t n, std::int8_t* q) {
  if (streams(q, 1, n, n / 2))
    unpack<true>(packed, n, q);
  else
    unpack<false>(packed, n, q);
}

void quantize_f32_q4_0_avx2(const float* x, std::size_t blocks, BlockQ4_0* y) {
  const std::size_t done = blocks / 16 * 16;
  if (done)
    past_caches(blocks * kBlock * sizeof *x, blocks * sizeof *y) ? quantize_q4_0<true>(x, done, y)
                                                                 : quantize_q4_0<false>(x, done, y);
  if (done < blocks) {
    float rest[16 * kBlock] = {};
    BlockQ4_0 out[16];
    __builtin_memcpy(rest, x + done * kBlock, (blocks - done) * kBlock * sizeof(float));
    quantize_q4_0<false>(rest, 16, out);
    __builtin_memcpy(y + done, out, (blocks - done) * sizeof(BlockQ4_0));
  }
}

void dequantize_q4_0_f32_avx2(const BlockQ4_0* x, std::size_t blocks, float* y) {
  if (streams(y, 1, blocks * kBlock * sizeof *y, blocks * sizeof *x))
    dequantize_q4_0<true>(x, blocks, y);
  else
    dequantize_q4_0<false>(x, blocks, y);
}

}  // namespace qb::int4
