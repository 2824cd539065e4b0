// SPDX-License-Identifier: Apache-2.0
// Products by vpdpbusd of few rows and bytes whose scales, and minima, stand in headers of their
// own (vnni_panels.h): codes of five or six bits from blocks of 256.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/vnni_add.h"

namespace qb::matmul {
namespace {

/// Adds a block's sums, times the scales of the weights and of the activations at s, to the
/// results; with minima less those, times the sums of the activations. i: the block's place behind
/// `pair`.
template <class V, class K, int R, int C>
[[gnu::always_inline]] inline void add_block(const typename V::Int (&sum)[R][C],
                                             const Byte* const* super, const Byte* const* pair,
                                             int i, const Byte* s, size_t stride,
                                             typename V::Float (&result)[R][C]) {
  using Header = typename K::Header;
  using Float = typename V::Float;
  QB_UNROLL for (int c = 0; c < C; ++c) {
    const int p = panel_of<V>(c);
    const Float d = Header::template scales<V>(super[p], pair[p], nullptr, i, c);
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const Float by = V::mul(d, V::broadcast_float(s + size_t(r) * stride));
      result[r][c] = V::fma(V::to_float(sum[r][c]), by, result[r][c]);
    }
    if constexpr (K::kMinimum) {
      const Float m = Header::template minima<V>(super[p], pair[p], nullptr, i, c);
      QB_UNROLL for (int r = 0; r < R; ++r) result[r][c] =
          V::nfma(m, V::broadcast_float(s + size_t(r) * stride + sizeof(float)), result[r][c]);
    }
  }
}

/// R rows at x, for the outputs of C vectors: panel[p] holds those from n[p] on.
template <class V, class K, int R, int C>
[[gnu::noinline]] void few_bytes(const Call& call, const Byte* const* panel, const size_t* n,
                                 const Byte* x, float* y) {
  using Header = typename K::Header;
  static_assert(Header::kEach == 0);
  constexpr int panels = panels_of<V>(C);
  const size_t stride = call.x.stride;
  const Byte* s = x + call.x.scales;
  const Byte *w[panels], *super[panels], *pair[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) super[p] = pair[p] = w[p] = panel[p];
  typename V::Int sum[1][R][C];
  typename V::Float result[R][C];
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) result[r][c] =
      V::zero_float();
  const auto pass = [&](const Byte*(&header)[panels], size_t bytes) {
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      prefetch(w[p] + K::kAhead);
      header[p] = w[p];
      w[p] += bytes;
    }
  };
  for (size_t b = 0; b < call.blocks; ++b, x += K::kUnit, s += 8) {
    if (b % K::kOfSuper == 0) pass(super, Header::kSuper);
    if (b % Header::kOfPair == 0) pass(pair, Header::kPair);
    QB_UNROLL for (int r = 0; r < R; ++r) {
      auto start = V::zero();
      if constexpr (!K::kMinimum) start = V::broadcast(s + size_t(r) * stride + sizeof(float));
      QB_UNROLL for (int c = 0; c < C; ++c) sum[0][r][c] = start;
    }
    add<V, K, Take::all, R, C, 1>(w, x, stride, sum);
    add_block<V, K>(sum[0], super, pair, int(b % Header::kOfPair), s, stride, result);
    QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += K::kBytes;
  }
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c)
      store<V>(call, y + size_t(r) * call.n, n[panel_of<V>(c)] + part<V>(c, 1), result[r][c]);
}

}  // namespace
}  // namespace qb::matmul
