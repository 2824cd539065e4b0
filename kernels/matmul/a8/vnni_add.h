// SPDX-License-Identifier: Apache-2.0
// What products by vpdpbusd of few rows add up: a block of the weights, or a pair, times each row.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/vnni_panels.h"

namespace qb::matmul {
namespace {

/// Adds the products of R rows at x with C vectors of outputs. Two sets of sums: dwords 0, 2, .. of
/// a block of bytes go to the first one, or the first block of a pair.
template <class V, class K, Take take, int R, int C, int sets>
inline void add(const Byte* const* w, const Byte* x, size_t stride,
                typename V::Int (&sum)[sets][R][C]) {
  using Int = typename V::Int;
  constexpr int panels = panels_of<V>(C);
  constexpr bool all = take == Take::all;
  QB_UNROLL for (int j = 0; j < K::kDwords; ++j) {
    Int v[C];
    if (all || j % 2 == 0) {
      const size_t line = size_t(all ? j : take == Take::first ? j / 2 : 4 + j / 2);
      QB_UNROLL for (int p = 0; p < panels; ++p) prefetch(w[p] + K::kAhead + kLine * line);
    }
    QB_UNROLL for (int c = 0; c < C; ++c) v[c] =
        V::load(w[panel_of<V>(c)] + part<V>(c, 4) + kLine * size_t(j));
    if constexpr (K::bits == 8) {
      QB_UNROLL for (int r = 0; r < R; ++r) {
        const Int x0 = V::broadcast(x + size_t(r) * stride + 4 * j);
        QB_UNROLL for (int c = 0; c < C; ++c) sum[j % sets][r][c] =
            V::dot(sum[j % sets][r][c], v[c], x0);
      }
    } else {
      QB_UNROLL for (int c = 0; c < C; c += 2) {
        // Once: gcc would load for the low nibbles and again for the high ones.
        if constexpr (all) QB_UNROLL for (int i = 0; i < 2; ++i) v[c + i] = V::keep(v[c + i]);
        QB_UNROLL for (int second = take == Take::second; second < (take == Take::first ? 1 : 2);
                       ++second) {
          constexpr bool apart = K::per_block || sets == 2;
          Int half[2];
          QB_UNROLL for (int i = 0; i < 2; ++i) half[i] =
              block_of_pair<V, typename K::Codes, apart>(v[c + i], second);
          V::together(half);
          const Byte* const from = x + (all ? size_t(second) * kBlock : 0) + 4 * j;
          QB_UNROLL for (int r = 0; r < R; ++r) {
            const Int x0 = V::broadcast(from + size_t(r) * stride);
            QB_UNROLL for (int i = 0; i < 2; ++i) sum[second % sets][r][c + i] =
                V::dot(sum[second % sets][r][c + i], half[i], x0);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace qb::matmul
