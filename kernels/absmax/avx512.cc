// SPDX-License-Identifier: Apache-2.0
// Absmax, AVX-512. What binds; the shares of the limit that are reached are in results/.
//
//   one f32 group   the two vector pipes in L1: vrangeps takes the larger magnitude of two vectors
//                   in one operation, but swallows NaN, so that one compare for every two loads
//                   looks for it beside: three operations for 128 bytes. What it finds, and what
//                   may be subnormal (DAZ would hide it), is done again on the bits.
//   one f16 group   an AND and a maximum a load: 64 bytes a cycle.
//   groups of 32    AVX2's code, as for one group beyond the caches: absmax/groups_x86.h.
//
// llvm-mca for Sapphire Rapids, whose model has one port for 512-bit floats where the CPU has two:
// eight loads of one f32 group take 8 cycles; with two, 6.
//
// All but vrangeps is integer arithmetic on the bits with the sign cleared: NaN is the largest.
#include "core/avx512.h"

#include "absmax/groups_x86.h"
#include "absmax/kernels.h"

namespace qb::absmax {
namespace {

struct Z32 {
  using T = float;
  static constexpr std::size_t lanes = 16;
  static __m512i magnitude(const float* x) {
    return _mm512_and_si512(_mm512_loadu_si512(x), _mm512_set1_epi32(0x7fffffff));
  }
  /// Of the first n <= lanes.
  static __m512i magnitude(const float* x, std::size_t n) {
    return _mm512_and_si512(_mm512_maskz_loadu_epi32(__mmask16((1u << n) - 1), x),
                            _mm512_set1_epi32(0x7fffffff));
  }
  static __m512i max(__m512i a, __m512i b) { return _mm512_max_epu32(a, b); }
  static float reduce(__m512i v) {
    const __m256i h = _mm256_max_epu32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return _mm_cvtss_f32(_mm_castsi128_ps(m));
  }
};

struct Z16 {
  using T = f16;
  static constexpr std::size_t lanes = 32;
  static __m512i magnitude(const f16* x) {
    return _mm512_and_si512(_mm512_loadu_si512(x), _mm512_set1_epi16(0x7fff));
  }
  static __m512i magnitude(const f16* x, std::size_t n) {
    const auto mask = __mmask32((std::uint64_t{1} << n) - 1);
    return _mm512_and_si512(_mm512_maskz_loadu_epi16(mask, x), _mm512_set1_epi16(0x7fff));
  }
  static __m512i max(__m512i a, __m512i b) { return _mm512_max_epu16(a, b); }
  static float reduce(__m512i v) {
    const __m256i h = _mm256_max_epu16(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    const __m128i m = _mm_max_epu16(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
    // vphminposuw is the only horizontal word reduction: a minimum, so complement.
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(m, _mm_set1_epi16(-1)));
    return _cvtsh_ss(static_cast<unsigned short>(~_mm_cvtsi128_si32(least)));
  }
};

/// One group, on the bits. Eight loads go through a tree to four accumulators, so that a load costs
/// one AND and one maximum and no chain is longer than the loads take.
template <class U>
[[gnu::noinline]] float run_bits(const typename U::T* x, std::size_t len) {
  constexpr std::size_t lanes = U::lanes;
  const auto* const end = x + len;
  __m512i a[4];
  // The tail re-reads elements already seen: a maximum does not mind.
  for (auto& v : a) v = len < lanes ? U::magnitude(x, len) : U::magnitude(end - lanes);
  for (; std::size_t(end - x) >= 8 * lanes; x += 8 * lanes)
    for (std::size_t i = 0; i < 4; ++i)
      a[i] = U::max(a[i],
                    U::max(U::magnitude(x + 2 * i * lanes), U::magnitude(x + (2 * i + 1) * lanes)));
  for (; std::size_t(end - x) >= lanes; x += lanes) a[0] = U::max(a[0], U::magnitude(x));
  return U::reduce(U::max(U::max(a[0], a[1]), U::max(a[2], a[3])));
}

inline float run(const float* x, std::size_t len) {
  constexpr std::size_t kStep = 128;
  if (len < 2 * kStep) return run_bits<Z32>(x, len);
  __m512 a[4];
  __mmask16 ordered[4];
  for (auto& v : a) v = _mm512_setzero_ps();
  for (auto& m : ordered) m = 0xffff;
  const auto step = [&](const float* at) {
    for (int i = 0; i < 4; ++i) {
      const __m512 b = _mm512_loadu_ps(at + 32 * i);
      __m512 c = _mm512_loadu_ps(at + 32 * i + 16);
      __asm__("" : "+v"(c));  // loaded once: gcc makes it a memory operand of both
      ordered[i] = _mm512_mask_cmp_ps_mask(ordered[i], b, c, _CMP_ORD_Q);
      a[i] = larger(a[i], larger(b, c));
    }
  };
  for (std::size_t j = 0; j + kStep <= len; j += kStep) step(x + j);
  step(x + len - kStep);  // the tail, some of it again
  const __m512 all = larger(larger(a[0], a[1]), larger(a[2], a[3]));
  const float largest = Z32::reduce(_mm512_castps_si512(all));
  const bool number = (ordered[0] & ordered[1] & ordered[2] & ordered[3]) == 0xffff;
  const bool normal = __builtin_bit_cast(std::uint32_t, largest) >= 0x00800000u;
  return number && normal ? largest : run_bits<Z32>(x, len);
}

inline float run(const f16* x, std::size_t len) { return run_bits<Z16>(x, len); }

template <class U>
inline void all(const typename U::T* x, std::size_t groups, std::size_t len, float* out) {
  if (len * sizeof *x <= kShort) return short_groups<U>(x, groups, len, out);
  const bool far = len * sizeof *x >= kStreamBytes;
  for (std::size_t i = 0; i < groups; ++i)
    out[i] = far ? far_run<U>(x + i * len, len) : run(x + i * len, len);
}

}  // namespace

void absmax_f32_avx512(const float* x, std::size_t groups, std::size_t len, float* out) {
  all<U32>(x, groups, len, out);
}

void absmax_f16_avx512(const f16* x, std::size_t groups, std::size_t len, float* out) {
  all<U16>(x, groups, len, out);
}

}  // namespace qb::absmax
