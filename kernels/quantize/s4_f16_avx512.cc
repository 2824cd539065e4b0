// SPDX-License-Identifier: Apache-2.0
// s4 of the notebook (f16 in, f16 back), AVX-512.
//
//   quantize    Five operations a vector, two of them to round to f16, and the packing of
//               s4_avx512.h.
//   long runs   Thresholds on the bits (quantize/thresholds.h): vpermw of an entry per window and
//               two shifts make 32 codes in six operations. On a Zen 4 64 of them take 9.6
//               cycles at best beside their absmax.
//   dequantize  A table of the sixteen results, looked up 32 at a time by vpermw.
#include "quantize/kernels.h"
#include "quantize/s4_avx512.h"
#include "quantize/thresholds.h"

namespace qb::quantize {
namespace {

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

}  // namespace

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

void dequantize_s4_f16_avx512(const std::uint8_t* q, std::size_t groups, std::size_t len,
                              const f16* inv, f16* y) {
  const std::size_t bytes = len * sizeof(f16);
  if (streams(y, groups, bytes, (len + 1) / 2))
    dequantize_half<true>(q, groups, len, inv, y);
  else
    dequantize_half<false>(q, groups, len, inv, y);
}

}  // namespace qb::quantize
