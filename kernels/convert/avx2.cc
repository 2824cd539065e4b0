// SPDX-License-Identifier: Apache-2.0
// Float conversions, AVX2 and F16C. What binds each loop; the shares of the limit that are reached
// are in results/.
//
//   f16 -> f32   a load that converts and a store per eight elements: the store in L1, then memory.
//   f32 -> f16   the conversion, two operations on two pipes, in L1; memory from L2 outward.
//   bf16 -> f32  two stores a vector, beside four operations to quiet NaN and four to interleave
//                with zeros: the vector pipes in L1, memory from L2 outward. Beyond L2 eight at a
//                time, twice the operations: a Zen 4 writes to L3 faster if a store comes every
//                other cycle only.
//   f32 -> bf16  the vector pipes as far as L2: sixteen elements take thirteen operations, eight of
//                them to round and two to look for NaN, which has a branch of its own.
//
// Beyond the caches stores are non-temporal, and narrowing reads in two places (core/turns.h).
#include "convert/avx2.h"

#include "convert/kernels.h"

namespace qb::convert {
namespace {

/// Each converter: block() turns kBlock elements, the unrolled body; vector() kVector of them.
struct HalfToFloat {
  using In = f16;
  using Out = float;
  static constexpr std::size_t kVector = 8, kBlock = 32;

  template <bool kStream>
  static void block(const f16* x, float* y) {
    for (std::size_t i = 0; i < kBlock; i += 8)
      store<kStream>(y + i, _mm256_castps_si256(_mm256_cvtph_ps(load_half(x + i))));
  }
  static void vector(const f16* x, float* y) { _mm256_storeu_ps(y, _mm256_cvtph_ps(load_half(x))); }
};

struct FloatToHalf {
  using In = float;
  using Out = f16;
  static constexpr std::size_t kVector = 8, kBlock = 64;

  static __m128i narrow(const float* x) {
    return _mm256_cvtps_ph(_mm256_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT);
  }
  template <bool kStream>
  static void block(const float* x, f16* y) {
    for (std::size_t i = 0; i < kBlock;
         i += 16)  // whole vectors: one store a cycle is all there is
      store<kStream>(y + i, _mm256_set_m128i(narrow(x + i + 8), narrow(x + i)));
  }
  static void vector(const float* x, f16* y) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), narrow(x));
  }
};

struct BrainToFloat {
  using In = bf16;
  using Out = float;
  static constexpr std::size_t kVector = 16, kBlock = 64;

  template <bool kStream>
  static void widen(const bf16* x, float* y) {
    __m256i h = load(x);
    const __m256i magnitude = _mm256_and_si256(h, _mm256_set1_epi16(0x7fff));
    const __m256i nan = _mm256_cmpgt_epi16(magnitude, _mm256_set1_epi16(0x7f80));
    h = _mm256_or_si256(h, _mm256_and_si256(nan, _mm256_set1_epi16(0x40)));  // quiet
    // Quarters 0 2 1 3, so that unpacking, which stays in its lane, leaves 0-7 and 8-15 in order.
    h = _mm256_permute4x64_epi64(h, 0xd8);
    const __m256i zero = _mm256_setzero_si256();
    store<kStream>(y, _mm256_unpacklo_epi16(zero, h));
    store<kStream>(y + 8, _mm256_unpackhi_epi16(zero, h));
  }
  template <bool kStream>
  static void block(const bf16* x, float* y) {
    for (std::size_t i = 0; i < kBlock; i += 16) widen<kStream>(x + i, y + i);
  }
  static void vector(const bf16* x, float* y) { widen<false>(x, y); }
};

struct BrainToFloatBeyondL2 : BrainToFloat {
  template <bool kStream>
  static void block(const bf16* x, float* y) {
    for (std::size_t i = 0; i < kBlock; i += 8) {
      const __m256i v = _mm256_slli_epi32(_mm256_cvtepu16_epi32(load_half(x + i)), 16);
      const __m256i magnitude = _mm256_and_si256(v, _mm256_set1_epi32(0x7fffffff));
      const __m256i nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000));
      store<kStream>(y + i, _mm256_or_si256(v, _mm256_and_si256(nan, _mm256_set1_epi32(0x400000))));
    }
  }
};

struct FloatToBrain {
  using In = float;
  using Out = bf16;
  static constexpr std::size_t kVector = 16, kBlock = 32;

  /// The bf16 bits of each lane in its low word, with a high word of zero. No lane may be NaN.
  /// Adding half a unit rounds ties up. A tie then has a low word of 0, and the last bit of its
  /// high word must be cleared; the saturating addition turns the low word into the mask for that.
  static __m256i round(__m256i bits) {
    const __m256i up = _mm256_add_epi32(bits, _mm256_set1_epi32(0x8000));
    const __m256i masked = _mm256_adds_epu16(up, _mm256_set1_epi32(0xfffe));
    return _mm256_and_si256(masked, _mm256_srli_epi32(masked, 16));
  }
  static __m256i round_or_quiet(__m256i bits) {
    const __m256i quiet = _mm256_srli_epi32(_mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), 16);
    const __m256 x = _mm256_castsi256_ps(bits);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(round(bits), quiet, nan);
  }
  /// packus works in lanes: quarters 0-3 8-11 4-7 12-15.
  static __m256i pack(__m256i a, __m256i b) {
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
  }
  template <bool kStream>
  static void block(const float* x, bf16* y) {
    const __m256i a = load(x), b = load(x + 8), c = load(x + 16), d = load(x + 24);
    const __m256 ab = _mm256_cmp_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), _CMP_UNORD_Q);
    const __m256 cd = _mm256_cmp_ps(_mm256_castsi256_ps(c), _mm256_castsi256_ps(d), _CMP_UNORD_Q);
    if (_mm256_movemask_ps(_mm256_or_ps(ab, cd)) == 0) [[likely]] {
      store<kStream>(y, pack(round(a), round(b)));
      store<kStream>(y + 16, pack(round(c), round(d)));
    } else {
      store<kStream>(y, pack(round_or_quiet(a), round_or_quiet(b)));
      store<kStream>(y + 16, pack(round_or_quiet(c), round_or_quiet(d)));
    }
  }
  static void vector(const float* x, bf16* y) {
    store<false>(y, pack(round_or_quiet(load(x)), round_or_quiet(load(x + 8))));
  }
};

}  // namespace

void convert_f16_f32_avx2(const f16* x, std::size_t n, float* y) { run<HalfToFloat>(x, n, y); }

void convert_f32_f16_avx2(const float* x, std::size_t n, f16* y) { run<FloatToHalf>(x, n, y); }

void convert_bf16_f32_avx2(const bf16* x, std::size_t n, float* y) {
  if (n <= kNear / (sizeof *x + sizeof *y))
    run<BrainToFloat>(x, n, y);
  else
    run<BrainToFloatBeyondL2>(x, n, y);
}

void convert_f32_bf16_avx2(const float* x, std::size_t n, bf16* y) { run<FloatToBrain>(x, n, y); }

}  // namespace qb::convert
