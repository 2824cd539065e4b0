// Int4 quantization, AVX-512. What binds each loop in the first-level cache; further out it is
// memory.
//
//   groups        the two vector pipes: sixteen maxima reduced by one transpose tree, one division
//                 for all (core/avx512.h), then vmulps + vcvtps2dq a vector, and 13 operations pack
//                 eight vectors: vpackssdw, vpacksswb, vpmaddubsw (low + 16*high)
//   q4_0          one tree of vrangeps finds a value of largest magnitude, with its sign. If the
//                 other sign has one too the first of them counts: its code is 16.5 before its
//                 limit, so codes with four bits of fraction tell, and the blocks are done again
//                 one by one. 9 half operations for 32 elements to find d and 19 for the codes, 7.2
//                 cycles at best on a Zen 4, of which 8.8 were measured in L2 when this was
//                 written.
//   dequantize    a table of the sixteen products in one register: vpsrlvd brings nibble i to the
//                 low bits of lane i and vpermps, which ignores those above, looks it up. Three
//                 operations for sixteen values, no conversion and no multiplication.
//   f16 back      the same with vpermw, 32 at a time
//   f16 in        five operations a vector, two of them to round to f16
//   long f16      thresholds on the bits (int4/thresholds.h): vpermw of an entry per window and two
//                 shifts make 32 codes in six operations. On a Zen 4 64 of them take 9.6 cycles at
//                 best beside their absmax; 11.6 were measured in L2
//
// llvm-mca for Sapphire Rapids, whose model has one port for 512-bit floats where the CPU has two:
// 128 codes of s4 take 19 cycles, those of four q4_0 blocks 20; 64 values of s4 back 5.5, 32 of
// q4_0 5 (both bound by shuffles).
//
// No clip is written anywhere: |x| <= absmax makes |x*inv| at most 7 and two roundings, which is 7
// after rounding to an integer. (A non-finite input gives some code or other.)
#include "core/avx512.h"

#include "int4/kernels.h"
#include "int4/thresholds.h"

namespace qb::int4 {
namespace {

constexpr float kMost = 7.0f;
constexpr std::size_t kStep = 128;  // elements of one step: a line of codes

/// Whether `groups` outputs of `bytes` each, the first at p, made of `read` bytes each, are worth
/// streaming and all at lines.
inline bool streams(const void* p, std::size_t groups, std::size_t bytes, std::size_t read) {
  return past_caches(groups * read, groups * bytes) && at_line(p) &&
         (groups == 1 || bytes % kLineBytes == 0);
}

// ---- codes

/// 128 codes, 16 a register, to 64 bytes.
inline __m512i pack128(const __m512i (&c)[8]) {
  const __m512i low_nibble = _mm512_set1_epi8(15), weights = _mm512_set1_epi16(0x1001);
  __m512i half[2];
  for (int i = 0; i < 2; ++i) {
    const __m512i* const d = c + 4 * i;
    // Packing works within quarters: each has four codes of every register.
    const __m512i bytes =
        _mm512_packs_epi16(_mm512_packs_epi32(d[0], d[1]), _mm512_packs_epi32(d[2], d[3]));
    half[i] = _mm512_maddubs_epi16(_mm512_and_si512(bytes, low_nibble), weights);
  }
  // Words of four codes: quarter q has those of registers 0 to 7, and register r wants its four
  // words one behind the other.
  const __m512i order = _mm512_set_epi16(31, 23, 15, 7, 30, 22, 14, 6, 29, 21, 13, 5, 28, 20, 12, 4,
                                         27, 19, 11, 3, 26, 18, 10, 2, 25, 17, 9, 1, 24, 16, 8, 0);
  return _mm512_permutexvar_epi16(order, _mm512_packus_epi16(half[0], half[1]));
}

/// The first n of 128 codes, zeros behind them; n may be 128 or more.
template <class Rounding, class T>
inline __m512i some_codes(const T* x, std::size_t n, __m512 inv) {
  __m512i c[8];
  for (std::size_t i = 0; i < 8; ++i)
    c[i] = Rounding::code(load16(x + 16 * i, beyond(n, 16 * i)), inv);
  return pack128(c);
}

template <class Rounding, class T>
inline __attribute__((always_inline)) __m512i codes128(const T* x, __m512 inv) {
  __m512i c[8];
  for (std::size_t i = 0; i < 8; ++i) c[i] = Rounding::code(load16(x + 16 * i), inv);
  return pack128(c);
}

/// Codes of one group, whatever its length.
template <bool kStream, class Rounding, class T>
[[gnu::noinline]] void encode(const T* x, std::size_t len, float factor, std::uint8_t* q) {
  const __m512 inv = _mm512_set1_ps(factor);
  std::size_t j = 0;
  for (; j + kStep <= len; j += kStep) store<kStream>(q + j / 2, codes128<Rounding>(x + j, inv));
  if (j < len)
    _mm512_mask_storeu_epi8(q + j / 2, first64((len - j + 1) / 2),
                            some_codes<Rounding>(x + j, len - j, inv));
}

template <std::size_t kLen, bool kStream, class S>
[[gnu::noinline]] void groups_of(const float* x, std::size_t groups, std::uint8_t* q, S* scale) {
  constexpr std::size_t kVectors = kLen / 16;  // of one group
  in_two_passes<kLen, kStream>(
      x, groups, [](const float* from) { return absmax_of_4<kLen>(from); },
      [](const __m512(&four)[4]) { return reduce16(four, greater); },
      [=](std::size_t g, __m512 largest, std::size_t n) {
        const Factors16 factors(largest, kMost);
        put_scales(scale + g, factors.scale, n);
        return factors.inv;
      },
      [=](std::size_t g, const float* factor, const float* from) {
        std::uint8_t* to = q + g * kLen / 2;
#pragma GCC unroll 4
        for (std::size_t v = 0; v < 4 * kVectors; v += 8, from += kStep, to += kStep / 2) {
          __m512i c[8];
#pragma GCC unroll 8
          for (std::size_t i = 0; i < 8; ++i)
            c[i] = HalfToEven::code(load16(from + 16 * i), broadcast(factor + (v + i) / kVectors));
          store<kStream>(to, pack128(c));
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
  const bool far = past_caches(groups * len * sizeof *x, groups * stride);
  const bool lines = far && at_line(q);
  std::size_t done = groups / 16 * 16;
  if (done && len == 32)
    groups_of<32>(x, done, q, scale, lines);
  else if (done && len == 64)
    groups_of<64>(x, done, q, scale, lines);
  else if (done && len == 128)
    groups_of<128>(x, done, q, scale, lines);
  else
    done = 0;
  const bool streamed =
      far && at_line(q + done * stride) && (groups - done == 1 || stride % kLineBytes == 0);
  for (std::size_t i = done; i < groups; ++i) {
    const float* const group = x + i * len;
    const Factors factors(absmax_of_1(group, len), kMost);
    put_scale(scale + i, factors.scale);
    streamed ? encode<true, HalfToEven>(group, len, factors.inv, q + i * stride)
             : encode<false, HalfToEven>(group, len, factors.inv, q + i * stride);
  }
  if (far) _mm_sfence();
}

// ---- codes of a long f16 group, by table

/// Windows of 128 patterns, 32 of them from below the first threshold, with one threshold at most.
/// A window's entry takes a pattern's place in it, plus 128 for each threshold before it, to what
/// has the code above its low seven bits.
struct Windows {
  bool usable = false;
  __m512i first,
      entry;  ///< the first window's start, everywhere; by the last five bits of a window

  Windows(unsigned absmax_bits, float inv) {
    if (absmax_bits == 0 || absmax_bits >= 0x7c00u) return;
    const ThresholdBits at(inv);
    const unsigned begin = at.bits[0] / 128 * 128;
    if (absmax_bits >= begin + 4096) return;
    for (std::size_t i = 0; i < 6; ++i)
      if (at.bits[i + 1] - at.bits[i] < 128) return;
    alignas(64) std::uint16_t window[32];
    for (unsigned i = 0; i < 32; ++i) window[i] = std::uint16_t(begin + (128 * i - begin) % 4096);
    const __m512i start = _mm512_load_si512(window), size = _mm512_set1_epi16(128);
    entry = _mm512_sub_epi16(_mm512_setzero_si512(), start);
    for (std::size_t i = 0; i < 7; ++i) {
      const __m512i threshold = _mm512_set1_epi16(std::int16_t(at.bits[i]));
      const __m512i behind = _mm512_subs_epu16(_mm512_add_epi16(start, size), threshold);
      entry = _mm512_add_epi16(entry, _mm512_min_epu16(behind, size));
    }
    first = _mm512_set1_epi16(std::int16_t(begin));
    usable = true;
  }

  /// Codes of magnitudes.
  __m512i codes(__m512i x) const {
    const __m512i pattern = _mm512_max_epu16(_mm512_and_si512(x, _mm512_set1_epi16(0x7fff)), first);
    const __m512i window = _mm512_srli_epi16(pattern, 7);
    return _mm512_srli_epi16(_mm512_add_epi16(pattern, _mm512_permutexvar_epi16(window, entry)), 7);
  }

  /// 64 codes as words of two nibbles: of eight elements, and of the eight that lie 32 behind, in
  /// each quarter.
  __m512i pairs(const f16* x) const {
    const __m512i a = _mm512_loadu_si512(x), b = _mm512_loadu_si512(x + 32);
    const __m512i code = _mm512_packus_epi16(codes(a), codes(b));
    const __mmask64 negative = _mm512_movepi8_mask(_mm512_packs_epi16(a, b));
    const __m512i nibble = _mm512_mask_sub_epi8(code, negative, _mm512_setzero_si512(), code);
    return _mm512_maddubs_epi16(_mm512_and_si512(nibble, _mm512_set1_epi8(15)),
                                _mm512_set1_epi16(0x1001));
  }
};

inline __m512i codes128(const f16* x, const Windows& table) {
  const __m512i bytes = _mm512_packus_epi16(table.pairs(x), table.pairs(x + 64));
  return _mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), bytes);
}

[[gnu::noinline]] void encode(const f16* x, std::size_t len, const Windows& table, float inv,
                              std::uint8_t* q) {
  std::size_t j = 0;
  for (; j + kStep <= len; j += kStep) _mm512_storeu_si512(q + j / 2, codes128(x + j, table));
  encode<false, ThroughF16>(x + j, len - j, inv, q + j / 2);
}

// ---- back

/// The sixteen codes by nibble, two's complement.
inline __m512 codes_by_nibble() {
  return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
}

/// Sixteen results of eight bytes. Lanes 0-7 see the first four of them, the others the last four.
inline __m512 decode16(const std::uint8_t* q, __m512 table) {
  const __m512i to_the_low =
      _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
  const __m512i first = _mm512_broadcastd_epi32(_mm_loadu_si32(q));
  const __m512i both = _mm512_mask_broadcastd_epi32(first, 0xff00, _mm_loadu_si32(q + 4));
  return _mm512_permutexvar_ps(_mm512_srlv_epi32(both, to_the_low), table);
}

template <bool kStream>
inline void decode32(const std::uint8_t* q, __m512 table, float* y) {
  store<kStream>(y, _mm512_castps_si512(decode16(q, table)));
  store<kStream>(y + 16, _mm512_castps_si512(decode16(q + 8, table)));
}

template <bool kStream>
inline void decode(const std::uint8_t* q, std::size_t len, __m512 table, float* y) {
  std::size_t j = 0;
  for (; j + 64 <= len; j += 64) {
    decode32<kStream>(q + j / 2, table, y + j);
    decode32<kStream>(q + j / 2 + 16, table, y + j + 32);
  }
  for (; j + 32 <= len; j += 32) decode32<kStream>(q + j / 2, table, y + j);
  if (j < len) {
    alignas(16) std::uint8_t bytes[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(bytes),
                    _mm_maskz_loadu_epi8(first16((len - j + 1) / 2), q + j / 2));
    _mm512_mask_storeu_ps(y + j, first16(len - j), decode16(bytes, table));
    if (j + 16 < len)
      _mm512_mask_storeu_ps(y + j + 16, first16(len - j - 16), decode16(bytes + 8, table));
  }
}

inline float wide(float scale) { return scale; }
inline float wide(f16 scale) { return widened(scale); }

template <bool kStream, class S>
inline void dequantize(const std::uint8_t* q, std::size_t groups, std::size_t len, const S* scale,
                       float* y) {
  const __m512 codes = codes_by_nibble();
  const std::size_t stride = (len + 1) / 2;
  std::size_t i = 0;
  if constexpr (sizeof(S) == sizeof(f16))
    if (len == 32)  // the scales of sixteen groups at once
      for (; i + 16 <= groups; i += 16) {
        alignas(64) float factor[16];
        _mm512_store_ps(factor, load16(scale + i));
        for (std::size_t g = 0; g < 16; ++g)
          decode32<kStream>(q + 16 * (i + g), _mm512_mul_ps(codes, broadcast(factor + g)),
                            y + 32 * (i + g));
      }
  for (; i < groups; ++i)
    decode<kStream>(q + i * stride, len, _mm512_mul_ps(codes, _mm512_set1_ps(wide(scale[i]))),
                    y + i * len);
  if (kStream) _mm_sfence();
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

/// The sixteen results f16(code / inv), by nibble, twice: vpermw looks at five bits.
inline __m512i half_table(f16 inv) {
  const __m512 divisor = _mm512_set1_ps(widened(inv));
  const __mmask16 divides = _mm512_cmp_ps_mask(divisor, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  const __m512 quotient = _mm512_maskz_div_ps(divides, codes_by_nibble(), divisor);
  const __m256i once = _mm512_cvtps_ph(quotient, _MM_FROUND_TO_NEAREST_INT);
  return _mm512_inserti64x4(_mm512_castsi256_si512(once), once, 1);
}

/// 32 results of sixteen bytes: each word four times, shifted by 0, 4, 8 and 12.
inline __m512i decode32(__m128i bytes, __m512i table) {
  const __m512i words =
      _mm512_set_epi8(15, 14, 15, 14, 15, 14, 15, 14, 13, 12, 13, 12, 13, 12, 13, 12, 11, 10, 11,
                      10, 11, 10, 11, 10, 9, 8, 9, 8, 9, 8, 9, 8, 7, 6, 7, 6, 7, 6, 7, 6, 5, 4, 5,
                      4, 5, 4, 5, 4, 3, 2, 3, 2, 3, 2, 3, 2, 1, 0, 1, 0, 1, 0, 1, 0);
  const __m512i each = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(bytes), words);
  const __m512i shift = _mm512_set1_epi64(0x000c000800040000);
  return _mm512_permutexvar_epi16(_mm512_srlv_epi16(each, shift), table);
}

template <bool kStream>
inline void dequantize_half(const std::uint8_t* q, std::size_t groups, std::size_t len,
                            const f16* inv, f16* y) {
  for (std::size_t i = 0; i < groups; ++i, q += (len + 1) / 2, y += len) {
    const __m512i table = half_table(inv[i]);
    std::size_t j = 0;
    for (; j + 32 <= len; j += 32)
      store<kStream>(y + j,
                     decode32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q + j / 2)), table));
    if (j < len)
      _mm512_mask_storeu_epi16(
          y + j, first32(len - j),
          decode32(_mm_maskz_loadu_epi8(first16((len - j + 1) / 2), q + j / 2), table));
  }
  if (kStream) _mm_sfence();
}

// ---- layout

/// 64 bytes of 128 codes, the first 64 in `a`.
inline __m512i pack128(__m512i a, __m512i b) {
  const __m512i low_nibble = _mm512_set1_epi8(15), weights = _mm512_set1_epi16(0x1001);
  const __m512i low = _mm512_maddubs_epi16(_mm512_and_si512(a, low_nibble), weights);
  const __m512i high = _mm512_maddubs_epi16(_mm512_and_si512(b, low_nibble), weights);
  return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7),
                                  _mm512_packus_epi16(low, high));
}

template <bool kStream>
inline void pack(const std::int8_t* q, std::size_t n, std::uint8_t* packed) {
  std::size_t j = 0;
  for (; j + kStep <= n; j += kStep)
    store<kStream>(packed + j / 2,
                   pack128(_mm512_loadu_si512(q + j), _mm512_loadu_si512(q + j + 64)));
  if (kStream) _mm_sfence();
  if (j < n) {
    const __m512i a = _mm512_maskz_loadu_epi8(first64(n - j), q + j);
    const __m512i b = _mm512_maskz_loadu_epi8(first64(beyond(n - j, 64)), q + j + 64);
    _mm512_mask_storeu_epi8(packed + j / 2, first64((n - j + 1) / 2), pack128(a, b));
  }
}

/// 64 codes of 32 bytes: a byte's nibbles to a word's bytes, where vpshufb extends their signs.
inline __m512i unpack64(__m256i packed) {
  const __m512i code =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1));
  const __m512i words = _mm512_cvtepu8_epi16(packed);
  // 0xa8: (words | shifted) & mask; what is shifted in there is not in the way.
  const __m512i nibbles = _mm512_ternarylogic_epi32(_mm512_slli_epi16(words, 4), words,
                                                    _mm512_set1_epi16(0x0f0f), 0xa8);
  return _mm512_shuffle_epi8(code, nibbles);
}

template <bool kStream>
inline void unpack(const std::uint8_t* packed, std::size_t n, std::int8_t* q) {
  std::size_t j = 0;
  for (; j + 64 <= n; j += 64)
    store<kStream>(q + j,
                   unpack64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(packed + j / 2))));
  if (kStream) _mm_sfence();
  if (j < n)
    _mm512_mask_storeu_epi8(
        q + j, first64(n - j),
        unpack64(_mm256_maskz_loadu_epi8(first32((n - j + 1) / 2), packed + j / 2)));
}

// ---- q4_0

/// The value of largest magnitude in a block, the first of several; +0 of zeros.
[[gnu::noinline]] float extreme_of(const float* x) {
  const __m512 a = _mm512_abs_ps(load16(x)), b = _mm512_abs_ps(load16(x + 16));
  const __m512 most = _mm512_set1_ps(_mm512_reduce_max_ps(_mm512_max_ps(a, b)));
  const unsigned low = _mm512_cmp_ps_mask(a, most, _CMP_EQ_OQ);
  const unsigned high = _mm512_cmp_ps_mask(b, most, _CMP_EQ_OQ);
  return x[__builtin_ctz(low | high << 16 | 1u << 31)] + 0.0f;
}

[[gnu::noinline]] void block_q4_0(const float* x, BlockQ4_0* y) {
  const float d = extreme_of(x) * -0.125f;
  float id = 1.0f / d;
  if (!(__builtin_fabsf(id) <= 0x1.fffffep127f)) id = 0.0f;
  const auto nibbles = [=](const float* p) {
    const __m512 product = _mm512_mul_ps(load16(p), _mm512_set1_ps(id));
    return _mm512_min_epi32(_mm512_cvttps_epi32(_mm512_add_ps(product, _mm512_set1_ps(8.5f))),
                            _mm512_set1_epi32(15));
  };
  const __m512i bytes = _mm512_or_si512(nibbles(x), _mm512_slli_epi32(nibbles(x + 16), 4));
  y->d = f16(narrowed(d));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(y->qs), _mm512_cvtepi32_epi8(bytes));
}

/// A value of largest magnitude in each of four blocks, in each quarter.
inline __attribute__((always_inline)) __m512 extremes_of_4(const float* x) {
  __m512 v[4];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i)
    v[i] = farther(_mm512_castsi512_ps(load_in_order(x + kBlock * i)), load16(x + kBlock * i + 16));
  return reduce4(v[0], v[1], v[2], v[3], farther);
}

/// d and 1/d (0 where it is not finite) of sixteen blocks at x. Where the largest magnitude occurs
/// with both signs, that of d is any if codes show it: if 1/d is finite and exact enough.
struct FactorsQ4_0 {
  __m512 d, id;
  FactorsQ4_0(__m512 farthest, const float* x) {
    // Adding 0 makes -0 a +0, as a block of zeros has it.
    __m512 extreme = _mm512_add_ps(farthest, _mm512_setzero_ps());
    const __m512 magnitude = _mm512_abs_ps(extreme);
    const __mmask16 tiny = _mm512_mask_cmp_ps_mask(
        _mm512_cmp_ps_mask(magnitude, _mm512_set1_ps(0x1p-100f), _CMP_LT_OQ), extreme,
        _mm512_setzero_ps(), _CMP_NEQ_OQ);
    if (tiny != 0) [[unlikely]] {
      alignas(64) float each[16];
      _mm512_store_ps(each, extreme);
      for (unsigned left = tiny; left; left &= left - 1) {
        const auto b = std::size_t(__builtin_ctz(left));
        each[b] = extreme_of(x + kBlock * b);
      }
      extreme = _mm512_load_ps(each);
    }
    d = _mm512_mul_ps(extreme, _mm512_set1_ps(-0.125f));
    id = _mm512_div_ps(_mm512_set1_ps(1.0f), d);
    const __mmask16 finite =
        _mm512_cmp_ps_mask(_mm512_abs_ps(id), _mm512_set1_ps(__builtin_inff()), _CMP_LT_OQ);
    id = _mm512_maskz_mov_ps(finite, id);
  }
};

/// Sixteen times the codes of 16 elements of each of two blocks, with four bits of fraction, before
/// their limit. The FMA rounds as the sum of the product and 8.5.
inline __m512i words_q4_0(const float* x, const float* id) {
  const auto words = [](const float* p, const float* factor) {
    return _mm512_cvttps_epi32(_mm512_fmadd_ps(_mm512_mul_ps(load16(p), broadcast(factor)),
                                               _mm512_set1_ps(16.0f), _mm512_set1_ps(136.0f)));
  };
  return _mm512_packus_epi32(words(x, id), words(x + kBlock, id + 1));
}

/// Four blocks with their d. False if the largest magnitude may occur with both signs: the other
/// sign's is at 16.5.
inline bool encode4_q4_0(const float* x, const float* id, const f16* d, BlockQ4_0* y) {
  const __m512i low01 = words_q4_0(x, id), low23 = words_q4_0(x + 2 * kBlock, id + 2);
  const __m512i high01 = words_q4_0(x + 16, id), high23 = words_q4_0(x + 2 * kBlock + 16, id + 2);
  const __m512i most =
      _mm512_max_epi16(_mm512_max_epi16(low01, low23), _mm512_max_epi16(high01, high23));
  // Packing saturates: 15 and all of the fraction. Each quarter has four bytes of every block.
  const __m512i low = _mm512_packus_epi16(low01, low23);
  const __m512i high = _mm512_packus_epi16(high01, high23);
  // 0xd8: by the mask's bits high, else low
  const __m512i bytes = _mm512_ternarylogic_epi32(_mm512_srli_epi16(low, 4), high,
                                                  _mm512_set1_epi8(std::int8_t(0xf0)), 0xd8);
  // 36 words: 9 of each block, d first.
  const __m512i ds = _mm512_castsi128_si512(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(d)));
  const __m512i words = _mm512_set_epi16(15, 14, 7, 6, 35, 29, 28, 21, 20, 13, 12, 5, 4, 34, 27, 26,
                                         19, 18, 11, 10, 3, 2, 33, 25, 24, 17, 16, 9, 8, 1, 0, 32);
  const __m512i last = _mm512_permutexvar_epi32(
      _mm512_setr_epi32(11, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), bytes);
  _mm512_storeu_si512(y, _mm512_permutex2var_epi16(bytes, words, ds));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(y[3].qs + 8), _mm512_castsi512_si128(last));
  return _mm512_cmpgt_epi16_mask(most, _mm512_set1_epi16(263)) == 0;
}

/// A multiple of 16 blocks. kFar: as in in_two_passes.
template <bool kFar>
[[gnu::noinline]] void quantize_q4_0(const float* x, std::size_t blocks, BlockQ4_0* y) {
  alignas(64) f16 d[32];
  in_two_passes<kBlock, kFar>(
      x, blocks, [](const float* from) { return extremes_of_4(from); },
      [](const __m512(&four)[4]) { return reduce16(four, farther); },
      [&](std::size_t b, __m512 farthest, std::size_t) {
        const FactorsQ4_0 factors(farthest, x + b * kBlock);
        put_scales(d + b % 32, factors.d, 16);
        return factors.id;
      },
      [&](std::size_t b, const float* id, const float* from) {
        if (!encode4_q4_0(from, id, d + b % 32, y + b)) [[unlikely]]
          for (std::size_t i = 0; i < 4; ++i) block_q4_0(from + i * kBlock, y + b + i);
      });
}

template <bool kStream>
inline void dequantize_q4_0(const BlockQ4_0* x, std::size_t blocks, float* y) {
  const __m512 codes = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    // The scale and six bytes of nibbles, as halves; only the first is one.
    const __m128 d = _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x + i)));
    const __m512 table = _mm512_mul_ps(codes, _mm512_broadcastss_ps(d));
    const __m512i bytes =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x[i].qs)));
    store<kStream>(y, _mm512_castps_si512(_mm512_permutexvar_ps(bytes, table)));
    store<kStream>(y + 16,
                   _mm512_castps_si512(_mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), table)));
  }
  if (kStream) _mm_sfence();
}

}  // namespace

void quantize_f32_s4_avx512(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                            float* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f32_s4g_avx512(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                             f16* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f16_s4_avx512(const f16* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                            f16* inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += (len + 1) / 2) {
    const float largest = absmax_of_1(x, len);
    inv[i] = half_inverse(largest, kMost);
    const float factor = widened(inv[i]);
    const Windows table(len < kLongHalf ? 0 : narrowed(largest), factor);
    if (table.usable)
      encode(x, len, table, factor, q);
    else
      encode<false, ThroughF16>(x, len, factor, q);
  }
}

void dequantize_s4_f32_avx512(const std::uint8_t* q, std::size_t groups, std::size_t len,
                              const float* scale, float* y) {
  dequantize(q, groups, len, scale, y);
}

void dequantize_s4g_f32_avx512(const std::uint8_t* q, std::size_t groups, std::size_t len,
                               const f16* scale, float* y) {
  dequantize(q, groups, len, scale, y);
}

void dequantize_s4_f16_avx512(const std::uint8_t* q, std::size_t groups, std::size_t len,
                              const f16* inv, f16* y) {
  const std::size_t bytes = len * sizeof(f16);
  if (streams(y, groups, bytes, (len + 1) / 2))
    dequantize_half<true>(q, groups, len, inv, y);
  else
    dequantize_half<false>(q, groups, len, inv, y);
}

void pack_s4_avx512(const std::int8_t* q, std::size_t n, std::uint8_t* packed) {
  if (streams(packed, 1, n / 2, n))
    pack<true>(q, n, packed);
  else
    pack<false>(q, n, packed);
}

void unpack_s4_avx512(const std::uint8_t* packed, std::size_t n, std::int8_t* q) {
  if (streams(q, 1, n, n / 2))
    unpack<true>(packed, n, q);
  else
    unpack<false>(packed, n, q);
}

void quantize_f32_q4_0_avx512(const float* x, std::size_t blocks, BlockQ4_0* y) {
  const std::size_t done = blocks / 16 * 16;
  if (done)
    past_caches(blocks * kBlock * sizeof *x, blocks * sizeof *y) ? quantize_q4_0<true>(x, done, y)
                                                                 : quantize_q4_0<false>(x, done, y);
  for (std::size_t i = done; i < blocks; ++i) block_q4_0(x + i * kBlock, y + i);
}

void dequantize_q4_0_f32_avx512(const BlockQ4_0* x, std::size_t blocks, float* y) {
  if (streams(y, 1, blocks * kBlock * sizeof *y, blocks * sizeof *x))
    dequantize_q4_0<true>(x, blocks, y);
  else
    dequantize_q4_0<false>(x, blocks, y);
}

}  // namespace qb::int4
