// SPDX-License-Identifier: Apache-2.0
// s4 of f16, AVX-512 with half arithmetic: 32 elements a vector and no conversion. The products are
// the notebook's f16(x*inv) as they come; vcvtph2w rounds them (rne), and seven operations pack
// four vectors: fifteen for 128 codes. The pass for the maximum costs eight, so memory binds.
#include "core/avx512.h"

#include "quantize/kernels.h"

#if !defined(__AVX512FP16__)
#error "compile with the flags of cmake/Isa.cmake for avx512fp16"
#endif

namespace qb::quantize {
namespace {

constexpr std::size_t kStep = 128;  // elements of one step: a line of codes

/// 64 bytes of 128 codes, 32 a vector. Both packs work within quarters: a quarter ends as words of
/// v[0], v[1], v[2] and v[3], two of each.
inline __m512i codes128(const __m512i (&v)[4], __m512h inv) {
  const __m512i low_nibble = _mm512_set1_epi8(15), weights = _mm512_set1_epi16(0x1001);
  const auto words = [=](__m512i x) {
    return _mm512_cvtph_epi16(_mm512_mul_ph(_mm512_castsi512_ph(x), inv));
  };
  const auto pairs = [=](__m512i a, __m512i b) {
    const __m512i bytes = _mm512_packs_epi16(words(a), words(b));
    return _mm512_maddubs_epi16(_mm512_and_si512(bytes, low_nibble), weights);
  };
  return _mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
      _mm512_packus_epi16(pairs(v[0], v[1]), pairs(v[2], v[3])));
}

template <bool kStream>
inline void encode(const f16* x, std::size_t len, f16 factor, std::uint8_t* q) {
  const __m512h inv = _mm512_castsi512_ph(_mm512_set1_epi16(static_cast<std::int16_t>(factor)));
  std::size_t j = 0;
  for (; j + kStep <= len; j += kStep) {
    const __m512i v[4] = {_mm512_loadu_si512(x + j), _mm512_loadu_si512(x + j + 32),
                          _mm512_loadu_si512(x + j + 64), _mm512_loadu_si512(x + j + 96)};
    store<kStream>(q + j / 2, codes128(v, inv));
  }
  if (j < len) {  // zeros behind the end leave the last nibble 0
    __m512i v[4];
    for (std::size_t i = 0; i < 4; ++i)
      v[i] = _mm512_maskz_loadu_epi16(first32(beyond(len - j, 32 * i)), x + j + 32 * i);
    _mm512_mask_storeu_epi8(q + j / 2, first64((len - j + 1) / 2), codes128(v, inv));
  }
}

}  // namespace

void quantize_f16_s4_avx512fp16(const f16* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                                f16* inv) {
  const std::size_t stride = (len + 1) / 2;
  const bool stream = past_caches(groups * len * sizeof *x, groups * stride) && at_line(q) &&
                      (groups == 1 || stride % kLineBytes == 0);
  for (std::size_t i = 0; i < groups; ++i, x += len, q += stride) {
    inv[i] = half_inverse(absmax_of_1(x, len), 7.0f);
    stream ? encode<true>(x, len, inv[i], q) : encode<false>(x, len, inv[i], q);
  }
  if (stream) _mm_sfence();
}

}  // namespace qb::quantize
