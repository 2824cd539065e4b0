// SPDX-License-Identifier: Apache-2.0
// Products by vpdpbusd of many rows, in tiles as large as the registers.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/vnni_cursor.h"
#include "matmul/a8/vnni_two_bits.h"

namespace qb::matmul {
namespace {

/// What tiles multiply by the weights' scales: the sum of all of K, of every block, or of a group,
/// which takes registers for a third set of sums. Or that of every block, or half of one, whose
/// scales, and minima, stand in headers.
enum class Scaled { once, block, group, headers };
template <Scaled scaled>
struct How {
  static constexpr Scaled value = scaled;
};

/// Multiplies dword j of nibbles. Both blocks of a pair, or the one that is taken, become bytes,
/// which are also left behind for the tiles that follow.
template <class V, class K, Take take, bool apart, int R>
[[gnu::always_inline]] inline void add_nibbles(const Cursor<V, R>& at, int j,
                                               const typename V::Int (&v)[kWide],
                                               typename V::Int (&sum)[R][kWide]) {
  QB_UNROLL for (int second = take == Take::second; second < (take == Take::first ? 1 : 2);
                 ++second) {
    typename V::Int half[kWide];
    const int dword = take == Take::all ? 8 * second + j : j;
    QB_UNROLL for (int c = 0; c < kWide; ++c) half[c] =
        block_of_pair<V, K, apart>(v[c], at.w[panel_of<V>(c)] + part<V>(c, 4), j, second);
    V::together(half);
    QB_UNROLL for (int c = 0; c < kWide; ++c)
        V::store(at.wide[panel_of<V>(c)] + part<V>(c, 4) + kLine * size_t(dword), half[c]);
    at.add_dword(dword, half, sum);
  }
}

/// Adds the products of the next block, or of a pair of them if all of a pair's nibbles are taken,
/// and goes past it. apart: the two blocks of a pair have sums of their own.
template <class V, class K, Take take, bool apart, int R>
[[gnu::always_inline]] inline void add_blocks(Cursor<V, R>& at, typename V::Int (&sum)[R][kWide]) {
  constexpr bool all = take == Take::all;
  constexpr size_t blocks = all && K::kPairedBlocks ? 2 : 1;
  QB_UNROLL for (int j = 0; j < 8; ++j) {
    typename V::Int v[kWide];
    if (take != Take::first) at.fetch_next();
    if (K::kSplit && take == Take::first && j < 2 * (K::bits - 4)) at.fetch_next();
    at.load_dword(j, v);
    if constexpr (!K::kPairedBlocks)
      at.add_dword(j, v, sum);
    else
      add_nibbles<V, K, take, apart>(at, j, v, sum);
  }
  // Or the sums that a pair's blocks leave, each in its own code, meet in memory.
  if constexpr (!all) each_sum<R, kWide>([&](int r, int c) { sum[r][c] = V::keep(sum[r][c]); });
  QB_UNROLL for (int i = 0; i < at.fours; ++i) at.codes_of_x[i] += blocks * kBlock;
  QB_UNROLL for (int p = 0; p < at.panels; ++p) {
    if constexpr (take != Take::first) at.w[p] += K::kTogether * K::kBytes;
    if constexpr (K::kPairedBlocks) at.wide[p] += blocks * 8 * kLine;
  }
}

/// Goes past the line of scales before a pair of groups. Tiles that follow find it behind the bytes
/// that this one leaves behind.
template <class V, class K, int R>
[[gnu::always_inline]] inline void pass_scales(Cursor<V, R>& at) {
  using Int = typename V::Int;
  at.fetch_next();
  QB_UNROLL for (int p = 0; p < at.panels; ++p) {
    if constexpr (K::kPairedBlocks) {
      for (size_t i = 0; i < kLine; i += sizeof(Int))
        V::store(at.wide[p] + i, V::load(at.w[p] + i));
      at.wide[p] += kLine;
    }
    at.w[p] += kLine;
  }
}

/// Block b of a group: its sums, times the activations' scales, are added to the group's; or, times
/// both scales, to the result.
template <class V, class K, Scaled scaled, int R>
[[gnu::always_inline]] inline void add_scaled_block(Cursor<V, R>& at, size_t b,
                                                    const typename V::Float (&d)[kWide],
                                                    typename V::Float (&group)[R][kWide],
                                                    typename V::Float (&result)[R][kWide]) {
  typename V::Int sum[R][kWide];
  at.begin(sum);
  if constexpr (!K::kPairedBlocks)
    add_blocks<V, K, Take::all, true>(at, sum);
  else if (b % 2)
    add_blocks<V, K, Take::second, true>(at, sum);
  else
    add_blocks<V, K, Take::first, true>(at, sum);
  QB_UNROLL for (int r = 0; r < R; ++r) {
    const auto by = V::broadcast_float(at.scales_of_row(r));
    QB_UNROLL for (int c = 0; c < kWide; ++c) {
      const auto v = V::to_float(sum[r][c]);
      if constexpr (scaled == Scaled::group)
        group[r][c] = V::fma(v, by, group[r][c]);
      else
        result[r][c] = V::fma(v, V::mul(d[c], by), result[r][c]);
    }
  }
  QB_UNROLL for (int i = 0; i < at.fours; ++i) at.scales_of_x[i] += 8;
}

/// R rows of x, from the piece's first block on, and of y; partial: their sums between pieces.
/// K: of the piece's codes. Those of 4 bits are left behind as bytes, for the tiles that follow.
/// This one for scales of blocks or of groups.
template <class V, class K, Scaled scaled, int R>
[[gnu::noinline]] void tile_of_groups(const Call& call, const Piece<V>& piece, const Byte* x,
                                      size_t b0, Byte* partial, float* y) {
  using Float = typename V::Float;
  Cursor<V, R> at(call, piece, x, b0, true);
  Float result[R][kWide], group[R][kWide];
  begin_floats<V, R>(piece, partial, result);
  for (size_t b = 0; b < piece.blocks;) {
    pass_scales<V, K>(at);
    size_t back = kLine;  // from the codes to their scales
    for (int half = 0; half < 2 && b < piece.blocks; ++half) {
      Float d[kWide];
      QB_UNROLL for (int c = 0; c < kWide; ++c) d[c] =
          group_scales<V, K>(at.w[panel_of<V>(c)] - back + part<V>(c, sizeof(f16)));
      if constexpr (scaled == Scaled::group)
        each_sum<R, kWide>([&](int r, int c) { group[r][c] = V::zero_float(); });
      for (size_t i = 0; i < call.group_blocks; ++i, ++b)
        add_scaled_block<V, K, scaled>(at, b, d, group, result);
      if constexpr (scaled == Scaled::group)
        each_sum<R, kWide>(
            [&](int r, int c) { result[r][c] = V::fma(group[r][c], d[c], result[r][c]); });
      // A pair of groups of one block each begins at the same place.
      const size_t blocks = K::kPairedBlocks && call.group_blocks == 1 ? 0 : call.group_blocks;
      back += blocks * (size_t(K::bits) * kLine) - kLine / 2;
    }
  }
  end_floats<V, R>(call, piece, partial, y, result);
}

/// The same with a scale for each output: integers add up over all of K.
template <class V, class K, int R>
[[gnu::noinline]] void tile_of_outputs(const Call& call, const Piece<V>& piece, const Byte* x,
                                       size_t b0, Byte* partial, float* y) {
  Cursor<V, R> at(call, piece, x, b0, false);
  typename V::Int sum[R][kWide];
  if (piece.first)
    at.begin(sum);
  else
    each_sum<R, kWide>([&](int r, int c) { sum[r][c] = V::load(waiting<V>(partial, r, c)); });
  for (size_t b = 0; b < piece.blocks; b += K::kTogether) {
    each_sum<R, kWide>([&](int r, int c) { sum[r][c] = V::keep(sum[r][c]); });
    add_blocks<V, K, Take::all, false>(at, sum);
  }
  if (!piece.last)
    return each_sum<R, kWide>(
        [&](int r, int c) { V::store(waiting<V>(partial, r, c), sum[r][c]); });
  typename V::Float d[kWide];
  QB_UNROLL for (int c = 0; c < kWide; ++c) d[c] =
      V::load_float(piece.scales[panel_of<V>(c)] + part<V>(c, sizeof(float)));
  QB_UNROLL for (int r = 0; r < R; ++r) {
    const auto by = V::broadcast_float(at.scales_of_row(r));
    QB_UNROLL for (int c = 0; c < kWide; ++c)
        store<V>(call, y + size_t(r) * call.n, piece.n[panel_of<V>(c)] + part<V>(c, 1),
                 V::mul(V::to_float(sum[r][c]), V::mul(d[c], by)));
  }
}

/// Two lines of floats before each block of 32 that is left behind: its scales and minima, or the
/// scales of its halves.
constexpr size_t kFloats = 2 * kLine;

/// What a block of 32 is multiplied by: the scales of it or of its halves, and its minima. Where
/// blocks are left behind, these go before them as floats.
template <class V, class K, int R>
[[gnu::always_inline]] inline void load_scales_and_minima(
    const Cursor<V, R>& at, const Headers<V, typename K::Header, Piece<V>::panels>& headers,
    int second, typename V::Float (&d)[K::kHalves][kWide], typename V::Float (&m)[kWide]) {
  const auto leave = [&](int c, size_t line, typename V::Float v) {
    Byte* const wide = at.wide[panel_of<V>(c)] + line * kLine + part<V>(c, sizeof(float));
    if constexpr (K::kPairedBlocks) V::store(reinterpret_cast<float*>(wide), v);
  };
  QB_UNROLL for (int c = 0; c < kWide; ++c) {
    QB_UNROLL for (int half = 0; half < K::kHalves; ++half) {
      d[half][c] = headers.scales(c, second * K::kHalves + half);
      leave(c, size_t(half), d[half][c]);
    }
    if constexpr (K::kMinimum) {
      m[c] = headers.minima(c, second);
      leave(c, 1, m[c]);
    }
  }
}

/// Adds the products of a block or half of it; of pairs those of the first or the second block,
/// which is left behind as bytes.
template <class V, class K, bool second, int R>
[[gnu::always_inline]] inline void add_unit(Cursor<V, R>& at, int half,
                                            typename V::Int (&sum)[R][kWide]) {
  QB_UNROLL for (int i = 0; i < K::kDwords; ++i) {
    const int j = half * K::kDwords + i;
    typename V::Int v[kWide];
    at.load_dword(j, v);
    if constexpr (K::kPairedBlocks) {
      if (second || j < 2 * (K::bits - 4)) at.fetch_next();
      QB_UNROLL for (int c = 0; c < kWide; ++c) v[c] =
          block_of_pair<V, K, true>(v[c], at.w[panel_of<V>(c)] + part<V>(c, 4), j, second);
      V::together(v);
      QB_UNROLL for (int c = 0; c < kWide; ++c)
          V::store(at.wide[panel_of<V>(c)] + kFloats + part<V>(c, 4) + kLine * size_t(j), v[c]);
    }
    at.add_dword(j, v, sum);
  }
}

/// A block's products times both scales, those of halves apart, less its minimum times the sum of
/// its activations.
template <class V, class K, bool second, int R>
[[gnu::always_inline]] inline void add_scaled_units(
    Cursor<V, R>& at, const Headers<V, typename K::Header, Piece<V>::panels>& headers,
    typename V::Float (&result)[R][kWide]) {
  using Float = typename V::Float;
  Float d[K::kHalves][kWide];
  [[maybe_unused]] Float m[kWide];
  load_scales_and_minima<V, K>(at, headers, second, d, m);
  QB_UNROLL for (int half = 0; half < K::kHalves; ++half) {
    typename V::Int sum[R][kWide];
    if constexpr (K::kMinimum)
      each_sum<R, kWide>([&](int r, int c) { sum[r][c] = V::zero(); });
    else
      at.begin(sum);
    add_unit<V, K, second>(at, half, sum);
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const Byte* const x = at.scales_of_row(r);
      const Float by = V::broadcast_float(x);
      QB_UNROLL for (int c = 0; c < kWide; ++c) {
        const Float v = V::to_float(V::keep(sum[r][c]));
        result[r][c] = V::fma(v, V::mul(d[half][c], by), result[r][c]);
        if constexpr (K::kMinimum)
          result[r][c] = V::nfma(m[c], V::broadcast_float(x + sizeof(float)), result[r][c]);
      }
    }
    QB_UNROLL for (int i = 0; i < at.fours; ++i) at.scales_of_x[i] += 8;
  }
  QB_UNROLL for (int i = 0; i < at.fours; ++i) at.codes_of_x[i] += kBlock;
  QB_UNROLL for (int p = 0; p < at.panels; ++p) {
    if constexpr (!K::kPairedBlocks)
      at.w[p] += 8 * kLine;
    else if constexpr (second)
      at.w[p] += K::kTogether * K::kBytes;
    at.wide[p] += kFloats + 8 * kLine;
  }
}

/// The same with scales, and minima, in headers; of whole pairs of blocks.
template <class V, class K, int R>
[[gnu::noinline]] void tile_with_headers(const Call& call, const Piece<V>& piece, const Byte* x,
                                         size_t b0, Byte* partial, float* y) {
  Cursor<V, R> at(call, piece, x, b0, true, K::kUnit);
  Headers<V, typename K::Header, Piece<V>::panels> headers(at.w);
  const auto fetch = [&](int p, size_t bytes) {  // fetch_next() is of all panels
    if constexpr (K::kPairedBlocks)
      for (size_t line = 0; p == 0 && line < bytes; line += kLine) at.fetch_next();
  };
  typename V::Float result[R][kWide];
  begin_floats<V, R>(piece, partial, result);
  for (size_t b = 0; b < piece.blocks; b += 2 * K::kHalves) {
    headers.next_pair(at.w, b % K::kOfSuper == 0, fetch);
    headers.next_block(at.w, fetch);
    add_scaled_units<V, K, false>(at, headers, result);
    headers.next_block(at.w, fetch);
    add_scaled_units<V, K, true>(at, headers, result);
  }
  end_floats<V, R>(call, piece, partial, y, result);
}

/// A tile of `rows`, which is between least and R.
template <class V, class K, Scaled scaled, int R, int least_rows>
inline void any_tile(size_t rows, const Call& call, const Piece<V>& piece, const Byte* x, size_t b0,
                     Byte* partial, float* y) {
  if constexpr (R > least_rows)
    if (rows != R)
      return any_tile<V, K, scaled, R - 1, least_rows>(rows, call, piece, x, b0, partial, y);
  if constexpr (scaled == Scaled::headers)
    tile_with_headers<V, K, R>(call, piece, x, b0, partial, y);
  else if constexpr (scaled == Scaled::once)
    tile_of_outputs<V, K, R>(call, piece, x, b0, partial, y);
  else
    tile_of_groups<V, K, scaled, R>(call, piece, x, b0, partial, y);
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
  constexpr size_t header = K::kHeaders ? kFloats : K::per_block ? kLine / 2 : 0;
  constexpr size_t piece_bytes = kDepth * (8 * kLine + header);
  alignas(64) Byte partial[kMostRows * kWide * sizeof(typename V::Int)];
  alignas(64) Byte wide[K::kPairedBlocks ? panels * piece_bytes : 64];
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
        piece.wide[p] = K::kPairedBlocks ? wide + p * piece_bytes : nullptr;
      }
      constexpr bool unpacked_first = __is_same(typename K::Codes, TwoBits);
      piece.next_line = unpacked_first ? 0 : kLine;
      const auto rows_from = [&](auto kind, size_t t) {
        const size_t r0 = rows * t / count, r1 = rows * (t + 1) / count;
        any_tile<V, decltype(kind), scaled, most, fewest>(
            r1 - r0, call, piece, x + r0 * call.x.stride, b0,
            partial + r0 * (kWide * sizeof(typename V::Int)), y + r0 * call.n);
      };
      if constexpr (unpacked_first)
        for (size_t p = 0; p < size_t(panels); ++p)
          unpack_piece<V>(piece.codes[p], piece.blocks, piece.wide[p]);
      else
        rows_from(K{}, 0);
      piece.next_line = 0;
      if constexpr (K::kPairedBlocks)
        for (size_t p = 0; p < size_t(panels); ++p) piece.codes[p] = piece.wide[p];
      for (size_t t = unpacked_first ? 0 : 1; t < count; ++t) rows_from(typename K::Unpacked{}, t);
      b0 += kDepth;
    } while (b0 < call.blocks);
  }
}

}  // namespace
}  // namespace qb::matmul
