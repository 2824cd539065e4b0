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
// Either is bound by instructions even for one row: for each 32 bytes of codes 5 vector operations
// (8 bits: abs, sign, two multiplications, an addition) or 7 (4 bits: a shift, two masks, two of
// each), and 4 for a block's scales. Four pipes could do 25 and 18 bytes a cycle; on a Zen 4 15 of
// either were measured, from the second cache, 60 % of what the third one gives.
//
// Panel: for each group the codes of its blocks of 32, then 16 f16 scales; for one scale per output
// the codes of all blocks, then 16 f32 scales. A block: 8 outputs (32 bytes for each 4 of K; 4-bit:
// K+0..15 in the low nibbles, K+16..31 in the high ones), then the other 8.
#include "matmul/a8_x86.h"

namespace qb::matmul {
namespace {

constexpr std::size_t kVector = 8;   // outputs in a vector
constexpr std::size_t kAhead = 256;  // bytes that GEMV prefetches ahead

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
};

template <int bits, bool per_block>
struct Layout {
  using P = Panel<bits>;
  static constexpr std::uint8_t kFlip = 0;
  static constexpr std::size_t kDword = kVector * 4, kHalf = P::half;
  static constexpr std::size_t bytes(std::size_t k, std::size_t group_len) {
    return per_block ? k / group_len * P::group(group_len / kBlock)
                     : P::scales(blocks_of(k)) + kPanel * sizeof(float);
  }
  static constexpr std::size_t block(std::size_t b, std::size_t group_blocks) {
    return b * P::block + (per_block ? b / group_blocks * (kPanel * sizeof(f16)) : 0);
  }
  static constexpr std::size_t scales(std::size_t g, std::size_t group_blocks) {
    return g * P::group(group_blocks) + P::scales(group_blocks);
  }
};
template <class F>
using LayoutOf = Layout<F::bits, F::per_block>;

/// What the +8 of 4-bit weights adds too much: taken off the int32 sum of a row, and off the pair
/// of int16 sums of a block, half from each.
struct Start {
  static constexpr bool kInPairs = false;
  static std::int32_t of_row(std::int32_t sum) { return -8 * sum; }
  static std::int32_t of_block(std::int32_t sum) {
    const auto half = static_cast<std::uint16_t>(-4 * sum);
    return static_cast<std::int32_t>(half | std::uint32_t{half} << 16);
  }
};

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
  const std::size_t bytes = LayoutOf<F>::bytes(w.k, w.group);
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
          .packed_bytes = packed_bytes<LayoutOf<F>>,
          .pack = pack<F, LayoutOf<F>>,
          .unpack = unpack<F, LayoutOf<F>>,
          .workspace_bytes = workspace_bytes<F::per_block>,
          .m_step = 1,
          .prepare = F::per_block ? prepare_per_block<Start> : prepare_per_row<Start>,
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
