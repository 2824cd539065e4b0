// Absmax, AVX2. What binds; the shares of the limit that are reached are in results/.
//
//   one group       the loads, two of 32 bytes a cycle with an AND and a maximum each; beyond the
//                   caches memory, read as eight interleaved streams.
//   groups of 32    the vector pipes in L1: reducing eight groups takes 21 (f32) or 25 (f16)
//                   operations on top of 56 or 24.
#include <immintrin.h>

#include "absmax/kernels.h"
#include "core/stream.h"

#if !defined(__AVX2__) || !defined(__F16C__)
#error "compile with the flags of cmake/Isa.cmake for avx2"
#endif

namespace qb::absmax {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

struct U32 {
  using T = float;
  static constexpr std::size_t lanes = 8;
  static __m256i magnitude(const float* x) {
    return _mm256_and_si256(load(x), _mm256_set1_epi32(0x7fffffff));
  }
  static __m256i max(__m256i a, __m256i b) { return _mm256_max_epu32(a, b); }
  static float one(const float* x, std::size_t len) {
    std::uint32_t largest = 0;
    for (std::size_t j = 0; j < len; ++j) {
      const std::uint32_t m = __builtin_bit_cast(std::uint32_t, x[j]) & 0x7fffffffu;
      largest = m > largest ? m : largest;
    }
    return __builtin_bit_cast(float, largest);
  }
  static float reduce(__m256i v) {
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return _mm_cvtss_f32(_mm_castsi128_ps(m));
  }
  /// Lane i of the result is reduce(g[i]): three halvings, each joining two registers in one.
  static __m256 reduce8(const __m256i (&g)[8]) {
    __m256i pair[4], four[2];
    for (int i = 0; i < 4; ++i)
      pair[i] = max(_mm256_unpacklo_epi32(g[2 * i], g[2 * i + 1]),
                    _mm256_unpackhi_epi32(g[2 * i], g[2 * i + 1]));
    for (int i = 0; i < 2; ++i)
      four[i] = max(_mm256_unpacklo_epi64(pair[2 * i], pair[2 * i + 1]),
                    _mm256_unpackhi_epi64(pair[2 * i], pair[2 * i + 1]));
    return _mm256_castsi256_ps(max(_mm256_permute2x128_si256(four[0], four[1], 0x20),
                                   _mm256_permute2x128_si256(four[0], four[1], 0x31)));
  }
};

struct U16 {
  using T = f16;
  static constexpr std::size_t lanes = 16;
  static __m256i magnitude(const f16* x) {
    return _mm256_and_si256(load(x), _mm256_set1_epi16(0x7fff));
  }
  static __m256i max(__m256i a, __m256i b) { return _mm256_max_epu16(a, b); }
  static float one(const f16* x, std::size_t len) {
    std::uint16_t largest = 0;
    for (std::size_t j = 0; j < len; ++j) {
      const std::uint16_t m = static_cast<std::uint16_t>(x[j]) & 0x7fffu;
      largest = m > largest ? m : largest;
    }
    return _cvtsh_ss(largest);
  }
  static float reduce(__m256i v) {
    const __m128i m = _mm_max_epu16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    // vphminposuw is the only horizontal word reduction: a minimum, so complement.
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(m, _mm_set1_epi16(-1)));
    return _cvtsh_ss(static_cast<unsigned short>(~_mm_cvtsi128_si32(least)));
  }
  static __m256 reduce8(const __m256i (&g)[8]) {
    __m256i pair[4], four[2];
    for (int i = 0; i < 4; ++i)
      pair[i] = max(_mm256_unpacklo_epi16(g[2 * i], g[2 * i + 1]),
                    _mm256_unpackhi_epi16(g[2 * i], g[2 * i + 1]));
    for (int i = 0; i < 2; ++i)
      four[i] = max(_mm256_unpacklo_epi32(pair[2 * i], pair[2 * i + 1]),
                    _mm256_unpackhi_epi32(pair[2 * i], pair[2 * i + 1]));
    const __m256i all =
        max(_mm256_unpacklo_epi64(four[0], four[1]), _mm256_unpackhi_epi64(four[0], four[1]));
    return _mm256_cvtph_ps(
        _mm_max_epu16(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
  }
};

constexpr std::size_t kStreams = 8, kPage = 4096, kLine = 64;
/// Bytes ahead of a stream that are fetched: the hardware's prefetchers stop at every page.
constexpr std::size_t kAhead = 512;

template <class U>
inline void fetch(const typename U::T* x) {
  _mm_prefetch(reinterpret_cast<const char*>(x) + kAhead, _MM_HINT_T0);
}

/// One group of len >= U::lanes. Eight loads go through a tree to four accumulators, so that a
/// load costs one AND and one maximum and no chain is longer than the loads take.
template <class U>
inline float run(const typename U::T* x, std::size_t len) {
  constexpr std::size_t lanes = U::lanes;
  const auto* const end = x + len;
  __m256i a[4];
  // The tail re-reads elements already seen: a maximum does not mind.
  for (auto& v : a) v = U::magnitude(end - lanes);
  for (; std::size_t(end - x) >= 8 * lanes; x += 8 * lanes)
    for (std::size_t i = 0; i < 4; ++i)
      a[i] = U::max(a[i],
                    U::max(U::magnitude(x + 2 * i * lanes), U::magnitude(x + (2 * i + 1) * lanes)));
  for (; std::size_t(end - x) >= lanes; x += lanes) a[0] = U::max(a[0], U::magnitude(x));
  return U::reduce(U::max(U::max(a[0], a[1]), U::max(a[2], a[3])));
}

/// One group too large for the caches: eight streams, a line of each in turn, keep more of the
/// memory's banks and of the core's prefetchers busy than one stream.
template <class U>
inline float run_streams(const typename U::T* x, std::size_t len) {
  constexpr std::size_t lanes = U::lanes;
  // Not whole pages apart, or all streams would fall into one set of the first-level cache.
  const std::size_t bytes = len * sizeof *x / kStreams / kPage * kPage - 9 * kLine;
  const std::size_t stride = bytes / sizeof *x;
  __m256i a[kStreams];
  for (auto& v : a) v = _mm256_setzero_si256();
  for (std::size_t j = 0; j < stride; j += 2 * lanes)
    for (std::size_t i = 0; i < kStreams; ++i) {
      const auto* const line = x + i * stride + j;
      fetch<U>(line);
      a[i] = U::max(a[i], U::max(U::magnitude(line), U::magnitude(line + lanes)));
    }
  for (std::size_t step = kStreams / 2; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = U::max(a[i], a[i + step]);
  const float rest = run<U>(x + kStreams * stride, len - kStreams * stride);
  const float most = U::reduce(a[0]);
  // As bits, for NaN: it is the largest.
  return __builtin_bit_cast(std::uint32_t, rest) > __builtin_bit_cast(std::uint32_t, most) ? rest
                                                                                           : most;
}

/// Eight groups of len >= U::lanes, `stride` elements apart. kLen: len where it is known, else 0.
template <class U, std::size_t kLen, bool kFetch>
inline __m256 eight(const typename U::T* x, std::size_t stride, std::size_t len) {
  constexpr std::size_t lanes = U::lanes;
  __m256i g[8];
  for (std::size_t i = 0; i < 8; ++i) {
    const auto* const group = x + i * stride;
    if constexpr (kFetch && kLen != 0)
      for (std::size_t j = 0; j < kLen; j += kLine / sizeof *x) fetch<U>(group + j);
    g[i] = U::magnitude(group);
    if constexpr (kLen == 4 * lanes) {
      g[i] = U::max(U::max(g[i], U::magnitude(group + lanes)),
                    U::max(U::magnitude(group + 2 * lanes), U::magnitude(group + 3 * lanes)));
    } else if constexpr (kLen != 0) {
      for (std::size_t j = lanes; j < kLen; j += lanes)
        g[i] = U::max(g[i], U::magnitude(group + j));
    }
  }
  if constexpr (kLen == 0) {
    std::size_t j = lanes;
    for (; j + lanes <= len; j += lanes)
      for (std::size_t i = 0; i < 8; ++i) g[i] = U::max(g[i], U::magnitude(x + i * stride + j));
    if (j != len)
      for (std::size_t i = 0; i < 8; ++i)
        g[i] = U::max(g[i], U::magnitude(x + i * stride + len - lanes));
  }
  return U::reduce8(g);
}

template <class U, std::size_t kLen>
inline void eight_at_once(const typename U::T* x, std::size_t groups, std::size_t len, float* out) {
  std::size_t done = 0;
  if (groups * len * sizeof *x >= kStreamBytes) {  // groups of eight streams, as in run_streams
    std::size_t each = groups / kStreams;
    if (each > 1 && each * len * sizeof *x % kPage == 0) --each;
    for (std::size_t i = 0; i < each; ++i) {
      alignas(32) float r[8];
      _mm256_store_ps(r, eight<U, kLen, true>(x + i * len, each * len, len));
      for (std::size_t k = 0; k < 8; ++k) out[k * each + i] = r[k];
    }
    done = kStreams * each;
  }
  for (; groups - done >= 8; done += 8)
    _mm256_storeu_ps(out + done, eight<U, kLen, false>(x + done * len, len, len));
  for (; done < groups; ++done) out[done] = run<U>(x + done * len, len);
}

template <class U>
inline void all(const typename U::T* x, std::size_t groups, std::size_t len, float* out) {
  constexpr std::size_t kShort = 1024;  // bytes; from there on a group hides its own reduction
  if (len < U::lanes) {
    for (std::size_t i = 0; i < groups; ++i) out[i] = U::one(x + i * len, len);
  } else if (len == 32) {
    eight_at_once<U, 32>(x, groups, len, out);
  } else if (len * sizeof *x >= kStreamBytes) {
    for (std::size_t i = 0; i < groups; ++i) out[i] = run_streams<U>(x + i * len, len);
  } else if (len * sizeof *x <= kShort || groups * len * sizeof *x >= kStreamBytes) {
    eight_at_once<U, 0>(x, groups, len, out);
  } else {
    for (std::size_t i = 0; i < groups; ++i) out[i] = run<U>(x + i * len, len);
  }
}

}  // namespace

void absmax_f32_avx2(const float* x, std::size_t groups, std::size_t len, float* out) {
  all<U32>(x, groups, len, out);
}

void absmax_f16_avx2(const f16* x, std::size_t groups, std::size_t len, float* out) {
  all<U16>(x, groups, len, out);
}

}  // namespace qb::absmax
