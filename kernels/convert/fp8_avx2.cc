// SPDX-License-Identifier: Apache-2.0
// 8-bit floats, AVX2 and F16C (core/fp8.h says how rounding works).
//
//   e5m2 -> f32  A byte is the high one of a half: a vpmovzxbw and a shift for sixteen elements,
//                then vcvtph2ps.
//   e4m3 -> f32  Shifted by one bit less, a byte is a half of 1/256 of its value: two operations
//                more, three for NaN, and a multiplication for each eight.
//   f32 -> fp8   Eight operations round eight elements, four bring the sign; 32 at a time are
//                narrowed. NaN has a branch of its own.
//
// The vector pipes bind all of them in L1; memory from L3 outward.
#include "convert/avx2.h"
#include "convert/kernels.h"

namespace qb::convert {
namespace {

inline __m256 floats(__m256i bits) { return _mm256_castsi256_ps(bits); }
inline __m256i words(std::uint32_t v) { return _mm256_set1_epi32(int(v)); }

// ---- widening

/// Sixteen numbers as halves, of which value() makes floats.
inline __m256i halves(__m128i bytes, e5m2) {
  return _mm256_slli_epi16(_mm256_cvtepu8_epi16(bytes), 8);
}
inline __m256i halves(__m128i bytes, e4m3) {
  const __m256i wide = _mm256_cvtepi8_epi16(bytes), magnitude = _mm256_set1_epi16(0x7f);
  const __m256i nan = _mm256_cmpeq_epi16(_mm256_and_si256(wide, magnitude), magnitude);
  // Bit 14 is a copy of the sign.
  const __m256i half = _mm256_and_si256(_mm256_slli_epi16(wide, 7), _mm256_set1_epi16(~0x4000));
  // Of NaN the mantissa is all ones, and becomes that of a quiet one without a payload.
  return _mm256_xor_si256(half, _mm256_and_si256(nan, _mm256_set1_epi16(0x4180)));
}

inline __m256 value(__m128i half, e5m2) { return _mm256_cvtph_ps(half); }
inline __m256 value(__m128i half, e4m3) {
  return _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256));
}

template <class T>
struct Fp8ToFloat {
  using In = T;
  using Out = float;
  static constexpr std::size_t kVector = 16, kBlock = 32;

  template <bool kStream>
  static void sixteen(const T* x, float* y) {
    const __m256i half = halves(load_half(x), T{});
    const __m256 low = value(_mm256_castsi256_si128(half), T{});
    const __m256 high = value(_mm256_extracti128_si256(half, 1), T{});
    store<kStream>(y, _mm256_castps_si256(low));
    store<kStream>(y + 8, _mm256_castps_si256(high));
  }
  template <bool kStream>
  static void block(const T* x, float* y) {
    sixteen<kStream>(x, y);
    sixteen<kStream>(x + 16, y + 16);
  }
  static void vector(const T* x, float* y) { sixteen<false>(x, y); }
};

// ---- narrowing

/// The magnitude's code in the low seven bits of each lane, something above them; no lane is NaN.
template <class T>
inline __m256i magnitude_code(__m256i bits) {
  using Format = Fp8<T>;
  const __m256i magnitude = _mm256_and_si256(bits, words(0x7fffffffu));
  const __m256i a = _mm256_min_epi32(magnitude, words(Format::kCap));
  const __m256i larger = _mm256_max_epi32(a, words(Format::kLeast));
  // The offset comes in units of the sum's last place.
  const __m256i t =
      _mm256_or_si256(_mm256_and_si256(larger, words(kExponentBits)), words(Format::kOffset));
  const __m256 up = _mm256_set1_ps(float(1u << Format::kUp));
  const __m256i sum = _mm256_castps_si256(_mm256_fmadd_ps(floats(t), up, floats(a)));
  return _mm256_add_epi32(sum, _mm256_srli_epi32(t, Format::kShift));
}

/// The same of NaN: E5M2 keeps the top bit of its payload.
inline __m256i nan_code(__m256i, e4m3) { return words(0x7f); }
inline __m256i nan_code(__m256i bits, e5m2) {
  return _mm256_or_si256(_mm256_srli_epi32(bits, 21), words(2));
}

/// Codes, a lane each, from magnitudes' codes.
inline __m256i with_sign(__m256i bits, __m256i magnitude) {
  const __m256i sign = _mm256_and_si256(_mm256_srli_epi32(bits, 24), words(0x80));
  return _mm256_or_si256(_mm256_and_si256(magnitude, words(0x7f)), sign);
}

template <class T>
inline __m256i code(__m256i bits) {
  return with_sign(bits, magnitude_code<T>(bits));
}
template <class T>
inline __m256i code_or_nan(__m256i bits) {
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(floats(bits), floats(bits), _CMP_UNORD_Q));
  const __m256i number = magnitude_code<T>(bits);
  return with_sign(bits, _mm256_blendv_epi8(number, nan_code(bits, T{}), nan));
}

/// 32 codes as bytes. Packing works in lanes: four of a, b, c, d each, then the other four.
inline __m256i packed(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i bytes = _mm256_packus_epi16(_mm256_packus_epi32(a, b), _mm256_packus_epi32(c, d));
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

template <class T>
struct FloatToFp8 {
  using In = float;
  using Out = T;
  static constexpr std::size_t kVector = 32, kBlock = 64;

  template <bool kStream>
  static void thirty_two(const float* x, T* y) {
    const __m256i a = load(x), b = load(x + 8), c = load(x + 16), d = load(x + 24);
    const __m256 ab = _mm256_cmp_ps(floats(a), floats(b), _CMP_UNORD_Q);
    const __m256 cd = _mm256_cmp_ps(floats(c), floats(d), _CMP_UNORD_Q);
    if (_mm256_movemask_ps(_mm256_or_ps(ab, cd)) == 0) [[likely]]
      store<kStream>(y, packed(code<T>(a), code<T>(b), code<T>(c), code<T>(d)));
    else
      store<kStream>(
          y, packed(code_or_nan<T>(a), code_or_nan<T>(b), code_or_nan<T>(c), code_or_nan<T>(d)));
  }
  template <bool kStream>
  static void block(const float* x, T* y) {
    thirty_two<kStream>(x, y);
    thirty_two<kStream>(x + 32, y + 32);
  }
  static void vector(const float* x, T* y) { thirty_two<false>(x, y); }
};

}  // namespace

void convert_e4m3_f32_avx2(const e4m3* x, std::size_t n, float* y) {
  run<Fp8ToFloat<e4m3>>(x, n, y);
}

void convert_f32_e4m3_avx2(const float* x, std::size_t n, e4m3* y) {
  run<FloatToFp8<e4m3>>(x, n, y);
}

void convert_e5m2_f32_avx2(const e5m2* x, std::size_t n, float* y) {
  run<Fp8ToFloat<e5m2>>(x, n, y);
}

void convert_f32_e5m2_avx2(const float* x, std::size_t n, e5m2* y) {
  run<FloatToFp8<e5m2>>(x, n, y);
}

}  // namespace qb::convert
