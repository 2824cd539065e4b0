// SPDX-License-Identifier: Apache-2.0
// What all tiles of the products by vpdpbusd share: the piece of K they multiply, where a tile
// stands in it, and its sums.
//
// A tile is R rows times two vectors of outputs. Its cursor walks the piece block by block; sums
// that are not complete at the end of the piece wait in `partial`, a row after the other.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/vnni_panels.h"

namespace qb::matmul {
namespace {

constexpr int kWide = 2;  // vectors of outputs in a tile

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

/// Where a tile of R rows stands in the codes and the scales of its activations, in the weights, in
/// the bytes that it leaves behind, and in what it prefetches.
template <class V, int R>
struct Cursor {
  using Int = typename V::Int;
  static constexpr int panels = Piece<V>::panels;
  static constexpr int fours = (R + 3) / 4;

  // Every fourth row has a pointer, the others are one, two and three strides from it.
  const Byte* codes_of_x[fours];
  const Byte* scales_of_x[fours];
  const Byte* w[panels];
  const Byte* next[panels];
  Byte* wide[panels];
  size_t stride, next_line;

  /// At block b0, of `unit` codes, of rows x, and at the begin of the piece of weights.
  Cursor(const Call& call, const Piece<V>& piece, const Byte* x, size_t b0, bool per_block,
         size_t unit = kBlock)
      : stride(call.x.stride), next_line(piece.next_line) {
    QB_UNROLL for (int i = 0; i < fours; ++i) {
      const Byte* const row = x + 4 * size_t(i) * stride;
      codes_of_x[i] = row + b0 * unit;
      scales_of_x[i] = row + call.x.scales + (per_block ? b0 * 8 : 0);
    }
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      w[p] = piece.codes[p];
      wide[p] = piece.wide[p];
      next[p] = piece.next[p];
    }
  }

  const Byte* codes_of_row(int r) const { return codes_of_x[r / 4] + size_t(r % 4) * stride; }
  const Byte* scales_of_row(int r) const { return scales_of_x[r / 4] + size_t(r % 4) * stride; }

  void fetch_next() {
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      prefetch<2>(next[p]);
      next[p] += next_line;
    }
  }

  /// Dword j of the weights' block, of both vectors of outputs.
  void load_dword(int j, Int (&v)[kWide]) const {
    QB_UNROLL for (int c = 0; c < kWide; ++c) v[c] =
        V::load(w[panel_of<V>(c)] + part<V>(c, 4) + kLine * size_t(j));
  }

  /// Adds the products of dword j of R rows with that of weights v.
  void add_dword(int j, const Int (&v)[kWide], Int (&sum)[R][kWide]) const {
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const Int x0 = V::broadcast(codes_of_row(r) + 4 * j);
      QB_UNROLL for (int c = 0; c < kWide; ++c) sum[r][c] = V::dot(sum[r][c], v[c], x0);
    }
  }

  /// Sums of a block begin with what prepare() stored behind each row's scale.
  void begin(Int (&sum)[R][kWide]) const {
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const Int start = V::broadcast(scales_of_row(r) + sizeof(float));
      QB_UNROLL for (int c = 0; c < kWide; ++c) sum[r][c] = start;
    }
  }
};

/// Where sum (r, c) of a tile waits for the next piece of K.
template <class V>
inline Byte* waiting(Byte* partial, int r, int c) {
  return partial + size_t(r) * (kWide * sizeof(typename V::Int)) +
         size_t(c) * sizeof(typename V::Int);
}

/// The float sums of the pieces before, or zeros.
template <class V, int R>
inline void begin_floats(const Piece<V>& piece, Byte* partial,
                         typename V::Float (&result)[R][kWide]) {
  each_sum<R, kWide>([&](int r, int c) { result[r][c] = V::zero_float(); });
  if (!piece.first)
    each_sum<R, kWide>(
        [&](int r, int c) { result[r][c] = V::load_float(waiting<V>(partial, r, c)); });
}

/// Float sums that are complete go to y, the others wait.
template <class V, int R>
inline void end_floats(const Call& call, const Piece<V>& piece, Byte* partial, float* y,
                       const typename V::Float (&result)[R][kWide]) {
  if (piece.last)
    each_sum<R, kWide>([&](int r, int c) {
      store<V>(call, y + size_t(r) * call.n, piece.n[panel_of<V>(c)] + part<V>(c, 1), result[r][c]);
    });
  else
    each_sum<R, kWide>([&](int r, int c) {
      V::store(reinterpret_cast<float*>(waiting<V>(partial, r, c)), result[r][c]);
    });
}

}  // namespace
}  // namespace qb::matmul
