// Products of int8 activations, AVX2.
//
// vpmaddubsw (2 a cycle) multiplies 32 unsigned bytes by 32 signed ones and adds neighbours in
// int16, saturating. Sixteen outputs make a panel; a vector holds 4 of K for 8 outputs, so that
// four activations, broadcast by a load, meet all of them and no sum is ever taken across lanes:
//
//   4-bit weights  stored +8, as 0..15: a pair is at most 2*15*127 = 3810, so the eight products of
//                  a block of 32 add up in int16 (30480) and one vpmaddwd widens them. The -8 comes
//                  out as -8 times the sum of the activations, which prepare() takes.
//   8-bit weights  |w| unsigned, and the activations with w's sign (vpsignb): a pair is at most
//                  2*127*128 and never saturates, but must be widened at once.
//
// Panel: for each group the codes of its blocks of 32, then 16 f16 scales; for one scale per output
// the codes of all blocks, then 16 f32 scales. A block: 8 outputs (32 bytes for each 4 of K; 4-bit:
// K+0..15 in the low nibbles, K+16..31 in the high ones), then the other 8.
#include <immintrin.h>

#include "matmul/a8_activations.h"
#include "matmul/row_formats.h"

#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile with the flags of cmake/Isa.cmake for avx2"
#endif

#if defined(__clang__)
#define QB_UNROLL _Pragma("unroll")
#else
#define QB_UNROLL _Pragma("GCC unroll 16")
#endif

namespace qb::matmul {
namespace {

constexpr std::size_t kPanel = 16;    // outputs
constexpr std::size_t kVector = 8;    // outputs in a vector
constexpr std::size_t kAhead = 2048;  // bytes that GEMV prefetches ahead

inline std::size_t least(std::size_t a, std::size_t b) { return a < b ? a : b; }

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m256i broadcast(const void* p) {
  std::int32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return _mm256_set1_epi32(word);
}

/// Keeps the compiler from reassociating the sum that v is part of: gcc turns a chain of additions
/// into a tree and then spills its leaves.
inline void pin(__m256i& v) { asm("" : "+x"(v)); }

// --- Formats -----------------------------------------------------------------------------------

/// Where a panel keeps what. Bytes.
template <int bits>
struct Panel {
  static constexpr std::size_t half = std::size_t{bits} * kBlock * kVector / 8;  ///< 8 outputs
  static constexpr std::size_t block = 2 * half;

  /// Blocks that share scales, all of them included, and where the scales lie in them.
  static constexpr std::size_t scales(std::size_t group_blocks) { return group_blocks * block; }
  static constexpr std::size_t group(std::size_t group_blocks) {
    return scales(group_blocks) + kPanel * sizeof(f16);
  }
  static constexpr std::size_t bytes(std::size_t k, std::size_t group_len, bool per_block) {
    return per_block ? k / group_len * group(group_len / kBlock)
                     : scales(blocks_of(k)) + kPanel * sizeof(float);
  }
};

// --- Packing -----------------------------------------------------------------------------------

/// Eight outputs' 32 codes of a byte each: dword j of every output becomes vector j.
inline void pack_half(const std::uint8_t* const (&from)[kVector], std::uint8_t* to, __m256i*) {
  __m256i a[8], b[8];
  for (int i = 0; i < 8; ++i) a[i] = load(from[i]);
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      a[i + 2 * j] = _mm256_unpacklo_epi64(b[i + j], b[i + j + 2]);
      a[i + 2 * j + 1] = _mm256_unpackhi_epi64(b[i + j], b[i + j + 2]);
    }
  auto* const out = reinterpret_cast<__m256i*>(to);
  for (int j = 0; j < 4; ++j) {
    _mm256_storeu_si256(out + j, _mm256_permute2x128_si256(a[j], a[j + 4], 0x20));
    _mm256_storeu_si256(out + j + 4, _mm256_permute2x128_si256(a[j], a[j + 4], 0x31));
  }
}

/// Eight outputs' 32 codes of a nibble each, likewise; neighbours: reordered to low and high halves
/// of K and stored +8.
template <bool neighbours>
inline void pack_half(const std::uint8_t* const (&from)[kVector], std::uint8_t* to, __m128i*) {
  __m256i a[4], b[4];
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(from[i + 4]),
                               reinterpret_cast<const __m128i*>(from[i]));
    if constexpr (neighbours) {
      const __m256i nibble = _mm256_set1_epi8(15);
      const __m256i even = _mm256_and_si256(a[i], nibble);
      const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(a[i], 4), nibble);
      const __m256i low = _mm256_unpacklo_epi8(even, odd), high = _mm256_unpackhi_epi8(even, odd);
      a[i] = _mm256_xor_si256(_mm256_or_si256(low, _mm256_slli_epi16(high, 4)),
                              _mm256_set1_epi8(static_cast<char>(0x88)));
    }
  }
  for (int i = 0; i < 4; i += 2) {
    b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
  }
  auto* const out = reinterpret_cast<__m256i*>(to);
  for (int j = 0; j < 2; ++j) {
    _mm256_storeu_si256(out + 2 * j, _mm256_unpacklo_epi64(b[j], b[j + 2]));
    _mm256_storeu_si256(out + 2 * j + 1, _mm256_unpackhi_epi64(b[j], b[j + 2]));
  }
}

template <class F>
std::size_t packed_bytes(std::size_t n, std::size_t k, std::size_t group) {
  return (n + kPanel - 1) / kPanel * Panel<F::bits>::bytes(k, group, F::per_block);
}

template <class F>
void pack(const Weights& w, std::size_t n0, std::size_t n1, void* packed) {
  using P = Panel<F::bits>;
  constexpr std::size_t code_bytes = kBlock * F::bits / 8;
  // Outputs and codes that aren't there are zeros; +8 in q4_0's nibbles.
  alignas(32) std::uint8_t missing[kVector][kBlock];
  __builtin_memset(missing, F::bits == 4 && !F::neighbours ? 0x88 : 0, sizeof missing);
  const std::size_t bytes = P::bytes(w.k, w.group, F::per_block);
  const std::size_t row = F::row(w.k), blocks = blocks_of(w.k);
  const std::size_t group_blocks = F::per_block ? w.group / kBlock : blocks;
  for (std::size_t n = n0; n < n1; n += kPanel) {
    auto* out = static_cast<std::uint8_t*>(packed) + n / kPanel * bytes;
    const auto* from = static_cast<const std::uint8_t*>(w.values) + n * row;
    const std::size_t outputs = least(n1 - n, kPanel);
    for (std::size_t b = 0; b < blocks;) {
      for (std::size_t i = 0; i < group_blocks; ++i, ++b) {
        const std::size_t at = b * F::block + F::codes;
        const std::size_t count = least(row - at, code_bytes);
        for (std::size_t half = 0; half < 2; ++half, out += P::half) {
          const std::uint8_t* source[kVector];
          for (std::size_t c = 0; c < kVector; ++c) {
            const std::size_t column = half * kVector + c;
            source[c] = missing[c];
            if (column >= outputs) continue;
            source[c] = from + column * row + at;
            if (count < code_bytes) {
              __builtin_memcpy(missing[c], source[c], count);
              source[c] = missing[c];
            }
          }
          if constexpr (F::bits == 8)
            pack_half(source, out, static_cast<__m256i*>(nullptr));
          else
            pack_half<F::neighbours>(source, out, static_cast<__m128i*>(nullptr));
        }
      }
      if constexpr (F::per_block) {
        f16 scales[kPanel] = {};
        for (std::size_t c = 0; c < outputs; ++c)
          scales[c] = F::scale(w, n + c, b / group_blocks - 1);
        __builtin_memcpy(out, scales, sizeof scales);
        out += sizeof scales;
      }
    }
    if constexpr (!F::per_block) {
      float scales[kPanel] = {};
      for (std::size_t c = 0; c < outputs; ++c)
        scales[c] = static_cast<const float*>(w.scales)[n + c];
      __builtin_memcpy(out, scales, sizeof scales);
    }
  }
}

template <class F>
void unpack(const void* packed, std::size_t, std::size_t k, std::size_t group, std::size_t n0,
            std::size_t n1, void* codes) {
  using P = Panel<F::bits>;
  const std::size_t bytes = P::bytes(k, group, F::per_block);
  const std::size_t group_blocks = F::per_block ? group / kBlock : blocks_of(k);
  for (std::size_t n = n0; n < n1; ++n) {
    const auto* panel = static_cast<const std::uint8_t*>(packed) + n / kPanel * bytes;
    const std::size_t column = n % kPanel;
    for (std::size_t i = 0; i < k; ++i) {
      const std::size_t b = i / kBlock, within = i % kBlock;
      const std::uint8_t* at =
          panel + b * P::block + column / kVector * P::half + column % kVector * 4 + within % 4;
      if constexpr (F::per_block) at += b / group_blocks * (P::group(1) - P::block);
      std::int8_t code;
      if constexpr (F::bits == 8) {
        code = static_cast<std::int8_t>(at[within / 4 * 32]);
      } else {
        const int byte = at[within % 16 / 4 * 32];
        code = static_cast<std::int8_t>((within < 16 ? byte & 15 : byte >> 4) - 8);
      }
      static_cast<std::int8_t*>(codes)[n * k + i] = code;
    }
  }
}

// --- Activations -------------------------------------------------------------------------------

inline __m256 magnitude(__m256 v) {
  return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)));
}

inline float reduce_max(__m256 v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

inline std::int32_t reduce_add(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/// Nearest integers; half_away: a tie goes away from zero, otherwise to even. Adding the float
/// below one half and cutting off rounds ties away and leaves what lies just below a tie below.
template <bool half_away>
inline __m256i rounded(__m256 v) {
  if constexpr (!half_away) return _mm256_cvtps_epi32(v);
  const __m256 sign = _mm256_and_ps(v, _mm256_set1_ps(-0.0f));
  return _mm256_cvttps_epi32(_mm256_add_ps(v, _mm256_or_ps(sign, _mm256_set1_ps(0.49999997f))));
}

/// Codes of 32 values, in order. |v * inverse| needs no clip: it rounds to 127 at most.
template <bool half_away>
inline __m256i quantize_block(const __m256 (&v)[4], float inverse) {
  const __m256 by = _mm256_set1_ps(inverse);
  __m256i q[4];
  for (int i = 0; i < 4; ++i) q[i] = rounded<half_away>(_mm256_mul_ps(v[i], by));
  // Packing works within 128-bit lanes: dwords come out as 0 4 1 5 2 6 3 7 of the order of K.
  const __m256i bytes =
      _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/// Sums of the codes, in eight parts.
inline __m256i sums(__m256i codes) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), codes), _mm256_set1_epi16(1));
}

inline void load_block(const float* x, std::size_t count, __m256 (&v)[4]) {
  if (count >= kBlock) {
    for (int i = 0; i < 4; ++i) v[i] = _mm256_loadu_ps(x + 8 * i);
    return;
  }
  float padded[kBlock] = {};
  for (std::size_t i = 0; i < count; ++i) padded[i] = x[i];
  for (int i = 0; i < 4; ++i) v[i] = _mm256_loadu_ps(padded + 8 * i);
}

/// One scale for the row; as its sum -8 times the sum of its codes: what the +8 of 4-bit weights
/// adds too much.
void prepare_per_row(const void* x, std::size_t, std::size_t k, std::size_t, std::size_t m0,
                     std::size_t m1, void* workspace) {
  const RowLayout layout = row_layout(k, false);
  for (std::size_t m = m0; m < m1; ++m) {
    const float* row = static_cast<const float*>(x) + m * k;
    auto* const out = static_cast<std::uint8_t*>(workspace) + m * layout.stride;
    __m256 v[4], largest[4];
    for (__m256& l : largest) l = _mm256_setzero_ps();
    for (std::size_t i = 0; i < k; i += kBlock) {
      load_block(row + i, k - i, v);
      for (int j = 0; j < 4; ++j) largest[j] = _mm256_max_ps(largest[j], magnitude(v[j]));
    }
    const Scaling scaling = row_scaling(reduce_max(_mm256_max_ps(
        _mm256_max_ps(largest[0], largest[1]), _mm256_max_ps(largest[2], largest[3]))));
    __m256i sum = _mm256_setzero_si256();
    for (std::size_t i = 0; i < k; i += kBlock) {
      load_block(row + i, k - i, v);
      const __m256i codes = quantize_block<false>(v, scaling.inverse);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), codes);
      sum = _mm256_add_epi32(sum, sums(codes));
    }
    *reinterpret_cast<float*>(out + layout.scales) = scaling.scale;
    *reinterpret_cast<std::int32_t*>(out + layout.sums) = -8 * reduce_add(sum);
  }
}

/// A scale for every block; as its sum a pair of int16, each -4 times the sum of its codes, at
/// which the int16 sums of 4-bit weights start.
void prepare_per_block(const void* x, std::size_t, std::size_t k, std::size_t, std::size_t m0,
                       std::size_t m1, void* workspace) {
  const RowLayout layout = row_layout(k, true);
  for (std::size_t m = m0; m < m1; ++m) {
    const float* row = static_cast<const float*>(x) + m * k;
    auto* const out = static_cast<std::uint8_t*>(workspace) + m * layout.stride;
    auto* const scales = reinterpret_cast<float*>(out + layout.scales);
    auto* const starts = reinterpret_cast<std::uint32_t*>(out + layout.sums);
    for (std::size_t b = 0; b < k / kBlock; ++b) {
      __m256 v[4];
      load_block(row + b * kBlock, kBlock, v);
      const Scaling scaling =
          block_scaling(reduce_max(_mm256_max_ps(_mm256_max_ps(magnitude(v[0]), magnitude(v[1])),
                                                 _mm256_max_ps(magnitude(v[2]), magnitude(v[3])))));
      scales[b] = _mm_cvtss_f32(
          _mm_cvtph_ps(_mm_cvtps_ph(_mm_set_ss(scaling.scale), _MM_FROUND_TO_NEAREST_INT)));
      const __m256i codes = quantize_block<true>(v, scaling.inverse);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + b * kBlock), codes);
      const auto start = static_cast<std::uint16_t>(-4 * reduce_add(sums(codes)));
      starts[b] = start | std::uint32_t{start} << 16;
    }
  }
}

template <bool per_block>
std::size_t workspace_bytes(std::size_t m, std::size_t, std::size_t k, std::size_t) {
  return m * row_layout(k, per_block).stride;
}

// --- Products ----------------------------------------------------------------------------------

/// Integer sums of one block of 32: R rows at x, `stride` apart, times C vectors of 8 outputs.
/// Vector c is the c%2'th half of the block at w[c/2].
template <int bits, int R, int C>
struct Dot;

template <int R, int C>
struct Dot<4, R, C> {
  /// Adds to int16 sums, two lanes an output; fresh: starts them.
  template <bool fresh>
  static void add(const std::uint8_t* const* w, const std::uint8_t* x, std::size_t stride,
                  __m256i (&sum)[R][C]) {
    const __m256i nibble = _mm256_set1_epi8(15);
    QB_UNROLL for (int j = 0; j < 4; ++j) {
      __m256i low[C], high[C];
      QB_UNROLL for (int c = 0; c < C; ++c) {
        const __m256i v = load(w[c / 2] + c % 2 * Panel<4>::half + 32 * j);
        low[c] = _mm256_and_si256(v, nibble);
        high[c] = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
      }
      QB_UNROLL for (int r = 0; r < R; ++r) {
        const __m256i x0 = broadcast(x + r * stride + 4 * j);
        const __m256i x1 = broadcast(x + r * stride + 16 + 4 * j);
        QB_UNROLL for (int c = 0; c < C; ++c) {
          const __m256i product = _mm256_maddubs_epi16(low[c], x0);
          sum[r][c] = fresh && j == 0 ? product : _mm256_add_epi16(sum[r][c], product);
          pin(sum[r][c]);
        }
        QB_UNROLL for (int c = 0; c < C; ++c) {
          sum[r][c] = _mm256_add_epi16(sum[r][c], _mm256_maddubs_epi16(high[c], x1));
          pin(sum[r][c]);
        }
      }
    }
  }
  /// The sums of one block. start: per row, what a pair of int16 lanes starts at.
  static void block(const std::uint8_t* const* w, const std::uint8_t* x, std::size_t stride,
                    const std::uint8_t* start, __m256i (&sum)[R][C]) {
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const __m256i s = broadcast(start + r * stride);
      QB_UNROLL for (int c = 0; c < C; ++c) sum[r][c] = s;
    }
    add<false>(w, x, stride, sum);
    const __m256i ones = _mm256_set1_epi16(1);
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) sum[r][c] =
        _mm256_madd_epi16(sum[r][c], ones);
  }
  /// Adds a block to int32 sums.
  static void accumulate(const std::uint8_t* const* w, const std::uint8_t* x, std::size_t stride,
                         __m256i (&sum)[R][C]) {
    __m256i part[R][C];
    add<true>(w, x, stride, part);
    const __m256i ones = _mm256_set1_epi16(1);
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) sum[r][c] =
        _mm256_add_epi32(sum[r][c], _mm256_madd_epi16(part[r][c], ones));
  }
};

template <int R, int C>
struct Dot<8, R, C> {
  template <bool fresh>
  static void add(const std::uint8_t* const* w, const std::uint8_t* x, std::size_t stride,
                  __m256i (&sum)[R][C]) {
    const __m256i ones = _mm256_set1_epi16(1);
    QB_UNROLL for (int j = 0; j < 8; ++j) {
      __m256i v[C], size[C];
      QB_UNROLL for (int c = 0; c < C; ++c) {
        v[c] = load(w[c / 2] + c % 2 * Panel<8>::half + 32 * j);
        size[c] = _mm256_abs_epi8(v[c]);
      }
      QB_UNROLL for (int r = 0; r < R; ++r) {
        const __m256i x0 = broadcast(x + r * stride + 4 * j);
        QB_UNROLL for (int c = 0; c < C; ++c) {
          const __m256i product =
              _mm256_madd_epi16(_mm256_maddubs_epi16(size[c], _mm256_sign_epi8(x0, v[c])), ones);
          sum[r][c] = fresh && j == 0 ? product : _mm256_add_epi32(sum[r][c], product);
          pin(sum[r][c]);
        }
      }
    }
  }
  static void accumulate(const std::uint8_t* const* w, const std::uint8_t* x, std::size_t stride,
                         __m256i (&sum)[R][C]) {
    add<false>(w, x, stride, sum);
  }
  static void block(const std::uint8_t* const* w, const std::uint8_t* x, std::size_t stride,
                    const std::uint8_t*, __m256i (&sum)[R][C]) {
    add<true>(w, x, stride, sum);
  }
};

/// What the tiles of one call have in common.
struct Call {
  std::size_t blocks;        ///< of K
  std::size_t group_blocks;  ///< that share a scale
  RowLayout x;
  std::size_t n;  ///< y's row length
  std::size_t n1;
  float* y;
};

/// y[m..m+R, n..n+8*C) from rows at x. panel[i]: codes of vectors 2i and 2i+1 (C == 1: of the one
/// vector); scales: from there to the first scales of that panel.
template <class F, int R, int C>
[[gnu::noinline]] void tile(const Call& call, const std::uint8_t* const* panel, std::size_t scales,
                            const std::uint8_t* x, std::size_t m, std::size_t n) {
  constexpr int panels = (C + 1) / 2;
  using P = Panel<F::bits>;
  using D = Dot<F::bits, R, C>;
  const std::size_t stride = call.x.stride;
  const std::uint8_t* w[panels];
  QB_UNROLL for (int i = 0; i < panels; ++i) w[i] = panel[i];
  __m256 result[R][C];
  __m256i sum[R][C];
  if constexpr (F::per_block) {
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) result[r][c] =
        _mm256_setzero_ps();
    const std::uint8_t* scale = x + call.x.scales;
    const std::uint8_t* start = x + call.x.sums;
    for (std::size_t b = 0; b < call.blocks;) {
      __m256 d[C];
      QB_UNROLL for (int c = 0; c < C; ++c) d[c] = _mm256_cvtph_ps(_mm_loadu_si128(
          reinterpret_cast<const __m128i*>(w[c / 2] + scales + c % 2 * (kVector * sizeof(f16)))));
      for (std::size_t i = 0; i < call.group_blocks;
           ++i, ++b, x += kBlock, scale += 4, start += 4) {
        D::block(w, x, stride, start, sum);
        QB_UNROLL for (int r = 0; r < R; ++r) {
          const __m256 s = _mm256_broadcast_ss(reinterpret_cast<const float*>(scale + r * stride));
          QB_UNROLL for (int c = 0; c < C; ++c) result[r][c] =
              _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][c]), _mm256_mul_ps(d[c], s), result[r][c]);
        }
        QB_UNROLL for (int p = 0; p < panels; ++p) {
          if constexpr (R == 1)
            for (std::size_t line = 0; line < P::block; line += 64)
              _mm_prefetch(reinterpret_cast<const char*>(w[p]) + kAhead + line, _MM_HINT_T0);
          w[p] += P::block;
        }
      }
      QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += kPanel * sizeof(f16);
    }
  } else {
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const __m256i start =
          F::bits == 4 ? broadcast(x + call.x.sums + r * stride) : _mm256_setzero_si256();
      QB_UNROLL for (int c = 0; c < C; ++c) sum[r][c] = start;
    }
    const std::uint8_t* at = x;
    for (std::size_t b = 0; b < call.blocks; ++b, at += kBlock) {
      D::accumulate(w, at, stride, sum);
      QB_UNROLL for (int p = 0; p < panels; ++p) {
        if constexpr (R == 1)
          for (std::size_t line = 0; line < P::block; line += 64)
            _mm_prefetch(reinterpret_cast<const char*>(w[p]) + kAhead + line, _MM_HINT_T0);
        w[p] += P::block;
      }
    }
    // Scales first: codes times a scale may be too large for a float that the output isn't.
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const __m256 s =
          _mm256_broadcast_ss(reinterpret_cast<const float*>(x + call.x.scales + r * stride));
      QB_UNROLL for (int c = 0; c < C; ++c) {
        const __m256 d = _mm256_loadu_ps(
            reinterpret_cast<const float*>(panel[c / 2] + scales + c % 2 * (kVector * 4)));
        result[r][c] = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r][c]), _mm256_mul_ps(d, s));
      }
    }
  }
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) {
    const std::size_t at = n + std::size_t(c) * kVector;
    if (at >= call.n1) break;
    float* const y = call.y + (m + std::size_t(r)) * call.n + at;
    if (at + kVector <= call.n1) {
      _mm256_storeu_ps(y, result[r][c]);
    } else {
      const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
      const __m256i left = _mm256_set1_epi32(static_cast<int>(call.n1 - at));
      _mm256_maskstore_ps(y, _mm256_cmpgt_epi32(left, lanes), result[r][c]);
    }
  }
}

template <class F>
void run(const Weights& w, const void* packed, const void*, const void* workspace, std::size_t m,
         std::size_t n0, std::size_t n1, void* y) {
  using P = Panel<F::bits>;
  Call call;
  call.blocks = blocks_of(w.k);
  call.group_blocks = F::per_block ? w.group / kBlock : call.blocks;
  call.x = row_layout(w.k, F::per_block);
  call.n = w.n;
  call.n1 = n1;
  call.y = static_cast<float*>(y);
  const std::size_t bytes = P::bytes(w.k, w.group, F::per_block);
  const std::size_t scales = P::scales(call.group_blocks);
  // As many rows at a time as leave half of a small L2 for a panel.
  constexpr std::size_t kRows = 256 * 1024;
  std::size_t chunk = kRows / (call.x.stride + 1) / 4 * 4;  // no stride where k is 0
  if (chunk < 4) chunk = 4;
  for (std::size_t m0 = 0; m0 < m; m0 += chunk) {
    const std::size_t rows = least(chunk, m - m0);
    const auto* const x0 = static_cast<const std::uint8_t*>(workspace) + m0 * call.x.stride;
    for (std::size_t n = n0; n < n1; n += kPanel) {
      const std::uint8_t* const panel =
          static_cast<const std::uint8_t*>(packed) + n / kPanel * bytes;
      std::size_t r = 0;
      if (rows == 1 && n + kPanel < n1) {
        const std::uint8_t* const two[] = {panel, panel + bytes};
        tile<F, 1, 4>(call, two, scales, x0, m0, n);
        n += kPanel;
        continue;
      }
      if (rows >= 4)
        for (std::size_t half = 0; half < 2; ++half) {
          const std::uint8_t* const from = panel + half * P::half;
          const std::size_t scale_size = F::per_block ? sizeof(f16) : sizeof(float);
          const std::size_t to_scales = scales - half * (P::half - kVector * scale_size);
          for (r = 0; r + 4 <= rows; r += 4)
            tile<F, 4, 1>(call, &from, to_scales, x0 + r * call.x.stride, m0 + r,
                          n + half * kVector);
        }
      for (; r + 2 <= rows; r += 2)
        tile<F, 2, 2>(call, &panel, scales, x0 + r * call.x.stride, m0 + r, n);
      if (r < rows) tile<F, 1, 2>(call, &panel, scales, x0 + r * call.x.stride, m0 + r, n);
    }
  }
}

template <class F>
constexpr Kernel kernel_of() {
  return {.n_step = kPanel,
          .packed_bytes = packed_bytes<F>,
          .pack = pack<F>,
          .unpack = unpack<F>,
          .workspace_bytes = workspace_bytes<F::per_block>,
          .m_step = 1,
          .prepare = F::per_block ? prepare_per_block : prepare_per_row,
          .run = run<F>};
}

}  // namespace

constexpr Kernel matmul_a8_s8_avx2 = kernel_of<S8>();
constexpr Kernel matmul_a8_s4_avx2 = kernel_of<S4>();
constexpr Kernel matmul_a8_s8g_avx2 = kernel_of<S8g>();
constexpr Kernel matmul_a8_s4g_avx2 = kernel_of<S4g>();
constexpr Kernel matmul_a8_q8_0_avx2 = kernel_of<Q8_0>();
constexpr Kernel matmul_a8_q4_0_avx2 = kernel_of<Q4_0>();

}  // namespace qb::matmul
