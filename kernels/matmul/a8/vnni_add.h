// SPDX-License-Identifier: Apache-2.0
// What products by vpdpbusd of few rows add up, a block of the weights, or a pair, times each row;
// what sums begin with, and where results go.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/vnni_panels.h"

namespace qb::matmul {
namespace {

/// Prefetches a line of the codes kAhead of w beside each dword j; beside every other one where the
/// blocks of a pair are taken one after the other. Beside some also one of the bits above nibbles.
template <class K, Take take>
[[gnu::always_inline]] inline void fetch_ahead(const Byte* w, int j) {
  constexpr bool all = take == Take::all, later = take == Take::second;
  w += K::kAhead;
  if (all || j % 2 == 0) prefetch(w + kLine * size_t(all ? j : later ? 4 + j / 2 : j / 2));
  if constexpr (K::kSplit) {
    constexpr int lines = K::bits - 4;  // of each block
    const int block = all ? j / 4 : later, line = all ? j % 4 : j;
    if (line < lines) prefetch(w + kLine * size_t(8 + block * lines + line));
  }
}

/// Adds the products of R rows at x with C vectors of outputs. Two sets of sums: dwords 0, 2, .. of
/// a block of bytes go to the first one, or the first block of a pair. half: of each block, where a
/// half has a sum of its own.
template <class V, class K, Take take, int R, int C, int sets, int half = 0>
[[gnu::always_inline]] inline void add(const Byte* const* w, const Byte* x, size_t stride,
                                       typename V::Int (&sum)[sets][R][C]) {
  using Int = typename V::Int;
  constexpr int panels = panels_of<V>(C);
  constexpr bool all = take == Take::all;
  QB_UNROLL for (int i = 0; i < K::kDwords; ++i) {
    const int j = half * K::kDwords + i;
    Int v[C];
    QB_UNROLL for (int p = 0; p < panels; ++p) fetch_ahead<K, take>(w[p], j);
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
        if constexpr (all) QB_UNROLL for (int u = 0; u < 2; ++u) v[c + u] = V::keep(v[c + u]);
        QB_UNROLL for (int second = take == Take::second; second < (take == Take::first ? 1 : 2);
                       ++second) {
          constexpr bool apart = K::per_block || sets == 2;
          Int codes[2];
          QB_UNROLL for (int u = 0; u < 2; ++u) codes[u] = block_of_pair<V, K, apart>(
              v[c + u], w[panel_of<V>(c + u)] + part<V>(c + u, 4), j, second);
          V::together(codes);
          const Byte* const from = x + (all ? size_t(second) * kBlock : 0) + 4 * j;
          QB_UNROLL for (int r = 0; r < R; ++r) {
            const Int x0 = V::broadcast(from + size_t(r) * stride);
            QB_UNROLL for (int u = 0; u < 2; ++u) sum[second % sets][r][c + u] =
                V::dot(sum[second % sets][r][c + u], codes[u], x0);
          }
        }
      }
    }
  }
}

/// The results of R rows, for the outputs of C vectors from n[] on.
template <class V, int R, int C>
inline void store_results(const Call& call, const size_t* n, float* y,
                          const typename V::Float (&result)[R][C]) {
  each_sum<R, C>([&](int r, int c) {
    store<V>(call, y + size_t(r) * call.n, n[panel_of<V>(c)] + part<V>(c, 1), result[r][c]);
  });
}

/// Sums of R rows begin with what prepare() stored at `starts` for each of them.
template <class V, int R, int C>
[[gnu::always_inline]] inline void begin_sums(const Byte* starts, size_t stride,
                                              typename V::Int (&sum)[R][C]) {
  QB_UNROLL for (int r = 0; r < R; ++r) {
    const auto start = V::broadcast(starts + size_t(r) * stride);
    QB_UNROLL for (int c = 0; c < C; ++c) sum[r][c] = start;
  }
}

}  // namespace
}  // namespace qb::matmul
