// SPDX-License-Identifier: Apache-2.0
// s4 of the notebook (f16 in, f16 back), AVX2 + F16C.
//
//   quantize    vcvtph2ps and vmulps, two operations that round to f16, vcvtps2dq, and the packing
//               of s4_avx2.h.
//   long runs   Thresholds on the bits, by vpshufb and byte comparisons (quantize/thresholds.h).
//   dequantize  Sixteen results at most: vpshufb looks up their low and high bytes.
#include "quantize/kernels.h"
#include "quantize/s4_avx2.h"
#include "quantize/thresholds.h"

namespace qb::quantize {
namespace {

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

}  // namespace

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
      encode<false>(
          x, len, [&](const f16* from) { return codes64(from, table); }, q);
    else
      encode<false>(
          x, len, [&](const f16* from) { return codes64(from, _mm256_set1_ps(factor)); }, q);
    inv[i] = f16(stored);
  }
}

void dequantize_s4_f16_avx2(const std::uint8_t* q, std::size_t groups, std::size_t len,
                            const f16* inv, f16* y) {
  const std::size_t bytes = len * sizeof(f16);
  if (streams(y, groups, bytes, (len + 1) / 2))
    dequantize_half<true>(q, groups, len, inv, y);
  else
    dequantize_half<false>(q, groups, len, inv, y);
}

}  // namespace qb::quantize
