// Int8 quantization, AVX2 + F16C.
//
// Groups of 32, 64 and 128 (and q8_0's blocks) go eight at a time: their eight maxima are reduced
// by one transpose tree into one vector, lane i for group i, so that one division serves them all.
// The factors of the next eight are computed before the codes of these, which hides the latency of
// tree and division. From there on it is 4 multiplications, 4 conversions and 4 shuffles for 32
// codes, and from the second-level cache outward memory is the limit.
//
// No clip is written anywhere: |x| <= absmax makes |x*inv| at most 127 and two roundings, which is
// 127 after rounding to an integer. (A non-finite input gives some code or other.)
#include <immintrin.h>

#include "core/stream.h"
#include "int8/kernels.h"

#if !defined(__AVX2__) || !defined(__F16C__)
#error "compile with the flags of cmake/Isa.cmake for avx2"
#endif

namespace qb::int8 {
namespace {

inline bool aligned(const void* p, std::size_t to) {
  return reinterpret_cast<std::uintptr_t>(p) % to == 0;
}

template <bool kStream>
inline void store(void* p, __m256i v) {
  if constexpr (kStream)
    _mm256_stream_si256(static_cast<__m256i*>(p), v);
  else
    _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}

inline __m256 load8(const float* x) { return _mm256_loadu_ps(x); }
inline __m256 load8(const f16* x) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
}
/// vcvtps2ph of one value. clang's _cvtss_sh is a macro that warns.
inline std::uint16_t narrowed(float v) {
  return std::uint16_t(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(v), _MM_FROUND_TO_NEAREST_INT)));
}

inline float load1(const float* x) { return *x; }
inline float load1(const f16* x) { return _cvtsh_ss(static_cast<std::uint16_t>(*x)); }

// The loops below are functions of their own on purpose: inlined together they run out of
// registers.

// ---- absmax, on the bits with the sign cleared: NaN is the largest and needs no care

inline __m256i magnitude32(const float* x) {
  return _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(x)), _mm256_set1_epi32(0x7fffffff));
}
inline __m256i magnitude16(const f16* x) {
  return _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)),
                          _mm256_set1_epi16(0x7fff));
}

[[gnu::noinline]] float absmax(const float* x, std::size_t len) {
  std::uint32_t largest = 0;
  if (len >= 8) {
    __m256i a[8];
    for (auto& v : a) v = _mm256_setzero_si256();
    std::size_t j = 0;
    for (; j + 64 <= len; j += 64)
      for (std::size_t i = 0; i < 8; ++i) a[i] = _mm256_max_epu32(a[i], magnitude32(x + j + 8 * i));
    for (; j + 8 <= len; j += 8) a[0] = _mm256_max_epu32(a[0], magnitude32(x + j));
    a[1] = _mm256_max_epu32(a[1], magnitude32(x + len - 8));  // the tail, some of it again
    for (std::size_t step = 4; step; step /= 2)
      for (std::size_t i = 0; i < step; ++i) a[i] = _mm256_max_epu32(a[i], a[i + step]);
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(a[0]), _mm256_extracti128_si256(a[0], 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    largest = std::uint32_t(_mm_cvtsi128_si32(m));
  } else {
    for (std::size_t j = 0; j < len; ++j) {
      const std::uint32_t m = __builtin_bit_cast(std::uint32_t, x[j]) & 0x7fffffffu;
      largest = m > largest ? m : largest;
    }
  }
  return __builtin_bit_cast(float, largest);
}

[[gnu::noinline]] float absmax(const f16* x, std::size_t len) {
  std::uint16_t largest = 0;
  if (len >= 16) {
    __m256i a[8];
    for (auto& v : a) v = _mm256_setzero_si256();
    std::size_t j = 0;
    for (; j + 128 <= len; j += 128)
      for (std::size_t i = 0; i < 8; ++i)
        a[i] = _mm256_max_epu16(a[i], magnitude16(x + j + 16 * i));
    for (; j + 16 <= len; j += 16) a[0] = _mm256_max_epu16(a[0], magnitude16(x + j));
    a[1] = _mm256_max_epu16(a[1], magnitude16(x + len - 16));
    for (std::size_t step = 4; step; step /= 2)
      for (std::size_t i = 0; i < step; ++i) a[i] = _mm256_max_epu16(a[i], a[i + step]);
    const __m128i m =
        _mm_max_epu16(_mm256_castsi256_si128(a[0]), _mm256_extracti128_si256(a[0], 1));
    // vphminposuw is the only horizontal word reduction: a minimum, so complement.
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(m, _mm_set1_epi16(-1)));
    largest = std::uint16_t(~_mm_cvtsi128_si32(least));
  } else {
    for (std::size_t j = 0; j < len; ++j) {
      const std::uint16_t m = static_cast<std::uint16_t>(x[j]) & 0x7fffu;
      largest = m > largest ? m : largest;
    }
  }
  return _cvtsh_ss(largest);
}

constexpr std::size_t kAhead = 512;  ///< elements fetched ahead where memory is the limit

/// The absmax of eight runs of kLen elements, lane i for run i. kFar: x comes from memory.
template <std::size_t kLen, bool kFar>
inline __m256 absmax_of_8(const float* x) {
  __m256i m[8];
  if constexpr (kFar)
    for (std::size_t j = 0; j < 8 * kLen; j += 16)
      _mm_prefetch(reinterpret_cast<const char*>(x + j + kAhead), _MM_HINT_T0);
  for (std::size_t i = 0; i < 8; ++i) {
    const float* const run = x + i * kLen;
    __m256i a = _mm256_max_epu32(magnitude32(run), magnitude32(run + 8));
    __m256i b = _mm256_max_epu32(magnitude32(run + 16), magnitude32(run + 24));
    for (std::size_t j = 32; j < kLen; j += 16) {
      a = _mm256_max_epu32(a, magnitude32(run + j));
      b = _mm256_max_epu32(b, magnitude32(run + j + 8));
    }
    m[i] = _mm256_max_epu32(a, b);
  }
  // A transpose that keeps only maxima. Pairs interleave to abab|abab, those to abcd|abcd, and the
  // halves of two such join to abcd|efgh.
  for (std::size_t i = 0; i < 8; i += 2)
    m[i] = _mm256_max_epu32(_mm256_unpacklo_epi32(m[i], m[i + 1]),
                            _mm256_unpackhi_epi32(m[i], m[i + 1]));
  for (std::size_t i = 0; i < 8; i += 4)
    m[i] = _mm256_max_epu32(_mm256_unpacklo_epi64(m[i], m[i + 2]),
                            _mm256_unpackhi_epi64(m[i], m[i + 2]));
  return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_permute2x128_si256(m[0], m[4], 0x20),
                                              _mm256_permute2x128_si256(m[0], m[4], 0x31)));
}

// ---- rounding to integers

struct HalfToEven {
  static __m256i round(__m256 v) { return _mm256_cvtps_epi32(v); }
  static int round(float v) { return _mm_cvtss_si32(_mm_set_ss(v)); }
};

/// The notebook's: to f16 first. A sum with 2^13 times v's power of two keeps v's 11 leading bits,
/// ties to even; below f16's normal numbers that is more than f16 keeps, and the code 0 either way.
/// That product is exact, so the FMAs round only the sum: 3 instructions, against 4
/// micro-operations of vcvtps2ph and vcvtph2ps on the two busiest ports.
struct ThroughF16 {
  static __m256i round(__m256 v) {
    const __m256 power =
        _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(std::int32_t(0xff800000u))));
    const __m256 shift = _mm256_set1_ps(0x1p13f);
    return _mm256_cvtps_epi32(_mm256_fnmadd_ps(power, shift, _mm256_fmadd_ps(power, shift, v)));
  }
  static int round(float v) { return HalfToEven::round(_cvtsh_ss(narrowed(v))); }
};

/// q8_0's, |v| <= 127.5. Adding the float *below* one half lifts exact halves to the next integer
/// (the sum rounds) and nothing under them.
struct HalfAway {
  static __m256i round(__m256 v) {
    const __m256 half = _mm256_set1_ps(0x1.fffffep-2f),
                 minus_half = _mm256_set1_ps(-0x1.fffffep-2f);
    return _mm256_cvttps_epi32(_mm256_add_ps(v, _mm256_blendv_ps(half, minus_half, v)));
  }
};

// ---- codes

/// 32 codes in order. The packs work within halves and leave 4 bytes of a, b, c, d, then again.
template <class Rounding, class T>
inline __m256i codes32(const T* x, __m256 inv) {
  const auto word = [=](std::size_t j) {
    return Rounding::round(_mm256_mul_ps(load8(x + j), inv));
  };
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(word(0), word(8)),
                                            _mm256_packs_epi32(word(16), word(24)));
  return _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

template <class Rounding, class T>
inline void codes8(const T* x, __m256 inv, std::int8_t* q) {
  const __m256i words = Rounding::round(_mm256_mul_ps(load8(x), inv));
  const __m128i pairs =
      _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(q), _mm_packs_epi16(pairs, pairs));
}

/// Codes of one run. A tail is done by the last whole vector once more, at the very end.
template <class Rounding, class T>
[[gnu::noinline]] void codes(const T* x, std::size_t len, float factor, std::int8_t* q,
                             bool stream) {
  const __m256 inv = _mm256_set1_ps(factor);
  std::size_t j = 0;
  if (len >= 32) {
    if (stream) {
      for (; !aligned(q + j, 32); ++j) q[j] = std::int8_t(Rounding::round(load1(x + j) * factor));
      for (; j + 32 <= len; j += 32) store<true>(q + j, codes32<Rounding>(x + j, inv));
    } else {
      for (; j + 32 <= len; j += 32) store<false>(q + j, codes32<Rounding>(x + j, inv));
    }
    if (j < len) store<false>(q + len - 32, codes32<Rounding>(x + len - 32, inv));
  } else if (len >= 8) {
    for (; j + 8 <= len; j += 8) codes8<Rounding>(x + j, inv, q + j);
    if (j < len) codes8<Rounding>(x + len - 8, inv, q + len - 8);
  } else {
    for (; j < len; ++j) q[j] = std::int8_t(Rounding::round(load1(x + j) * factor));
  }
}

// ---- factors and scales

/// v where it is finite, otherwise 0: the group is treated as zero.
inline __m256 finite_or_zero(__m256 v) {
  return _mm256_and_ps(v, _mm256_cmp_ps(v, _mm256_set1_ps(__builtin_inff()), _CMP_LT_OQ));
}

inline void store_scale(float* to, __m256 scale) { _mm256_storeu_ps(to, scale); }
inline void store_scale(f16* to, __m256 scale) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   _mm256_cvtps_ph(scale, _MM_FROUND_TO_NEAREST_INT));
}
inline void store_scale(float* to, float scale) { *to = scale; }
inline void store_scale(f16* to, float scale) { *to = f16(narrowed(scale)); }

/// Stores the scales of eight groups and returns their factors.
template <std::size_t kLen, bool kFar, class S>
inline __m256 factors_of_8(const float* x, S* scale) {
  const __m256 largest = absmax_of_8<kLen, kFar>(x), qmax = _mm256_set1_ps(127.0f);
  const __m256 inv = finite_or_zero(_mm256_div_ps(qmax, largest));
  const __m256 used = _mm256_cmp_ps(inv, _mm256_setzero_ps(), _CMP_NEQ_OQ);
  store_scale(scale, _mm256_and_ps(used, _mm256_div_ps(largest, qmax)));
  return inv;
}

template <std::size_t kLen, bool kStream, class S>
[[gnu::noinline]] void groups_of(const float* x, std::size_t eights, std::int8_t* q, S* scale) {
  __m256 next = factors_of_8<kLen, kStream>(x, scale);
  for (std::size_t e = 1; e <= eights; ++e) {
    alignas(32) float factor[8];
    _mm256_store_ps(factor, next);
    if (e < eights) next = factors_of_8<kLen, kStream>(x + 8 * kLen, scale += 8);
    for (std::size_t i = 0; i < 8; ++i) {
      const __m256 inv = _mm256_broadcast_ss(factor + i);
      for (std::size_t j = 0; j < kLen; j += 32, x += 32, q += 32)
        store<kStream>(q, codes32<HalfToEven>(x, inv));
    }
  }
}

template <class S>
inline void quantize(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                     S* scale) {
  const bool stream = groups * len * 5 >= kStreamBytes;
  if (const std::size_t eights = groups / 8; eights && (len == 32 || len == 64 || len == 128)) {
    const bool lines = stream && aligned(q, 32);
    if (len == 32)
      lines ? groups_of<32, true>(x, eights, q, scale) : groups_of<32, false>(x, eights, q, scale);
    else if (len == 64)
      lines ? groups_of<64, true>(x, eights, q, scale) : groups_of<64, false>(x, eights, q, scale);
    else
      lines ? groups_of<128, true>(x, eights, q, scale)
            : groups_of<128, false>(x, eights, q, scale);
    x += 8 * eights * len, q += 8 * eights * len, scale += 8 * eights, groups -= 8 * eights;
  }
  for (std::size_t i = 0; i < groups; ++i, x += len, q += len) {
    const float largest = absmax(x, len);
    float inv = 127.0f / largest;
    inv = inv <= 0x1.fffffep127f ? inv : 0.0f;
    store_scale(scale + i, inv != 0.0f ? largest / 127.0f : 0.0f);
    codes<HalfToEven>(x, len, inv, q, stream);
  }
  if (stream) _mm_sfence();
}

// ---- q8_0

/// Factors of eight blocks, and their scales.
template <bool kFar>
inline __m256 block_factors_of_8(const float* x, std::uint16_t* d) {
  const __m256 scale = _mm256_div_ps(absmax_of_8<kBlock, kFar>(x), _mm256_set1_ps(127.0f));
  _mm_store_si128(reinterpret_cast<__m128i*>(d), _mm256_cvtps_ph(scale, _MM_FROUND_TO_NEAREST_INT));
  return finite_or_zero(_mm256_div_ps(_mm256_set1_ps(1.0f), scale));
}

inline void block(const float* x, BlockQ8_0* y, std::uint16_t d, __m256 id) {
  y->d = f16(d);
  store<false>(y->qs, codes32<HalfAway>(x, id));
}

inline void blocks_one_by_one(const float* x, std::size_t blocks, BlockQ8_0* y) {
  for (std::size_t i = 0; i < blocks; ++i, x += kBlock) {
    const float d = absmax(x, kBlock) / 127.0f;
    const float id = 1.0f / d;
    block(x, y + i, narrowed(d), _mm256_set1_ps(id <= 0x1.fffffep127f ? id : 0.0f));
  }
}

template <bool kFar>
[[gnu::noinline]] void blocks_by_eights(const float* x, std::size_t eights, BlockQ8_0* y) {
  alignas(16) std::uint16_t d[2][8];
  __m256 next = block_factors_of_8<kFar>(x, d[0]);
  for (std::size_t e = 1; e <= eights; ++e) {
    alignas(32) float id[8];
    _mm256_store_ps(id, next);
    const std::uint16_t* const scales = d[(e - 1) & 1];
    if (e < eights) next = block_factors_of_8<kFar>(x + 8 * kBlock, d[e & 1]);
    for (std::size_t i = 0; i < 8; ++i, x += kBlock)
      block(x, y++, scales[i], _mm256_broadcast_ss(id + i));
  }
}

// ---- back

template <bool kStream>
inline void store8(float* y, __m256 v) {
  store<kStream>(y, _mm256_castps_si256(v));
}
template <bool kStream>
inline void store8(f16* y, __m256 v) {
  const __m128i halves = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
  if constexpr (kStream)
    _mm_stream_si128(reinterpret_cast<__m128i*>(y), halves);
  else
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), halves);
}
inline void store1(float* y, float v) { *y = v; }
inline void store1(f16* y, float v) { *y = f16(narrowed(v)); }

template <bool kStream, class Y>
inline void back8(const std::int8_t* q, __m256 scale, Y* y) {
  const __m256i words = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(q)));
  store8<kStream>(y, _mm256_mul_ps(_mm256_cvtepi32_ps(words), scale));
}

template <bool kStream, class Y>
inline void back32(const std::int8_t* q, __m256 scale, Y* y) {
  for (std::size_t j = 0; j < 32; j += 8) back8<kStream>(q + j, scale, y + j);
}

/// One run. A tail is done by the last whole vector once more, at the very end.
template <class Y>
inline void back(const std::int8_t* q, std::size_t len, float factor, Y* y, bool stream) {
  const __m256 scale = _mm256_set1_ps(factor);
  std::size_t j = 0;
  if (len >= 32) {
    if (stream) {
      for (; !aligned(y + j, 8 * sizeof(Y)); ++j) store1(y + j, float(q[j]) * factor);
      for (; j + 32 <= len; j += 32) back32<true>(q + j, scale, y + j);
    } else {
      for (; j + 32 <= len; j += 32) back32<false>(q + j, scale, y + j);
    }
  }
  if (len >= 8) {
    for (; j + 8 <= len; j += 8) back8<false>(q + j, scale, y + j);
    if (j < len) back8<false>(q + len - 8, scale, y + len - 8);
  } else {
    for (; j < len; ++j) store1(y + j, float(q[j]) * factor);
  }
}

/// An f16 scale in all lanes.
inline __m256 broadcast(f16 scale) {
  return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<std::int16_t>(scale)));
}

template <bool kStream>
inline void groups_back(const std::int8_t* q, std::size_t groups, std::size_t len, const f16* scale,
                        float* y) {
  for (std::size_t i = 0; i < groups; ++i) {
    const __m256 factor = broadcast(scale[i]);
    for (std::size_t j = 0; j < len; j += 32, q += 32, y += 32) back32<kStream>(q, factor, y);
  }
}

template <bool kStream>
inline void blocks_back(const BlockQ8_0* x, std::size_t blocks, float* y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock)
    back32<kStream>(x[i].qs, broadcast(x[i].d), y);
}

}  // namespace

void quantize_f32_s8_avx2(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                          float* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f32_s8g_avx2(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                           f16* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f16_s8_avx2(const f16* x, std::size_t groups, std::size_t len, std::int8_t* q,
                          f16* inv) {
  const bool stream = groups * len * 3 >= kStreamBytes;
  for (std::size_t i = 0; i < groups; ++i, x += len, q += len) {
    const float largest = absmax(x, len);
    float wide = 127.0f / largest;
    wide = wide < 65504.0f ? wide : 65504.0f;
    const auto stored = narrowed(largest == 0.0f ? 0.0f : wide);
    inv[i] = f16(stored);
    codes<ThroughF16>(x, len, _cvtsh_ss(stored), q, stream);
  }
  if (stream) _mm_sfence();
}

void dequantize_s8_f32_avx2(const std::int8_t* q, std::size_t groups, std::size_t len,
                            const float* scale, float* y) {
  const bool stream = groups * len * 5 >= kStreamBytes;
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) back(q, len, scale[i], y, stream);
  if (stream) _mm_sfence();
}

void dequantize_s8g_f32_avx2(const std::int8_t* q, std::size_t groups, std::size_t len,
                             const f16* scale, float* y) {
  const bool stream = groups * len * 5 >= kStreamBytes;
  if (len % 32 != 0)
    for (std::size_t i = 0; i < groups; ++i, q += len, y += len)
      back(q, len, _cvtsh_ss(static_cast<std::uint16_t>(scale[i])), y, stream);
  else if (stream && aligned(y, 32))
    groups_back<true>(q, groups, len, scale, y);
  else
    groups_back<false>(q, groups, len, scale, y);
  if (stream) _mm_sfence();
}

void dequantize_s8_f16_avx2(const std::int8_t* q, std::size_t groups, std::size_t len,
                            const f16* inv, f16* y) {
  const bool stream = groups * len * 3 >= kStreamBytes;
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) {
    // A product with the reciprocal rounds to the same f16 as the quotient. With q = Q, inv = I and
    // a rounding boundary M as integers of 7, 11 and 12 bits, q/inv is never on a boundary (M would
    // divide Q) and differs from it by more than 2^-23 of itself; the product is nearer than that.
    const float divisor = _cvtsh_ss(static_cast<std::uint16_t>(inv[i]));
    if (divisor == 0.0f)
      for (std::size_t j = 0; j < len; ++j) y[j] = f16(0);
    else
      back(q, len, 1.0f / divisor, y, stream);
  }
  if (stream) _mm_sfence();
}

void quantize_f32_q8_0_avx2(const float* x, std::size_t blocks, BlockQ8_0* y) {
  // Streamed stores want whole vectors: 32 blocks are 34 of them, staged where they stay in cache.
  constexpr std::size_t kStaged = 32;
  if (blocks * (kBlock * sizeof(float) + sizeof(BlockQ8_0)) >= kStreamBytes) {
    std::size_t first = 0;  // 34 bytes a block: some count up to 31 reaches any even alignment
    while (!aligned(y + first, 64)) ++first;
    blocks_one_by_one(x, first, y);
    x += first * kBlock, y += first, blocks -= first;
    for (; blocks >= kStaged; blocks -= kStaged, x += kStaged * kBlock, y += kStaged) {
      alignas(64) BlockQ8_0 staged[kStaged];
      blocks_by_eights<true>(x, kStaged / 8, staged);
      auto* const to = reinterpret_cast<__m256i*>(y);
      const auto* const from = reinterpret_cast<const __m256i*>(staged);
      for (std::size_t i = 0; i < sizeof staged / 32; ++i)
        _mm256_stream_si256(to + i, _mm256_load_si256(from + i));
    }
    _mm_sfence();
  }
  if (const std::size_t eights = blocks / 8) {
    blocks_by_eights<false>(x, eights, y);
    x += eights * 8 * kBlock, y += eights * 8, blocks -= eights * 8;
  }
  blocks_one_by_one(x, blocks, y);
}

void dequantize_q8_0_f32_avx2(const BlockQ8_0* x, std::size_t blocks, float* y) {
  const bool stream = blocks * (kBlock * sizeof(float) + sizeof(BlockQ8_0)) >= kStreamBytes;
  if (stream && aligned(y, 32))
    blocks_back<true>(x, blocks, y);
  else
    blocks_back<false>(x, blocks, y);
  if (stream) _mm_sfence();
}

}  // namespace qb::int8
