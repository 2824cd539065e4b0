// SPDX-License-Identifier: Apache-2.0
// Products of int8 activations, AVX2.
//
// Sixteen outputs make a panel; a vector holds 4 of K for 8 outputs, so that four activations,
// broadcast by a load, meet all of them and no sum is ever taken across lanes:
//
//   4-bit weights  stored +8, as 0..15, times bytes (vpmaddubsw): a pair is at most 3810, so the
//                  eight products of a block of 32 add up in int16 (30480) and one vpmaddwd widens
//                  them. The -8 comes out as -8 times the sum of the activations, which prepare()
//                  takes.
//   tables         indices are looked up as nibbles are masked; their values are 8-bit weights
//   8-bit weights  products of bytes would saturate (2*128*127), so words are multiplied
//                  (vpmaddwd). A word of two weights a and b, a stored +128, is 256 b + a; shifted
//                  right by 8 it is b. So (256 b + a) x + b (y - 256 x) = a x + b y: the weights'
//                  words meet every other activation, as they are, and their high bytes meet
//                  y - 256 x, which fits a word. One shift for 32 bytes, where widening takes two
//                  shuffles; and nothing for a product but vpmaddwd and an addition, while giving
//                  activations the weights' signs (vpsignb) takes a third instruction from the
//                  pipes that multiply.
//
// Either is bound by instructions: for each 32 bytes of codes and each row two multiplications
// (2 a cycle) and two additions (any of a Zen's four pipes, those that multiply too). A Zen 4
// does 8 of each in 5 cycles and not in 4, whatever their order, which is 80 % of the peak of
// 8-bit codes and all of the measured one of 4-bit codes. A scale for each block costs
// multiplications too: 18 for 16 (8 bits), 11 for 8 (4 bits). One row of 8-bit codes takes 20 bytes
// a cycle, of 4-bit codes 16 for their masks; from the third cache nearly as many, in two streams,
// the scales of groups read in order with the codes.
//
// Panel: for each group the codes of its blocks of 32, then 16 f16 scales, and 16 f16 minima if it
// has any (of blocks of 256 16 scales, and minima, as bytes, and before their first group 16 f16 d,
// and dmin, that these are multiplied with); for one scale per output the codes of all blocks, then
// 16 f32 scales. A block: 8 outputs (32 bytes for each 4 of K; 4-bit: K+0..15 in the low nibbles,
// K+16..31 in the high ones), then the other 8.
//
// Tiles walk a piece of K that stays in the first cache. The first tile also writes the unpacked
// nibbles to scratch there; the later tiles read those.
#include "matmul/a8/avx2_dot.h"

namespace qb::matmul {
namespace {

/// What the tiles of one call have in common.
struct Call {
  std::size_t blocks;        ///< of K
  std::size_t group_blocks;  ///< that share a scale
  RowLayout x;
  std::size_t n;  ///< y's row length
  std::size_t n1;
  float* y;
};

template <int R, int C>
inline void start_at(const std::uint8_t* start, std::size_t stride, __m256i (&sum)[R][C]) {
  QB_UNROLL for (int r = 0; r < R; ++r) {
    const __m256i s = broadcast(start + r * stride);
    QB_UNROLL for (int c = 0; c < C; ++c) sum[r][c] = s;
  }
}

/// Eight scales of groups.
template <class Scale>
inline __m256 load_scales(const std::uint8_t* p) {
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  if constexpr (__is_same(Scale, bf16))
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
  else
    return _mm256_cvtph_ps(v);
}
inline __m256 load_floats(const std::uint8_t* p) {
  return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
}
inline __m256 broadcast_float(const std::uint8_t* p) {
  return _mm256_broadcast_ss(reinterpret_cast<const float*>(p));
}

/// Eight scales or minima: bytes, which are signed where there are no minima, times their factors.
template <bool is_signed>
inline __m256 load_levels(const std::uint8_t* bytes, const std::uint8_t* factors) {
  const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
  const __m256i wide = is_signed ? _mm256_cvtepi8_epi32(eight) : _mm256_cvtepu8_epi32(eight);
  return _mm256_mul_ps(_mm256_cvtepi32_ps(wide), load_scales<f16>(factors));
}
/// Eight scales of which the bits of f16 between the sign and seven zeros are stored.
inline __m256 load_upper_bits(const std::uint8_t* p) {
  const __m128i words = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  return _mm256_cvtph_ps(_mm_slli_epi16(words, 7));
}
/// Of the c'th eight outputs of a panel: scales, and minima behind them. With levels the bytes of a
/// group times their factors; otherwise f16.
template <class L>
inline __m256 scales_of(const std::uint8_t* p, const std::uint8_t* factors, int c) {
  if constexpr (L::kNarrow)
    return load_upper_bits(p + c * kVector);
  else if constexpr (L::kTwoLevels)
    return load_levels<!L::kMinimum>(p + c * kVector, factors + c * (kVector * sizeof(f16)));
  else
    return load_scales<f16>(p + c * (kVector * sizeof(f16)));
}
template <class L>
inline __m256 minima_of(const std::uint8_t* p, const std::uint8_t* factors, int c) {
  if constexpr (L::kZeros)
    return load_levels<false>(p + kPanel * sizeof(f16) + c * kVector,
                              p + c * (kVector * sizeof(f16)));
  return scales_of<L>(p + L::kScales / 2, factors + kPanel * sizeof(f16), c);
}

/// A block's sums: where there are minima from 0.
template <class L, int R, int C>
inline void begin(const std::uint8_t* start, std::size_t stride, __m256i (&sum)[R][C]) {
  if constexpr (!L::kMinimum) return start_at<R, C>(start, stride, sum);
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) sum[r][c] =
      _mm256_setzero_si256();
}

/// Outputs [n, n+8) of row m, as far as they are there.
inline void store(const Call& call, std::size_t m, std::size_t n, __m256 v) {
  if (n >= call.n1) return;
  float* const y = call.y + m * call.n + n;
  if (n + kVector <= call.n1) {
    _mm256_storeu_ps(y, v);
  } else {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i left = _mm256_set1_epi32(static_cast<int>(call.n1 - n));
    _mm256_maskstore_ps(y, _mm256_cmpgt_epi32(left, lanes), v);
  }
}

/// One row, all of K: panel[p] gives outputs n[p] and the 15 after it.
template <class L, int panels>
[[gnu::noinline]] void one_row(const Call& call, const std::uint8_t* const* panel,
                               const std::uint8_t* x, const std::size_t* n) {
  constexpr int C = 2 * panels;
  constexpr std::size_t block_bytes = L::kUnit * Activations<typename L::Codes>::kCodeBytes;
  using P = typename L::P;
  using D = Dot<typename L::Codes, 1, C>;
  const std::uint8_t* w[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) w[p] = panel[p];
  const auto next_block = [&] {
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      for (std::size_t line = 0; line < P::block; line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(w[p]) + kAhead + line, _MM_HINT_T0);
      w[p] += P::block;
    }
  };
  const std::uint8_t *scale = x + call.x.scales, *start = x + call.x.sums;
  __m256 result[C];
  __m256i sum[1][C];
  if constexpr (L::kScalesEach) {
    const std::uint8_t* factors[panels];
    QB_UNROLL for (int p = 0; p < panels; ++p) factors[p] = w[p];
    QB_UNROLL for (int c = 0; c < C; ++c) result[c] = _mm256_setzero_ps();
    for (std::size_t b = 0; b < call.blocks; ++b, x += block_bytes, scale += 4, start += 4) {
      if (L::kTwoLevels && b % L::kOfSuper == 0) QB_UNROLL for (int p = 0; p < panels; ++p) {
          factors[p] = w[p];
          w[p] += L::kFactors;
        }
      begin<L, 1, C>(start, 0, sum);
      D::template add<false>(w, x, 0, sum);
      next_block();
      const __m256 s = broadcast_float(scale);
      QB_UNROLL for (int c = 0; c < C; ++c) {
        const __m256 d = _mm256_mul_ps(scales_of<L>(w[c / 2], factors[c / 2], c % 2), s);
        result[c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(D::widened(sum[0][c])), d, result[c]);
        if constexpr (L::kMinimum)
          result[c] = _mm256_fnmadd_ps(minima_of<L>(w[c / 2], factors[c / 2], c % 2),
                                       broadcast_float(start), result[c]);
      }
      QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += L::kScales;
    }
  } else if constexpr (L::per_block) {
    QB_UNROLL for (int c = 0; c < C; ++c) result[c] = _mm256_setzero_ps();
    for (std::size_t b = 0; b < call.blocks;) {
      __m256 group[C];
      QB_UNROLL for (int c = 0; c < C; ++c) group[c] = _mm256_setzero_ps();
      for (std::size_t i = 0; i < call.group_blocks;
           ++i, ++b, x += block_bytes, scale += 4, start += 4) {
        start_at<1, C>(start, 0, sum);
        D::template add<false>(w, x, 0, sum);
        const __m256 s = broadcast_float(scale);
        QB_UNROLL for (int c = 0; c < C; ++c) group[c] =
            _mm256_fmadd_ps(_mm256_cvtepi32_ps(D::widened(sum[0][c])), s, group[c]);
        next_block();
      }
      // The weights' scales last: the hardware follows a stream better that is read in order.
      QB_UNROLL for (int c = 0; c < C; ++c) result[c] = _mm256_fmadd_ps(
          group[c], load_scales<typename L::Scale>(w[c / 2] + c % 2 * (kVector * sizeof(f16))),
          result[c]);
      QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += kPanel * sizeof(f16);
    }
  } else {
    __m256i total[1][C];
    start_at<1, C>(start, 0, total);
    for (std::size_t b = 0; b < call.blocks; ++b, x += block_bytes) {
      if constexpr (L::bits == 8) {
        D::template add<false>(w, x, 0, total);
      } else {
        D::template add<true>(w, x, 0, sum);
        QB_UNROLL for (int c = 0; c < C; ++c) total[0][c] =
            _mm256_add_epi32(total[0][c], D::widened(sum[0][c]));
      }
      next_block();
    }
    // Scales first: codes times a scale may be too large for a float that the output isn't.
    const __m256 s = broadcast_float(scale);
    QB_UNROLL for (int c = 0; c < C; ++c) result[c] =
        _mm256_mul_ps(_mm256_cvtepi32_ps(total[0][c]),
                      _mm256_mul_ps(load_floats(w[c / 2] + c % 2 * (kVector * sizeof(float))), s));
  }
  QB_UNROLL for (int c = 0; c < C; ++c) store(call, 0, n[c / 2] + c % 2 * kVector, result[c]);
}

// --- Tiles -------------------------------------------------------------------------------------

constexpr std::size_t kDepth = Avx2Budget::kInt8Depth;  // blocks of K that tiles walk at a time
constexpr int kTileRows = 4;
constexpr std::size_t kMostRows = Avx2Budget::kInt8Rows;             // whose sums wait in memory,
constexpr std::size_t kRowBytes = Avx2Budget::kInt8ActivationsInL2;  // and which fit a second cache
constexpr std::size_t kRowSums = kPanel * 4;                         // bytes
/// Of a panel's block that was unpacked, with scales and minima as floats behind the codes where
/// each block has its own.
template <class L>
constexpr std::size_t kUnpackedBlock = kPanel* L::kUnit +
                                       (L::kScalesEach ? 2 * kPanel * sizeof(float) : 0);

/// A piece of K of a panel.
struct Piece {
  const std::uint8_t* codes;
  const std::uint8_t* scales;  ///< of the piece's first group, or of outputs
  std::uint8_t* bytes;         ///< where nibbles are left behind
  std::size_t b0, blocks;
  bool first, last;  ///< of K
};

/// R rows of x and y from row m on, 16 outputs from n on. Registers hold the sums of a block, and
/// those of all blocks wait at `sums`, but for codes that add up in int32 at once.
template <class L, From from, int R>
[[gnu::noinline]] void tile(const Call& call, const Piece& piece, const std::uint8_t* x,
                            std::uint8_t* sums, std::size_t m, std::size_t n) {
  constexpr int C = 2;
  constexpr std::size_t block_bytes = L::kUnit * Activations<typename L::Codes>::kCodeBytes;
  using P = typename L::P;
  using D = Dot<typename L::Codes, R, C>;
  const std::size_t stride = call.x.stride;
  const std::uint8_t *w = piece.codes, *scales = piece.scales;
  std::uint8_t* bytes = piece.bytes;
  const std::uint8_t *scale = x + call.x.scales, *start = x + call.x.sums;
  x += piece.b0 * block_bytes;
  const auto next_block = [&] {
    x += block_bytes;
    if constexpr (from != From::bytes) w += P::block;
    if constexpr (from != From::panel) bytes += kUnpackedBlock<L>;
  };
  __m256i sum[R][C];
  const auto at = [&](int r, int c) {
    return reinterpret_cast<__m256i*>(sums + std::size_t(r) * kRowSums) + c;
  };
  const auto float_at = [&](int r, int c) { return reinterpret_cast<float*>(at(r, c)); };
  const auto put = [&] {
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c)
        _mm256_store_si256(at(r, c), sum[r][c]);
  };
  if (piece.first) {
    if constexpr (L::per_block)
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) sum[r][c] =
          _mm256_setzero_si256();
    else
      start_at<R, C>(start, stride, sum);
    put();
  }
  if constexpr (L::kScalesEach) {
    scale += piece.b0 * 4;
    start += piece.b0 * 4;
    const std::uint8_t* factors = w;
    for (std::size_t b = 0; b < piece.blocks; ++b, scale += 4, start += 4) {
      if (L::kTwoLevels && from != From::bytes && b % L::kOfSuper == 0) {
        factors = w;
        w += L::kFactors;
      }
      begin<L, R, C>(start, stride, sum);
      D::template add<false, from>(&w, x, stride, sum, bytes);
      float* const floats = reinterpret_cast<float*>(bytes + kPanel * L::kUnit);
      next_block();
      if constexpr (from != From::bytes) w += L::kScales;
      forget(sums);
      QB_UNROLL for (int c = 0; c < C; ++c) {
        __m256 d, minima = _mm256_setzero_ps();
        if constexpr (from == From::bytes) {
          d = _mm256_load_ps(floats + c * kVector);
          if constexpr (L::kMinimum) minima = _mm256_load_ps(floats + kPanel + c * kVector);
        } else {
          d = scales_of<L>(w - L::kScales, factors, c);
          if constexpr (L::kMinimum) minima = minima_of<L>(w - L::kScales, factors, c);
        }
        if constexpr (from == From::panel_for_others) {
          _mm256_store_ps(floats + c * kVector, d);
          if constexpr (L::kMinimum) _mm256_store_ps(floats + kPanel + c * kVector, minima);
        }
        QB_UNROLL for (int r = 0; r < R; ++r) {
          const __m256 s = broadcast_float(scale + r * stride);
          __m256 v = _mm256_load_ps(float_at(r, c));
          v = _mm256_fmadd_ps(_mm256_cvtepi32_ps(D::widened(sum[r][c])), _mm256_mul_ps(d, s), v);
          if constexpr (L::kMinimum)
            v = _mm256_fnmadd_ps(minima, broadcast_float(start + r * stride), v);
          _mm256_store_ps(float_at(r, c), v);
        }
      }
    }
  } else if constexpr (L::per_block) {
    scale += piece.b0 * 4;
    start += piece.b0 * 4;
    for (std::size_t b = 0; b < piece.blocks;) {
      __m256 d[C];
      QB_UNROLL for (int c = 0; c < C; ++c) d[c] =
          load_scales<typename L::Scale>(scales + c * (kVector * sizeof(f16)));
      for (std::size_t i = 0; i < call.group_blocks; ++i, ++b, scale += 4, start += 4) {
        start_at<R, C>(start, stride, sum);
        D::template add<false, from>(&w, x, stride, sum, bytes);
        next_block();
        forget(sums);
        QB_UNROLL for (int r = 0; r < R; ++r) {
          const __m256 s = broadcast_float(scale + r * stride);
          QB_UNROLL for (int c = 0; c < C; ++c) _mm256_store_ps(
              float_at(r, c),
              _mm256_fmadd_ps(_mm256_cvtepi32_ps(D::widened(sum[r][c])), _mm256_mul_ps(d[c], s),
                              _mm256_load_ps(float_at(r, c))));
        }
      }
      w += kPanel * sizeof(f16);
      scales += L::group(call.group_blocks);
    }
  } else if constexpr (L::bits == 8) {
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) sum[r][c] =
        _mm256_load_si256(at(r, c));
    for (std::size_t b = 0; b < piece.blocks; ++b) {
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) pin(sum[r][c]);
      D::template add<false>(&w, x, stride, sum);
      next_block();
    }
    put();
  } else {
    for (std::size_t b = 0; b < piece.blocks; ++b) {
      D::template add<true, from>(&w, x, stride, sum, bytes);
      next_block();
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c)
          _mm256_store_si256(at(r, c),
                             _mm256_add_epi32(_mm256_load_si256(at(r, c)), D::widened(sum[r][c])));
    }
  }
  if (!piece.last) return;
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) {
    __m256 v = _mm256_load_ps(float_at(r, c));
    // Scales first: codes times a scale may be too large for a float that the output isn't.
    if constexpr (!L::per_block)
      v = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_castps_si256(v)),
                        _mm256_mul_ps(load_floats(piece.scales + c * (kVector * sizeof(float))),
                                      broadcast_float(scale + r * stride)));
    store(call, m + std::size_t(r), n + std::size_t(c) * kVector, v);
  }
}

/// A tile of `rows`, 2 to R.
template <class L, From from, int R = kTileRows>
inline void any_tile(std::size_t rows, const Call& call, const Piece& piece, const std::uint8_t* x,
                     std::uint8_t* sums, std::size_t m, std::size_t n) {
  if constexpr (R > 2)
    if (rows < R) return any_tile<L, from, R - 1>(rows, call, piece, x, sums, m, n);
  tile<L, from, R>(call, piece, x, sums, m, n);
}

template <From from_>
struct How {
  static constexpr From from = from_;
};

template <class L>
void run(const Weights& w, const void* packed, const void*, const void* workspace, std::size_t m,
         std::size_t n0, std::size_t n1, void* y) {
  Call call;
  call.blocks = blocks_of(w.k) * (kBlock / L::kUnit);
  call.group_blocks = L::per_block ? w.group / L::kUnit : call.blocks;
  call.x = row_layout(w.k, L::per_block, Activations<typename L::Codes>::kCodeBytes, L::kUnit);
  call.n = w.n;
  call.n1 = n1;
  call.y = static_cast<float*>(y);
  const std::size_t bytes = L::bytes(w.k, w.group);
  const auto* const x = static_cast<const std::uint8_t*>(workspace);
  const auto* panel = static_cast<const std::uint8_t*>(packed) + n0 / kPanel * bytes;
  if (m == 1) {
    // Two streams through the weights, an odd number of panels apart: a multiple of a large power
    // of two apart they would contend for the same ways of a cache. What is left over last.
    const std::size_t all = (n1 - n0 + kPanel - 1) / kPanel;
    const std::size_t each = all < 2 ? 0 : (all / 2 - 1) | 1;
    const auto two = [&](std::size_t i, std::size_t j) {
      const std::uint8_t* const from[] = {panel + i * bytes, panel + j * bytes};
      const std::size_t n[] = {n0 + i * kPanel, n0 + j * kPanel};
      one_row<L, 2>(call, from, x, n);
    };
    std::size_t i = 0;
    for (; i < each; ++i) two(i, each + i);
    for (i = 2 * each; i + 1 < all; i += 2) two(i, i + 1);
    if (i < all) {
      const std::uint8_t* const from = panel + i * bytes;
      const std::size_t n = n0 + i * kPanel;
      one_row<L, 1>(call, &from, x, &n);
    }
    return;
  }
  std::size_t most = least(kRowBytes / (call.x.stride + 1), kMostRows);  // no stride where k is 0
  if (most < kTileRows) most = kTileRows;
  const std::size_t chunks = (m + most - 1) / most;
  alignas(64) std::uint8_t sums[kMostRows * kRowSums];
  alignas(64) std::uint8_t bytes_of_nibbles[L::bits == 4 ? kDepth * kUnpackedBlock<L> : 64];
  for (std::size_t i = 0; i < chunks; ++i) {
    const std::size_t m0 = m * i / chunks, rows = m * (i + 1) / chunks - m0;
    const std::size_t tiles = (rows + kTileRows - 1) / kTileRows;
    const std::uint8_t* at = panel;
    for (std::size_t n = n0; n < n1; n += kPanel, at += bytes) {
      Piece piece;
      piece.b0 = 0;
      piece.bytes = bytes_of_nibbles;
      do {
        piece.blocks = least(call.blocks - piece.b0, kDepth);
        piece.first = piece.b0 == 0;
        piece.last = piece.b0 + piece.blocks == call.blocks;
        piece.codes = at + L::piece(piece.b0, call.group_blocks);
        piece.scales = at;  // null, perhaps, where k is 0
        if (call.blocks > 0)
          piece.scales +=
              L::scales(L::per_block ? piece.b0 / call.group_blocks : 0, call.group_blocks);
        const auto rows_from = [&](auto how, std::size_t t) {
          const std::size_t r0 = rows * t / tiles;
          any_tile<L, decltype(how)::from>(rows * (t + 1) / tiles - r0, call, piece,
                                           x + (m0 + r0) * call.x.stride, sums + r0 * kRowSums,
                                           m0 + r0, n);
        };
        std::size_t t = 0;
        if constexpr (L::bits == 4) {
          if (tiles > 1)
            rows_from(How<From::panel_for_others>{}, t++);
          else
            rows_from(How<From::panel>{}, t++);
        }
        for (; t < tiles; ++t) rows_from(How < L::bits == 4 ? From::bytes : From::panel > {}, t);
        piece.b0 += kDepth;
      } while (piece.b0 < call.blocks);
    }
  }
}

template <class F>
constexpr Kernel kernel_of() {
  using X = Activations<typename LayoutOf<F>::Codes>;
  return {.n_step = kPanel,
          .packed_bytes = packed_bytes<LayoutOf<F>>,
          .pack = pack<F, LayoutOf<F>>,
          .unpack = unpack<F, LayoutOf<F>>,
          .workspace_bytes = workspace_bytes<X, F::per_group>,
          .m_step = 1,
          .prepare = F::per_group ? prepare_per_block<X> : prepare_per_row<X>,
          .run = run<LayoutOf<F>>};
}

}  // namespace

constexpr Kernels matmul_a8_avx2 =
    every_quantized_format([](auto format) { return kernel_of<decltype(format)>(); });

}  // namespace qb::matmul
