// SPDX-License-Identifier: Apache-2.0
// 8-bit floats, AVX-512 (core/fp8.h says how rounding works).
//
//   e5m2 -> f32  A byte is the high one of a half: a vpmovzxbw and a shift for 32 elements, then
//                vcvtph2ps.
//   e4m3 -> f32  Shifted by one bit less, a byte is a half of 1/256 of its value: two operations
//                more, three for NaN, and a multiplication for each sixteen.
//   f32 -> fp8   Six operations round sixteen elements, two bring the sign, two narrow (vpmovdb).
//                NaN has a branch of its own.
//
// The vector pipes bind all of them in L1; memory from L3 outward.
#include "convert/avx512.h"
#include "convert/kernels.h"

namespace qb::convert {
namespace {

inline __m512 floats(__m512i bits) { return _mm512_castsi512_ps(bits); }

// ---- widening

/// 32 numbers as halves, of which value() makes floats.
inline __m512i halves(__m256i bytes, e5m2) {
  return _mm512_slli_epi16(_mm512_cvtepu8_epi16(bytes), 8);
}
inline __m512i halves(__m256i bytes, e4m3) {
  const __m512i wide = _mm512_cvtepi8_epi16(bytes), magnitude = _mm512_set1_epi16(0x7f);
  const __mmask32 nan = _mm512_cmpeq_epi16_mask(_mm512_and_si512(wide, magnitude), magnitude);
  // Bit 14 is a copy of the sign.
  const __m512i half = _mm512_and_si512(_mm512_slli_epi16(wide, 7), _mm512_set1_epi16(~0x4000));
  // Of NaN the mantissa is all ones, and becomes that of a quiet one without a payload.
  return _mm512_mask_blend_epi16(nan, half, _mm512_xor_si512(half, _mm512_set1_epi16(0x4180)));
}

inline __m512 value(__m256i half, e5m2) { return _mm512_cvtph_ps(half); }
inline __m512 value(__m256i half, e4m3) {
  return _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256));
}

template <class T>
struct Fp8ToFloat {
  using In = T;
  using Out = float;
  static constexpr std::size_t kVector = 16, kBlock = 64;

  template <bool kStream>
  static void block(const T* x, float* y) {
    for (std::size_t i = 0; i < kBlock; i += 32) {
      const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
      const __m512i half = halves(bytes, T{});
      const __m512 low = value(_mm512_castsi512_si256(half), T{});
      const __m512 high = value(_mm512_extracti64x4_epi64(half, 1), T{});
      store<kStream>(y + i, _mm512_castps_si512(low));
      store<kStream>(y + i + 16, _mm512_castps_si512(high));
    }
  }
  static void some(const T* x, std::size_t n, float* y) {
    const auto mask = __mmask16((1u << n) - 1);
    const __m256i bytes = _mm256_castsi128_si256(_mm_maskz_loadu_epi8(mask, x));
    const __m256i half = _mm512_castsi512_si256(halves(bytes, T{}));
    _mm512_mask_storeu_ps(y, mask, value(half, T{}));
  }
};

// ---- narrowing

/// The magnitude's code in the low seven bits of each lane, something above them; no lane is NaN.
template <class T>
inline __m512i magnitude_code(__m512i bits) {
  using Format = Fp8<T>;
  const __m512 cap = floats(_mm512_set1_epi32(int(Format::kCap)));
  const __m512 least = floats(_mm512_set1_epi32(int(Format::kLeast)));
  const __m512 a = _mm512_range_ps(floats(bits), cap, 0xa);  // the smaller magnitude, no sign
  // (larger & kExponentBits) | kOffset: the offset comes in units of the sum's last place.
  const __m512i t = _mm512_ternarylogic_epi32(_mm512_castps_si512(_mm512_max_ps(a, least)),
                                              _mm512_set1_epi32(int(kExponentBits)),
                                              _mm512_set1_epi32(int(Format::kOffset)), 0xea);
  const __m512 sum = _mm512_fmadd_ps(floats(t), _mm512_set1_ps(float(1u << Format::kUp)), a);
  return _mm512_add_epi32(_mm512_castps_si512(sum), _mm512_srli_epi32(t, Format::kShift));
}

/// The same of NaN: E5M2 keeps the top bit of its payload.
inline __m512i nan_code(__m512i, e4m3) { return _mm512_set1_epi32(0x7f); }
inline __m512i nan_code(__m512i bits, e5m2) {
  return _mm512_or_si512(_mm512_srli_epi32(bits, 21), _mm512_set1_epi32(2));
}

/// Codes, from magnitudes' codes, as bytes.
inline __m128i with_sign(__m512i bits, __m512i magnitude) {
  const __m512i sign = _mm512_srli_epi32(bits, 24);
  // A select: bit 7 of the sign, all others of the magnitude.
  return _mm512_cvtepi32_epi8(
      _mm512_ternarylogic_epi32(_mm512_set1_epi32(0x80), sign, magnitude, 0xca));
}

template <class T>
inline __m128i code(__m512i bits) {
  return with_sign(bits, magnitude_code<T>(bits));
}
template <class T>
inline __m128i code_or_nan(__m512i bits) {
  const __mmask16 nan = _mm512_cmp_ps_mask(floats(bits), floats(bits), _CMP_UNORD_Q);
  const __m512i number = magnitude_code<T>(bits);
  return with_sign(bits, _mm512_mask_blend_epi32(nan, number, nan_code(bits, T{})));
}

/// Past the caches only whole lines are written.
template <bool kStream>
inline void store_four(void* p, __m128i a, __m128i b, __m128i c, __m128i d) {
  if constexpr (kStream) {
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(c), d, 1);
    store<true>(p, _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
  } else {
    __m128i* const to = static_cast<__m128i*>(p);
    _mm_storeu_si128(to, a);
    _mm_storeu_si128(to + 1, b);
    _mm_storeu_si128(to + 2, c);
    _mm_storeu_si128(to + 3, d);
  }
}

template <class T>
struct FloatToFp8 {
  using In = float;
  using Out = T;
  static constexpr std::size_t kVector = 16, kBlock = 64;

  template <bool kStream>
  static void block(const float* x, T* y) {
    const __m512i a = load(x), b = load(x + 16), c = load(x + 32), d = load(x + 48);
    const __mmask16 ab = FloatToBrain::any_nan(a, b), cd = FloatToBrain::any_nan(c, d);
    if (_mm512_kortestz(ab, cd)) [[likely]]
      store_four<kStream>(y, code<T>(a), code<T>(b), code<T>(c), code<T>(d));
    else
      store_four<kStream>(y, code_or_nan<T>(a), code_or_nan<T>(b), code_or_nan<T>(c),
                          code_or_nan<T>(d));
  }
  static void some(const float* x, std::size_t n, T* y) {
    const auto mask = __mmask16((1u << n) - 1);
    _mm_mask_storeu_epi8(y, mask, code_or_nan<T>(_mm512_maskz_loadu_epi32(mask, x)));
  }
};

}  // namespace

void convert_e4m3_f32_avx512(const e4m3* x, std::size_t n, float* y) {
  run<Fp8ToFloat<e4m3>>(x, n, y);
}

void convert_f32_e4m3_avx512(const float* x, std::size_t n, e4m3* y) {
  run<FloatToFp8<e4m3>>(x, n, y);
}

void convert_e5m2_f32_avx512(const e5m2* x, std::size_t n, float* y) {
  run<Fp8ToFloat<e5m2>>(x, n, y);
}

void convert_f32_e5m2_avx512(const float* x, std::size_t n, e5m2* y) {
  run<FloatToFp8<e5m2>>(x, n, y);
}

}  // namespace qb::convert
