// SPDX-License-Identifier: Apache-2.0
// Float conversions, AVX-512. What binds each loop; shares of the limit are in results/.
//
//   f16 -> f32   vcvtph2ps zmm, two operations, and a store per sixteen elements: the store in L1,
//                then memory.
//   f32 -> f16   vcvtps2ph zmm in L1, two operations, one of them a shuffle: on a Zen 4 four thirds
//                of a cycle for sixteen elements, where the load and the half vector's store take
//                one; memory from L2 outward. Beyond L2 by half vectors: a Zen 4 reads L3 faster
//                by 32 bytes than by 64.
//   bf16 -> f32  the store in L1, then memory. vpermw with a mask puts sixteen halves into the high
//                halves of as many lanes at once, where widening and shifting take two operations;
//                vfixupimmps makes a signalling NaN quiet by a table and keeps all else. Loads are
//                of 32 bytes: of 64 they miss L1 on a Zen 4 at some addresses.
//   f32 -> bf16  the vector pipes as far as L2: 32 elements take eleven operations, eight to round
//                and one to look for NaN, which has a branch of its own. (VCVTNE2PS2BF16
//                takes subnormals for zero: avx512bf16.cc.)
#include "convert/avx512.h"

#include "convert/kernels.h"

namespace qb::convert {
namespace {

inline __m256i load_half(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

struct HalfToFloat {
  using In = f16;
  using Out = float;
  static constexpr std::size_t kVector = 16, kBlock = 64;

  template <bool kStream>
  static void block(const f16* x, float* y) {
    for (std::size_t i = 0; i < kBlock; i += 16)
      store<kStream>(y + i, _mm512_castps_si512(_mm512_cvtph_ps(load_half(x + i))));
  }
  static void some(const f16* x, std::size_t n, float* y) {
    const auto mask = __mmask16((1u << n) - 1);
    _mm512_mask_storeu_ps(y, mask, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, x)));
  }
};

struct FloatToHalf {
  using In = float;
  using Out = f16;
  static constexpr std::size_t kVector = 16, kBlock = 64;

  static __m256i narrow(__m512 v) { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); }
  template <bool kStream>
  static void block(const float* x, f16* y) {
    if constexpr (kStream) {  // whole lines: half ones fill the write-combining buffers slower
      for (std::size_t i = 0; i < kBlock; i += 32) {
        const __m256i a = narrow(_mm512_loadu_ps(x + i)), b = narrow(_mm512_loadu_ps(x + i + 16));
        store<true>(y + i, _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1));
      }
    } else {
      for (std::size_t i = 0; i < kBlock; i += 16)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i), narrow(_mm512_loadu_ps(x + i)));
    }
  }
  static void some(const float* x, std::size_t n, f16* y) {
    const auto mask = __mmask16((1u << n) - 1);
    _mm256_mask_storeu_epi16(y, mask, narrow(_mm512_maskz_loadu_ps(mask, x)));
  }
};

struct FloatToHalfBeyondL2 : FloatToHalf {
  template <bool kStream>
  static void block(const float* x, f16* y) {
    if constexpr (kStream) return FloatToHalf::block<true>(x, y);
    for (std::size_t i = 0; i < kBlock; i += 8)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i),
                       _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
  }
};

struct BrainToFloat {
  using In = bf16;
  using Out = float;
  static constexpr std::size_t kVector = 16, kBlock = 64;

  static __m512i quiet(__m512i bits) {
    const __m512 v = _mm512_castsi512_ps(bits);
    // Answers by class, four bits each: class 1, signalling NaN, becomes quiet; 0 keeps v, even a
    // subnormal that DAZ classes with zero.
    return _mm512_castps_si512(_mm512_fixupimm_ps(v, v, _mm512_set1_epi32(0x20), 0));
  }
  template <bool kStream>
  static void block(const bf16* x, float* y) {
    // Word 2i+1, the high half of lane i, is element i; the low halves are masked to zero.
    const __m512i order = _mm512_slli_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), 16);
    for (std::size_t i = 0; i < kBlock; i += 16)
      store<kStream>(y + i, quiet(_mm512_maskz_permutexvar_epi16(
                                0xaaaaaaaa, order, _mm512_castsi256_si512(load_half(x + i)))));
  }
  static void some(const bf16* x, std::size_t n, float* y) {
    const auto mask = __mmask16((1u << n) - 1);
    _mm512_mask_storeu_epi32(
        y, mask,
        quiet(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, x)), 16)));
  }
};

}  // namespace

void convert_f16_f32_avx512(const f16* x, std::size_t n, float* y) { run<HalfToFloat>(x, n, y); }

void convert_f32_f16_avx512(const float* x, std::size_t n, f16* y) {
  if (n <= kNear / (sizeof *x + sizeof *y))
    run<FloatToHalf>(x, n, y);
  else
    run<FloatToHalfBeyondL2>(x, n, y);
}

void convert_bf16_f32_avx512(const bf16* x, std::size_t n, float* y) { run<BrainToFloat>(x, n, y); }

void convert_f32_bf16_avx512(const float* x, std::size_t n, bf16* y) { run<FloatToBrain>(x, n, y); }

}  // namespace qb::convert
