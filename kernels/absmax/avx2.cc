// Absmax, AVX2. Loads bind it: two 32-byte loads a cycle, with one AND and one integer maximum
// each (vpand + vpmaxud/vpmaxuw, three or four vector ports). Sixteen accumulators' worth of
// registers is not needed: latency 1, so eight keep both load ports busy.
#include <immintrin.h>

#include "absmax/kernels.h"

#if !defined(__AVX2__) || !defined(__F16C__)
#error "compile with the flags of cmake/Isa.cmake for avx2"
#endif

namespace qb::absmax {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

struct U32 {
  static constexpr std::size_t lanes = 8;
  static __m256i mask() { return _mm256_set1_epi32(0x7fffffff); }
  static __m256i max(__m256i a, __m256i b) { return _mm256_max_epu32(a, b); }
  static std::uint32_t tail(const float* x) { return __builtin_bit_cast(std::uint32_t, *x) & 0x7fffffffu; }
  static std::uint32_t reduce(__m256i v) {
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return std::uint32_t(_mm_cvtsi128_si32(m));
  }
  static float result(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }
};

struct U16 {
  static constexpr std::size_t lanes = 16;
  static __m256i mask() { return _mm256_set1_epi16(0x7fff); }
  static __m256i max(__m256i a, __m256i b) { return _mm256_max_epu16(a, b); }
  static std::uint32_t tail(const f16* x) { return static_cast<std::uint16_t>(*x) & 0x7fffu; }
  static std::uint32_t reduce(__m256i v) {
    const __m128i m = _mm_max_epu16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    // vphminposuw is the only horizontal word reduction: a minimum, so complement.
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(m, _mm_set1_epi16(-1)));
    return ~std::uint32_t(_mm_cvtsi128_si32(least)) & 0xffffu;
  }
  static float result(std::uint32_t bits) { return _cvtsh_ss(static_cast<unsigned short>(bits)); }
};

template <class U, class T>
inline std::uint32_t run(const T* x, std::size_t len) {
  const __m256i mask = U::mask();
  const T* const end = x + len;
  std::uint32_t largest = 0;
  if (len >= U::lanes) {
    __m256i a[8];
    for (auto& v : a) v = _mm256_setzero_si256();
    for (; x + 8 * U::lanes <= end; x += 8 * U::lanes)
      for (std::size_t i = 0; i < 8; ++i)
        a[i] = U::max(a[i], _mm256_and_si256(mask, load(x + i * U::lanes)));
    for (; x + U::lanes <= end; x += U::lanes)
      a[0] = U::max(a[0], _mm256_and_si256(mask, load(x)));
    // The tail re-reads elements already seen: a maximum does not mind.
    a[1] = U::max(a[1], _mm256_and_si256(mask, load(end - U::lanes)));
    for (std::size_t step = 4; step; step /= 2)
      for (std::size_t i = 0; i < step; ++i) a[i] = U::max(a[i], a[i + step]);
    return U::reduce(a[0]);
  }
  for (; x < end; ++x) {
    const std::uint32_t magnitude = U::tail(x);
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

}  // namespace

void absmax_f32_avx2(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len) out[i] = U32::result(run<U32>(x, len));
}

void absmax_f16_avx2(const f16* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len) out[i] = U16::result(run<U16>(x, len));
}

}  // namespace qb::absmax
