// SPDX-License-Identifier: Apache-2.0
// Products by vpdpbusd of many rows, in tiles as large as the registers.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/vnni_panels.h"

namespace qb::matmul {
namespace {

constexpr int kWide = 2;  // vectors of outputs in a tile

/// What tiles multiply by the weights' scales: the sum of all of K, of every block, or of a group,
/// which takes registers for a third set of sums. Or that of every block, less its minimum.
enum class Scaled { once, block, group, less_minimum };
template <Scaled scaled>
struct How {
  static constexpr Scaled value = scaled;
};

/// A piece of K of the panels that a tile takes.
template <class V>
struct Piece {
  static constexpr int panels = panels_of<V>(kWide);
  size_t blocks;
  bool first, last;            ///< of K
  const Byte* codes[panels];   ///< as in a panel, and scales if they belong to groups
  Byte* wide[panels];          ///< where the tile that meets nibbles puts them as bytes
  const Byte* scales[panels];  ///< if they don't: for the last piece
  const Byte* next[panels];    ///< what to prefetch,
  size_t next_line;            ///< and how far from each line to the next
  size_t n[panels];
};

/// Every fourth row has a pointer, the others are one, two and three strides from it.
inline const Byte* row_of(const Byte* const* fours, size_t stride, int r) {
  return fours[r / 4] + size_t(r % 4) * stride;
}

/// Adds the products of dword j of R rows with that of weights v.
template <class V, int R>
inline void add_dword(const Byte* const* xs, size_t stride, int j,
                      const typename V::Int (&v)[kWide], typename V::Int (&sum)[R][kWide]) {
  QB_UNROLL for (int r = 0; r < R; ++r) {
    const typename V::Int x0 = V::broadcast(row_of(xs, stride, r) + 4 * j);
    QB_UNROLL for (int c = 0; c < kWide; ++c) sum[r][c] = V::dot(sum[r][c], v[c], x0);
  }
}

/// R rows of x, from the piece's first block on, and of y; partial: their sums between pieces.
/// K: of the piece's codes. Those of 4 bits are left behind as bytes, for the tiles that follow.
template <class V, class K, Scaled scaled, int R>
[[gnu::noinline]] void tile(const Call& call, const Piece<V>& piece, const Byte* x, size_t b0,
                            Byte* partial, float* y) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  constexpr bool per_block = scaled != Scaled::once;
  constexpr int bits = K::bits, panels = Piece<V>::panels;
  constexpr size_t row_bytes = kWide * sizeof(Int);
  const size_t stride = call.x.stride, next_line = piece.next_line;
  constexpr int fours = (R + 3) / 4;
  const Byte *xs[fours], *ss[fours];
  QB_UNROLL for (int i = 0; i < fours; ++i) {
    const Byte* const row = x + 4 * size_t(i) * stride;
    xs[i] = row + b0 * kBlock;
    ss[i] = row + call.x.scales + (per_block ? b0 * 8 : 0);
  }
  const Byte *w[panels], *next[panels];
  Byte* wide[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) {
    w[p] = piece.codes[p];
    wide[p] = piece.wide[p];
    next[p] = piece.next[p];
  }
  const auto fetch_next = [&] {
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      prefetch<2>(next[p]);
      next[p] += next_line;
    }
  };
  Int sum[R][kWide];
  const auto begin = [&](size_t starts) {
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const Int start = V::broadcast(row_of(ss, stride, r) + starts);
      QB_UNROLL for (int c = 0; c < kWide; ++c) sum[r][c] = start;
    }
  };
  const auto add_blocks = [&](auto taken) {
    constexpr Take take = decltype(taken)::take;
    constexpr bool all = take == Take::all;
    constexpr size_t blocks = all && bits == 4 ? 2 : 1;
    QB_UNROLL for (int j = 0; j < 8; ++j) {
      Int v[kWide];
      if (take != Take::first) fetch_next();
      QB_UNROLL for (int c = 0; c < kWide; ++c) v[c] =
          V::load(w[panel_of<V>(c)] + part<V>(c, 4) + kLine * size_t(j));
      if constexpr (bits == 8)
        add_dword<V, R>(xs, stride, j, v, sum);
      else
        QB_UNROLL for (int second = take == Take::second; second < (take == Take::first ? 1 : 2);
                       ++second) {
          Int half[kWide];
          const int dword = all ? 8 * second + j : j;
          QB_UNROLL for (int c = 0; c < kWide; ++c) half[c] =
              block_of_pair<V, typename K::Codes, per_block>(v[c], second);
          V::together(half);
          QB_UNROLL for (int c = 0; c < kWide; ++c)
              V::store(wide[panel_of<V>(c)] + part<V>(c, 4) + kLine * size_t(dword), half[c]);
          add_dword<V, R>(xs, stride, dword, half, sum);
        }
    }
    // Or the sums that a pair's blocks leave, each in its own code, meet in memory.
    if constexpr (!all)
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) sum[r][c] =
          V::keep(sum[r][c]);
    QB_UNROLL for (int i = 0; i < fours; ++i) xs[i] += blocks * kBlock;
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      if constexpr (take != Take::first) w[p] += 8 * kLine;
      if constexpr (bits == 4) wide[p] += blocks * 8 * kLine;
    }
  };
  if constexpr (per_block) {
    Float result[R][kWide], group[R][kWide];
    const auto clear = [](Float(&v)[R][kWide]) {
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) v[r][c] =
          V::zero_float();
    };
    clear(result);
    if (!piece.first)
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) result[r][c] =
          V::load_float(partial + size_t(r) * row_bytes + size_t(c) * sizeof(Float));
    for (size_t b = 0; b < piece.blocks;) {
      fetch_next();
      QB_UNROLL for (int p = 0; p < panels; ++p) {
        if constexpr (bits == 4) {
          for (size_t i = 0; i < kLine; i += sizeof(Int)) V::store(wide[p] + i, V::load(w[p] + i));
          wide[p] += kLine;
        }
        w[p] += kLine;
      }
      size_t back = kLine;
      for (int half = 0; half < 2 && b < piece.blocks; ++half) {
        Float d[kWide];
        QB_UNROLL for (int c = 0; c < kWide; ++c) d[c] =
            group_scales<V, K>(w[panel_of<V>(c)] - back + part<V>(c, sizeof(f16)));
        if constexpr (scaled == Scaled::group) clear(group);
        for (size_t i = 0; i < call.group_blocks; ++i, ++b) {
          begin(sizeof(float));
          if constexpr (bits == 8)
            add_blocks(Taken<Take::all>{});
          else if (b % 2)
            add_blocks(Taken<Take::second>{});
          else
            add_blocks(Taken<Take::first>{});
          QB_UNROLL for (int r = 0; r < R; ++r) {
            const Float by = V::broadcast_float(row_of(ss, stride, r));
            QB_UNROLL for (int c = 0; c < kWide; ++c) {
              const Float v = V::to_float(sum[r][c]);
              if constexpr (scaled == Scaled::group)
                group[r][c] = V::fma(v, by, group[r][c]);
              else
                result[r][c] = V::fma(v, V::mul(d[c], by), result[r][c]);
            }
          }
          QB_UNROLL for (int i4 = 0; i4 < fours; ++i4) ss[i4] += 8;
        }
        if constexpr (scaled == Scaled::group)
          QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c)
              result[r][c] = V::fma(group[r][c], d[c], result[r][c]);
        // A pair of groups of one block each begins at the same place.
        back +=
            (bits == 4 && call.group_blocks == 1 ? 0 : call.group_blocks) * (size_t(bits) * kLine) -
            kLine / 2;
      }
    }
    if (piece.last)
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) store<V>(
          call, y + size_t(r) * call.n, piece.n[panel_of<V>(c)] + part<V>(c, 1), result[r][c]);
    else
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) V::store(
          reinterpret_cast<float*>(partial + size_t(r) * row_bytes + size_t(c) * sizeof(Float)),
          result[r][c]);
  } else {
    if (piece.first)
      begin(sizeof(float));
    else
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) sum[r][c] =
          V::load(partial + size_t(r) * row_bytes + size_t(c) * sizeof(Int));
    for (size_t b = 0; b < piece.blocks; b += 8 / size_t(bits)) {
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) sum[r][c] =
          V::keep(sum[r][c]);
      add_blocks(Taken<Take::all>{});
    }
    if (piece.last) {
      Float d[kWide];
      QB_UNROLL for (int c = 0; c < kWide; ++c) d[c] =
          V::load_float(piece.scales[panel_of<V>(c)] + part<V>(c, sizeof(float)));
      QB_UNROLL for (int r = 0; r < R; ++r) {
        const Float by = V::broadcast_float(row_of(ss, stride, r));
        QB_UNROLL for (int c = 0; c < kWide; ++c)
            store<V>(call, y + size_t(r) * call.n, piece.n[panel_of<V>(c)] + part<V>(c, 1),
                     V::mul(V::to_float(sum[r][c]), V::mul(d[c], by)));
      }
    } else {
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c)
          V::store(partial + size_t(r) * row_bytes + size_t(c) * sizeof(Int), sum[r][c]);
    }
  }
}

/// The same with minima, of whole pairs of blocks.
template <class V, class K, int R>
[[gnu::noinline]] void tile_with_minima(const Call& call, const Piece<V>& piece, const Byte* x,
                                        size_t b0, Byte* partial, float* y) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  using Header = typename K::Header;
  constexpr bool unpacks = K::bits == 4;
  constexpr int panels = Piece<V>::panels, fours = (R + 3) / 4;
  constexpr size_t row_bytes = kWide * sizeof(Int);
  const size_t stride = call.x.stride, next_line = piece.next_line;
  const Byte *xs[fours], *ss[fours];
  QB_UNROLL for (int i = 0; i < fours; ++i) {
    const Byte* const row = x + 4 * size_t(i) * stride;
    xs[i] = row + b0 * kBlock;
    ss[i] = row + call.x.scales + b0 * 8;
  }
  const Byte *w[panels], *next[panels], *super[panels], *pair[panels], *each[panels];
  Byte* wide[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) {
    super[p] = pair[p] = each[p] = w[p] = piece.codes[p];
    wide[p] = piece.wide[p];
    next[p] = piece.next[p];
  }
  Float result[R][kWide];
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) result[r][c] =
      piece.first ? V::zero_float()
                  : V::load_float(partial + size_t(r) * row_bytes + size_t(c) * sizeof(Float));
  const auto fetch_next = [&] {
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      prefetch<2>(next[p]);
      next[p] += next_line;
    }
  };
  const auto pass = [&](const Byte*(&header)[panels], size_t bytes) {
    if constexpr (unpacks)
      for (size_t line = 0; line < bytes; line += kLine) fetch_next();
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      header[p] = w[p];
      w[p] += bytes;
    }
  };
  const auto block = [&](auto which) {
    constexpr bool second = decltype(which)::take == Take::second;
    Float d[kWide], m[kWide];
    QB_UNROLL for (int c = 0; c < kWide; ++c) {
      const int p = panel_of<V>(c);
      const Byte* const floats = each[p] + (unpacks && second ? Header::kEach : 0);
      d[c] = Header::template scales<V>(super[p], pair[p], floats, second, c);
      m[c] = Header::template minima<V>(super[p], pair[p], floats, second, c);
      if constexpr (unpacks) {
        V::store(reinterpret_cast<float*>(wide[p] + part<V>(c, sizeof(float))), d[c]);
        V::store(reinterpret_cast<float*>(wide[p] + kLine + part<V>(c, sizeof(float))), m[c]);
      }
    }
    Int sum[R][kWide];
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) sum[r][c] =
        V::zero();
    QB_UNROLL for (int j = 0; j < 8; ++j) {
      if constexpr (unpacks && second) fetch_next();
      Int v[kWide];
      QB_UNROLL for (int c = 0; c < kWide; ++c) v[c] =
          V::load(w[panel_of<V>(c)] + part<V>(c, 4) + kLine * size_t(j));
      if constexpr (unpacks) {
        QB_UNROLL for (int c = 0; c < kWide; ++c) v[c] =
            block_of_pair<V, typename K::Codes, true>(v[c], second);
        V::together(v);
        QB_UNROLL for (int c = 0; c < kWide; ++c) V::store(
            wide[panel_of<V>(c)] + FloatsOfBlocks::kEach + part<V>(c, 4) + kLine * size_t(j), v[c]);
      }
      add_dword<V, R>(xs, stride, j, v, sum);
    }
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const Byte* const at = row_of(ss, stride, r);
      const Float by = V::broadcast_float(at), less = V::broadcast_float(at + sizeof(float));
      QB_UNROLL for (int c = 0; c < kWide; ++c) {
        result[r][c] = V::fma(V::to_float(V::keep(sum[r][c])), V::mul(d[c], by), result[r][c]);
        result[r][c] = V::nfma(m[c], less, result[r][c]);
      }
    }
    QB_UNROLL for (int i = 0; i < fours; ++i) {
      xs[i] += kBlock;
      ss[i] += 8;
    }
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      if constexpr (!unpacks || second) w[p] += 8 * kLine;
      wide[p] += FloatsOfBlocks::kEach + 8 * kLine;
    }
  };
  for (size_t b = 0; b < piece.blocks; b += 2) {
    if (Header::kSuper && b % 8 == 0) pass(super, Header::kSuper);
    if (Header::kPair) pass(pair, Header::kPair);
    if (Header::kEach) pass(each, unpacks ? 2 * Header::kEach : Header::kEach);
    block(Taken<Take::first>{});
    if (Header::kEach && !unpacks) pass(each, Header::kEach);
    block(Taken<Take::second>{});
  }
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) if (piece.last)
      store<V>(call, y + size_t(r) * call.n, piece.n[panel_of<V>(c)] + part<V>(c, 1), result[r][c]);
  else V::store(
      reinterpret_cast<float*>(partial + size_t(r) * row_bytes + size_t(c) * sizeof(Float)),
      result[r][c]);
}

/// A tile of `rows`, which is between least and R.
template <class V, class K, Scaled scaled, int R, int least_rows>
inline void any_tile(size_t rows, const Call& call, const Piece<V>& piece, const Byte* x, size_t b0,
                     Byte* partial, float* y) {
  if constexpr (R > least_rows)
    if (rows != R)
      return any_tile<V, K, scaled, R - 1, least_rows>(rows, call, piece, x, b0, partial, y);
  if constexpr (scaled == Scaled::less_minimum)
    tile_with_minima<V, K, R>(call, piece, x, b0, partial, y);
  else
    tile<V, K, scaled, R>(call, piece, x, b0, partial, y);
}

/// Rows of x and y, all outputs from n0 on.
template <class V, class K, Scaled scaled>
inline void tiles(const Call& call, const Byte* packed, size_t bytes, size_t n0, size_t rows,
                  const Byte* x, float* y) {
  constexpr int panels = Piece<V>::panels;
  constexpr int most = V::kTileRows / (scaled == Scaled::once    ? 1
                                       : scaled == Scaled::group ? 3
                                                                 : 2);
  constexpr int fewest = int(V::kFew) < most / 2 ? int(V::kFew) + 1 : (most + 1) / 2;
  constexpr size_t header = K::kMinimum ? FloatsOfBlocks::kEach : K::per_block ? kLine / 2 : 0;
  constexpr size_t piece_bytes = kDepth * (8 * kLine + header);
  alignas(64) Byte partial[kMostRows * kWide * sizeof(typename V::Int)];
  alignas(64) Byte wide[K::bits == 4 ? panels * piece_bytes : 64];
  const size_t count = (rows + most - 1) / most;
  for (size_t n = n0; n < call.n1; n += size_t(panels) * kPanel) {
    const size_t i = (n - n0) / kPanel, last = (call.n1 - 1 - n0) / kPanel;
    size_t b0 = 0;
    do {
      Piece<V> piece;
      piece.blocks = least(call.blocks - b0, kDepth);
      piece.first = b0 == 0;
      piece.last = b0 + piece.blocks == call.blocks;
      const size_t at = K::piece(b0, call.group_blocks);
      const size_t end = K::piece(b0 + piece.blocks, call.group_blocks);
      for (size_t p = 0; p < size_t(panels); ++p) {
        const Byte* const panel = packed + least(i + p, last) * bytes;
        piece.n[p] = n + p * kPanel;
        piece.scales[p] = K::per_block ? nullptr : panel + bytes - kLine;
        piece.codes[p] = panel + at;
        piece.next[p] = piece.last ? panel + size_t(panels) * bytes : panel + end;
        piece.wide[p] = K::bits == 4 ? wide + p * piece_bytes : nullptr;
      }
      piece.next_line = kLine;
      const auto rows_from = [&](auto kind, size_t t) {
        const size_t r0 = rows * t / count, r1 = rows * (t + 1) / count;
        any_tile<V, decltype(kind), scaled, most, fewest>(
            r1 - r0, call, piece, x + r0 * call.x.stride, b0,
            partial + r0 * (kWide * sizeof(typename V::Int)), y + r0 * call.n);
      };
      rows_from(K{}, 0);
      piece.next_line = 0;
      if constexpr (K::bits == 4)
        for (size_t p = 0; p < size_t(panels); ++p) piece.codes[p] = piece.wide[p];
      for (size_t t = 1; t < count; ++t) rows_from(typename K::Unpacked{}, t);
      b0 += kDepth;
    } while (b0 < call.blocks);
  }
}

}  // namespace
}  // namespace qb::matmul
