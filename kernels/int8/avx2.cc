// Int8 quantization, AVX2 + F16C.
//
// Groups of 32, 64 and 128 (and q8_0's blocks) have their maxima reduced eight at a time by one
// transpose tree into one vector, lane i for group i, so that one division serves them all, ahead
// of the codes (core/avx2.h). 32 elements take 10 operations for the maximum and 12 for the codes:
// 4 multiplications, 4 conversions and 4 shuffles, on two of a Zen 4's four pipes each; q8_0 two
// more, which round 16 words at a time. 5.5 cycles at best there, of which 7.6 were measured in L2
// when this was written (6 and 9.0 with q8_0).
//
// No clip is written anywhere: |x| <= absmax makes |x*inv| at most 127 and two roundings, which is
// 127 after rounding to an integer. (A non-finite input gives some code or other.)
#include "core/avx2.h"

#include "core/turns.h"
#include "int8/kernels.h"

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
    if (len * sizeof *x >= kStreamBytes) {
      const FarMaxima far = far_maxima(x, len);
      a[0] = far.most, j = far.done;
    }
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
    if (len * sizeof *x >= kStreamBytes) {
      const FarMaxima far = far_maxima(x, len);
      a[0] = far.most, j = far.done;
    }
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

// ---- products rounded to integers

struct HalfToEven {
  static __m256i code(__m256 x, __m256 inv) { return _mm256_cvtps_epi32(_mm256_mul_ps(x, inv)); }
  static int code(float x, float inv) { return _mm_cvtss_si32(_mm_set_ss(x * inv)); }
};

/// The notebook's, of f16 values: to f16 first. The product has 22 bits at most and is exact, 2^13
/// times as large too. Their sum keeps the product's 11 leading bits, ties to even, for the large
/// one's last bits are zeros. (If the sum carries into the next power of two it keeps ten; what is
/// lost rounds to that power either way.) Below f16's normal numbers that is more than f16 keeps,
/// and the code 0 either way.
struct ThroughF16 {
  static __m256i code(__m256 x, __m256 inv) {
    const __m256 large = _mm256_mul_ps(x, _mm256_mul_ps(inv, _mm256_set1_ps(0x1p13f)));
    return _mm256_cvtps_epi32(_mm256_sub_ps(_mm256_fmadd_ps(x, inv, large), large));
  }
  static int code(float x, float inv) {
    return HalfToEven::code(_cvtsh_ss(narrowed(x * inv)), 1.0f);
  }
};

/// q8_0's, |v| <= 127.5. Adding the float *below* one half lifts exact halves to the next integer
/// (the sum rounds) and nothing under them.
struct HalfAway {
  static __m256i code(__m256 x, __m256 inv) {
    const __m256 half = _mm256_set1_ps(0x1.fffffep-2f),
                 minus_half = _mm256_set1_ps(-0x1.fffffep-2f);
    const __m256 v = _mm256_mul_ps(x, inv);
    return _mm256_cvttps_epi32(_mm256_add_ps(v, _mm256_blendv_ps(half, minus_half, v)));
  }
};

// ---- codes

/// 32 bytes in order. The packs work within halves and leave 4 bytes of a, b, c, d, then again.
inline __m256i in_order(__m256i packed) {
  return _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/// 32 codes in order.
template <class Rounding, class T>
inline __m256i codes32(const T* x, __m256 inv) {
  const auto word = [=](std::size_t j) { return Rounding::code(load8(x + j), inv); };
  return in_order(_mm256_packs_epi16(_mm256_packs_epi32(word(0), word(8)),
                                     _mm256_packs_epi32(word(16), word(24))));
}

template <class Rounding, class T>
inline void codes8(const T* x, __m256 inv, std::int8_t* q) {
  const __m256i words = Rounding::code(load8(x), inv);
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
      for (; !aligned(q + j, 32); ++j) q[j] = std::int8_t(Rounding::code(load1(x + j), factor));
      for (; j + 32 <= len; j += 32) store<true>(q + j, codes32<Rounding>(x + j, inv));
    } else {
      for (; j + 32 <= len; j += 32) store<false>(q + j, codes32<Rounding>(x + j, inv));
    }
    if (j < len) store<false>(q + len - 32, codes32<Rounding>(x + len - 32, inv));
  } else if (len >= 8) {
    for (; j + 8 <= len; j += 8) codes8<Rounding>(x + j, inv, q + j);
    if (j < len) codes8<Rounding>(x + len - 8, inv, q + len - 8);
  } else {
    for (; j < len; ++j) q[j] = std::int8_t(Rounding::code(load1(x + j), factor));
  }
}

// ---- factors and scales

/// v where it is finite, otherwise 0: the group is treated as zero.
inline __m256 finite_or_zero(__m256 v) {
  return _mm256_and_ps(v, _mm256_cmp_ps(v, _mm256_set1_ps(__builtin_inff()), _CMP_LT_OQ));
}

/// The first n, 8 or 4.
inline void store_scales(float* to, __m256 scale, std::size_t n) {
  if (n == 4)
    _mm_storeu_ps(to, _mm256_castps256_ps128(scale));
  else
    _mm256_storeu_ps(to, scale);
}
inline void store_scales(f16* to, __m256 scale, std::size_t n) {
  const __m128i halves = _mm256_cvtps_ph(scale, _MM_FROUND_TO_NEAREST_INT);
  if (n == 4)
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), halves);
  else
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), halves);
}
inline void store_scale(float* to, float scale) { *to = scale; }
inline void store_scale(f16* to, float scale) { *to = f16(narrowed(scale)); }

template <std::size_t kLen, bool kStream, class S>
[[gnu::noinline]] void groups_of(const float* x, std::size_t groups, std::int8_t* q, S* scale) {
  in_two_passes<kLen, kStream>(
      x, groups, [](const float* from) { return absmax_of_4<kLen, kStream>(from); },
      [](__m256i low, __m256i high) { return reduce8(low, high, greater); },
      [=](std::size_t g, __m256 largest, std::size_t n) {
        const __m256 qmax = _mm256_set1_ps(127.0f);
        const __m256 inv = finite_or_zero(_mm256_div_ps(qmax, largest));
        const __m256 used = _mm256_cmp_ps(inv, _mm256_setzero_ps(), _CMP_NEQ_OQ);
        store_scales(scale + g, _mm256_and_ps(used, _mm256_div_ps(largest, qmax)), n);
        return inv;
      },
      [=](std::size_t g, const float* factor, const float* from) {
        std::int8_t* to = q + g * kLen;
        for (std::size_t i = 0; i < 4; ++i) {
          const __m256 inv = _mm256_broadcast_ss(factor + i);
          for (std::size_t j = 0; j < kLen; j += 32, from += 32, to += 32)
            store<kStream>(to, codes32<HalfToEven>(from, inv));
        }
      });
}

template <std::size_t kLen, class S>
inline void groups_of(const float* x, std::size_t groups, std::int8_t* q, S* scale, bool stream) {
  stream ? groups_of<kLen, true>(x, groups, q, scale) : groups_of<kLen, false>(x, groups, q, scale);
}

template <class S>
inline void quantize(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                     S* scale) {
  const bool stream = past_caches(groups * len * sizeof *x, groups * len);
  const bool lines = stream && aligned(q, 32);
  std::size_t done = groups / 16 * 16;
  if (done && len == 32)
    groups_of<32>(x, done, q, scale, lines);
  else if (done && len == 64)
    groups_of<64>(x, done, q, scale, lines);
  else if (done && len == 128)
    groups_of<128>(x, done, q, scale, lines);
  else
    done = 0;
  for (std::size_t i = done; i < groups; ++i) {
    const float* const group = x + i * len;
    const float largest = absmax(group, len);
    float inv = 127.0f / largest;
    inv = inv <= 0x1.fffffep127f ? inv : 0.0f;
    store_scale(scale + i, inv != 0.0f ? largest / 127.0f : 0.0f);
    codes<HalfToEven>(group, len, inv, q + i * len, stream && len >= kStreamRun);
  }
  if (stream) _mm_sfence();
}

// ---- q8_0

/// 32 codes, `factor` being 16/d. Of n, a product's sixteenths truncated, vpmulhrsw by 2049 makes
/// (2048 n + n + 2^14) >> 15: n/16 rounded, and halves up, but for the single n. That is less than
/// 2048, so it counts only at a half, and takes a negative one down.
inline __m256i codes32_away(const float* x, __m256 factor) {
  const auto sixteenths = [=](std::size_t j) {
    return _mm256_cvttps_epi32(_mm256_mul_ps(load8(x + j), factor));
  };
  const auto words = [=](std::size_t j) {
    return _mm256_mulhrs_epi16(_mm256_packs_epi32(sixteenths(j), sixteenths(j + 8)),
                               _mm256_set1_epi16(2049));
  };
  return in_order(_mm256_packs_epi16(words(0), words(16)));
}

inline void blocks_one_by_one(const float* x, std::size_t blocks, BlockQ8_0* y) {
  for (std::size_t i = 0; i < blocks; ++i, x += kBlock) {
    const float d = absmax(x, kBlock) / 127.0f;
    const float id = 1.0f / d;
    y[i].d = f16(narrowed(d));
    const __m256 factor = _mm256_set1_ps(id <= 0x1.fffffep127f ? id : 0.0f);
    store<false>(y[i].qs, codes32<HalfAway>(x, factor));
  }
}

/// A multiple of 16 blocks. kStream: of 32, which are 34 vectors and go past the caches together; y
/// is then at a cache line.
template <bool kStream>
[[gnu::noinline]] void blocks_of(const float* x, std::size_t blocks, BlockQ8_0* y) {
  alignas(64) BlockQ8_0 staged[kStream ? 32 : 1];
  alignas(16) std::uint16_t d[16];
  int tiny = 0;  // whether 16/d has overflowed where 1/d may not have
  // Not as soon as the blocks are there: a load of what several stores wrote waits for them.
  BlockQ8_0* waiting = nullptr;
  const auto flush = [&](BlockQ8_0* to) {
    for (std::size_t j = 0; j < sizeof staged; j += 32)
      store<true>(reinterpret_cast<char*>(to) + j,
                  _mm256_load_si256(
                      reinterpret_cast<const __m256i*>(reinterpret_cast<const char*>(staged) + j)));
  };
  in_two_passes<kBlock, kStream>(
      x, blocks, [](const float* from) { return absmax_of_4<kBlock, kStream>(from); },
      [](__m256i low, __m256i high) { return reduce8(low, high, greater); },
      [&](std::size_t b, __m256 largest, std::size_t) {
        const __m256 scale = _mm256_div_ps(largest, _mm256_set1_ps(127.0f));
        _mm_store_si128(reinterpret_cast<__m128i*>(d + b % 16),
                        _mm256_cvtps_ph(scale, _MM_FROUND_TO_NEAREST_INT));
        const __m256 id = finite_or_zero(_mm256_div_ps(_mm256_set1_ps(16.0f), scale));
        const __m256 zero = _mm256_setzero_ps();
        tiny |= _mm256_movemask_ps(_mm256_and_ps(_mm256_cmp_ps(id, zero, _CMP_EQ_OQ),
                                                 _mm256_cmp_ps(scale, zero, _CMP_NEQ_OQ)));
        return id;
      },
      [&](std::size_t b, const float* id, const float* from) {
        if (kStream && b % 32 == 0) {
          if (waiting) flush(waiting);
          waiting = y + b;
        }
        BlockQ8_0* const to = kStream ? staged + b % 32 : y + b;
        for (std::size_t i = 0; i < 4; ++i, from += kBlock) {
          to[i].d = f16(d[b % 16 + i]);
          store<false>(to[i].qs, codes32_away(from, _mm256_broadcast_ss(id + i)));
        }
      });
  if (waiting) flush(waiting);
  if (tiny) [[unlikely]]
    for (std::size_t i = 0; i < blocks; ++i)
      if (y[i].d == f16(0)) blocks_one_by_one(x + i * kBlock, 1, y + i);
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
  const bool stream = past_caches(groups * len * sizeof *x, groups * len) && len >= kStreamRun;
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
  const bool stream = past_caches(groups * len, groups * len * sizeof *y) && len >= kStreamRun;
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) back(q, len, scale[i], y, stream);
  if (stream) _mm_sfence();
}

void dequantize_s8g_f32_avx2(const std::int8_t* q, std::size_t groups, std::size_t len,
                             const f16* scale, float* y) {
  const bool stream = past_caches(groups * len, groups * len * sizeof *y);
  if (len % 32 != 0)
    for (std::size_t i = 0; i < groups; ++i, q += len, y += len)
      back(q, len, _cvtsh_ss(static_cast<std::uint16_t>(scale[i])), y, stream && len >= kStreamRun);
  else if (stream && aligned(y, 32))
    groups_back<true>(q, groups, len, scale, y);
  else
    groups_back<false>(q, groups, len, scale, y);
  if (stream) _mm_sfence();
}

void dequantize_s8_f16_avx2(const std::int8_t* q, std::size_t groups, std::size_t len,
                            const f16* inv, f16* y) {
  const bool stream = past_caches(groups * len, groups * len * sizeof *y) && len >= kStreamRun;
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
  if (past_caches(blocks * kBlock * sizeof *x, blocks * sizeof *y)) {
    std::size_t first = 0;  // 34 bytes a block: some count up to 31 reaches any even alignment
    while (!aligned(y + first, 64)) ++first;
    blocks_one_by_one(x, first, y);
    x += first * kBlock, y += first, blocks -= first;
    const std::size_t done = blocks / 32 * 32;
    blocks_of<true>(x, done, y);
    _mm_sfence();
    x += done * kBlock, y += done, blocks -= done;
  }
  if (const std::size_t done = blocks / 16 * 16) {
    blocks_of<false>(x, done, y);
    x += done * kBlock, y += done, blocks -= done;
  }
  blocks_one_by_one(x, blocks, y);
}

void dequantize_q8_0_f32_avx2(const BlockQ8_0* x, std::size_t blocks, float* y) {
  const bool stream = past_caches(blocks * sizeof *x, blocks * kBlock * sizeof *y);
  if (stream && aligned(y, 32))
    blocks_back<true>(x, blocks, y);
  else
    blocks_back<false>(x, blocks, y);
  if (stream) _mm_sfence();
}

}  // namespace qb::int8
