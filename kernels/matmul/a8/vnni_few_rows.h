// SPDX-License-Identifier: Apache-2.0
// Products by vpdpbusd of few rows, which take the weights as they stream by, several panels at
// once.
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
  QB_UNROLL for (int j = 0; j < 8; ++j) {
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

/// A group's scales, `back` bytes before w.
template <class V, class K, int C>
inline void load_scales(const Byte* const* w, size_t back, typename V::Float (&d)[C]) {
  QB_UNROLL for (int c = 0; c < C; ++c) d[c] =
      group_scales<V, K>(w[panel_of<V>(c)] - back + part<V>(c, sizeof(f16)));
}

/// few() for pairs of blocks with scales for groups: single if a group is a block, otherwise a pair
/// is of one group.
template <class V, class K, int R, int C, bool single>
[[gnu::noinline]] void few_pairs(const Call& call, const Byte* const* panel, const size_t* n,
                                 const Byte* x, float* y) {
  using Float = typename V::Float;
  constexpr int panels = panels_of<V>(C);
  constexpr bool grouped = !single && V::kGroups && R <= 4;
  constexpr int sets = 2 * R * C <= V::kPairSums ? 2 : 1;
  const size_t stride = call.x.stride;
  const Byte* s = x + call.x.scales;
  const Byte* w[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) w[p] = panel[p];
  typename V::Int sum[sets][R][C];
  Float d[sets][C], result[R][C], group[R][C];
  const auto clear = [](Float(&v)[R][C]) {
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) v[r][c] =
        V::zero_float();
  };
  const auto begin = [&](int second) {
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const auto start = V::broadcast(s + size_t(r) * stride + 8 * size_t(second) + sizeof(float));
      QB_UNROLL for (int c = 0; c < C; ++c) sum[second % sets][r][c] = start;
    }
  };
  const auto end = [&](int second) {
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const Float by = V::broadcast_float(s + size_t(r) * stride + 8 * size_t(second));
      QB_UNROLL for (int c = 0; c < C; ++c) {
        const Float v = V::to_float(sum[second % sets][r][c]);
        if constexpr (grouped)
          group[r][c] = V::fma(v, by, group[r][c]);
        else
          result[r][c] = V::fma(v, V::mul(d[single ? second % sets : 0][c], by), result[r][c]);
      }
    }
  };
  clear(result);
  for (size_t b = 0; b < call.blocks;) {
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      prefetch(w[p] + K::kAhead);
      w[p] += kLine;
    }
    size_t back = kLine;  // from the codes to their scales
    for (int g = 0; g < (single ? 1 : 2) && b < call.blocks; ++g) {
      // Before the codes: the hardware follows a stream better that is read in order.
      load_scales<V, K, C>(w, back, d[0]);
      if constexpr (single && sets == 2) load_scales<V, K, C>(w, back - kLine / 2, d[1]);
      clear(group);
      for (size_t i = 0; i < call.group_blocks; i += 2, b += 2, x += 2 * kBlock, s += 16) {
        begin(0);
        if constexpr (sets == 2) {
          begin(1);
          add<V, K, Take::all, R, C, sets>(w, x, stride, sum);
          end(0);
        } else {
          add<V, K, Take::first, R, C, sets>(w, x, stride, sum);
          end(0);
          if constexpr (single) load_scales<V, K, C>(w, back - kLine / 2, d[0]);
          begin(1);
          // Loaded once more: there are no registers to hold them in.
          QB_UNROLL for (int p = 0; p < panels; ++p) asm("" : "+r"(w[p]));
          add<V, K, Take::second, R, C, sets>(w, x + kBlock, stride, sum);
        }
        end(1);
        QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += 2 * K::kBytes;
        back += 2 * K::kBytes;
      }
      if constexpr (grouped)
        QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) result[r][c] =
            V::fma(group[r][c], d[0][c], result[r][c]);
      back -= kLine / 2;
    }
  }
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c)
      store<V>(call, y + size_t(r) * call.n, n[panel_of<V>(c)] + part<V>(c, 1), result[r][c]);
}

/// few() for groups of a block with minima.
template <class V, class K, int R, int C>
[[gnu::noinline]] void few_with_minima(const Call& call, const Byte* const* panel, const size_t* n,
                                       const Byte* x, float* y) {
  using Float = typename V::Float;
  using Header = typename K::Header;
  constexpr int panels = panels_of<V>(C);
  constexpr int sets = K::bits == 4 && 2 * R * C <= V::kPairSums ? 2 : 1;
  const size_t stride = call.x.stride;
  const Byte* s = x + call.x.scales;
  const Byte *w[panels], *super[panels], *pair[panels], *each[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) super[p] = pair[p] = each[p] = w[p] = panel[p];
  typename V::Int sum[sets][R][C];
  Float result[R][C];
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) result[r][c] =
      V::zero_float();
  const auto pass = [&](const Byte*(&header)[panels], size_t bytes) {
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      for (size_t line = 0; line < bytes; line += kLine) prefetch(w[p] + K::kAhead + line);
      header[p] = w[p];
      w[p] += bytes;
    }
  };
  const auto begin = [&](int set) {
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) sum[set][r][c] =
        V::zero();
  };
  const auto end = [&](int second) {
    QB_UNROLL for (int c = 0; c < C; ++c) {
      const int p = panel_of<V>(c);
      const Byte* const floats = each[p] + size_t(second) * Header::kEach;
      const Float d = Header::template scales<V>(super[p], pair[p], floats, second, c);
      const Float m = Header::template minima<V>(super[p], pair[p], floats, second, c);
      QB_UNROLL for (int r = 0; r < R; ++r) {
        const Byte* const xs = s + size_t(r) * stride + 8 * size_t(second);
        const Float by = V::mul(d, V::broadcast_float(xs));
        result[r][c] = V::fma(V::to_float(sum[second % sets][r][c]), by, result[r][c]);
        result[r][c] = V::nfma(m, V::broadcast_float(xs + sizeof(float)), result[r][c]);
      }
    }
  };
  for (size_t b = 0; b < call.blocks; b += 2, x += 2 * kBlock, s += 16) {
    if (Header::kSuper && b % 8 == 0) pass(super, Header::kSuper);
    if (Header::kPair) pass(pair, Header::kPair);
    if (Header::kEach) pass(each, 2 * Header::kEach);
    begin(0);
    if constexpr (sets == 2) {
      begin(1);
      add<V, K, Take::all, R, C, sets>(w, x, stride, sum);
      end(0);
    } else {
      add<V, K, Take::first, R, C, sets>(w, x, stride, sum);
      end(0);
      begin(0);
      // Loaded once more: there are no registers to hold them in.
      QB_UNROLL for (int p = 0; p < panels; ++p) asm("" : "+r"(w[p]));
      add<V, K, Take::second, R, C, sets>(w, x + kBlock, stride, sum);
    }
    end(1);
    QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += 2 * K::kBytes;
  }
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c)
      store<V>(call, y + size_t(r) * call.n, n[panel_of<V>(c)] + part<V>(c, 1), result[r][c]);
}

/// y[0..R) from rows at x, for the outputs of C vectors: panel[p] holds those from n[p] on.
template <class V, class K, int R, int C>
[[gnu::noinline]] void few(const Call& call, const Byte* const* panel, const size_t* n,
                           const Byte* x, float* y) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  constexpr int panels = panels_of<V>(C);
  constexpr bool grouped = V::kGroups && R <= 4;
  // Few rows have registers to spare: two sets make the chains of one scale per output half as
  // long, and save the high nibbles their shifts.
  constexpr int sets = R <= 3 && !K::per_block ? 2 : 1;
  static_assert(!K::kPairedBlocks || !K::per_block);
  const size_t stride = call.x.stride;
  const Byte* s = x + call.x.scales;
  const Byte* w[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) w[p] = panel[p];
  Int sum[sets][R][C];
  Float result[R][C];
  const auto begin = [&](const Byte* starts) {
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const Int start = V::broadcast(starts + size_t(r) * stride);
      QB_UNROLL for (int c = 0; c < C; ++c) {
        if constexpr (sets == 2) sum[1][r][c] = V::zero();
        sum[0][r][c] = start;
      }
    }
  };
  const auto total = [&](int r, int c) {
    if constexpr (sets == 1)
      return V::to_float(sum[0][r][c]);
    else if constexpr (K::bits == 4 && V::kSixteenfold)
      return V::to_float(V::add(sum[0][r][c], V::sixteenth(sum[1][r][c])));
    else
      return V::to_float(V::add(sum[0][r][c], sum[1][r][c]));
  };
  if constexpr (K::per_block) {
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) result[r][c] =
        V::zero_float();
    for (size_t b = 0; b < call.blocks;) {
      QB_UNROLL for (int p = 0; p < panels; ++p) {
        prefetch(w[p] + K::kAhead);
        w[p] += kLine;
      }
      size_t back = kLine;  // from the codes to their scales
      for (int half = 0; half < 2 && b < call.blocks; ++half) {
        Float d[C], group[R][C];
        QB_UNROLL for (int c = 0; c < C; ++c) d[c] =
            group_scales<V, K>(w[panel_of<V>(c)] - back + part<V>(c, sizeof(f16)));
        QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) group[r][c] =
            V::zero_float();
        for (size_t i = 0; i < call.group_blocks; ++i, ++b, x += kBlock, s += 8) {
          begin(s + sizeof(float));
          add<V, K, Take::all, R, C, sets>(w, x, stride, sum);
          QB_UNROLL for (int r = 0; r < R; ++r) {
            const Float by = V::broadcast_float(s + size_t(r) * stride);
            QB_UNROLL for (int c = 0; c < C; ++c) {
              if constexpr (grouped)
                group[r][c] = V::fma(total(r, c), by, group[r][c]);
              else
                result[r][c] = V::fma(total(r, c), V::mul(d[c], by), result[r][c]);
            }
          }
          QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += K::kBytes;
        }
        if constexpr (grouped)
          QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) result[r][c] =
              V::fma(group[r][c], d[c], result[r][c]);
        back += call.group_blocks * K::kBytes - kLine / 2;
      }
    }
  } else {
    begin(x + call.x.sums);
    for (size_t b = 0; b < call.blocks; b += K::kTogether, x += K::kTogether * kBlock) {
      add<V, K, Take::all, R, C, sets>(w, x, stride, sum);
      QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += K::kTogether * K::kBytes;
    }
    // Scales first: codes times a scale may be too large for a float that the output isn't.
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const Float by = V::broadcast_float(s + size_t(r) * stride);
      QB_UNROLL for (int c = 0; c < C; ++c) {
        const Float d = V::load_float(w[panel_of<V>(c)] + part<V>(c, sizeof(float)));
        result[r][c] = V::mul(total(r, c), V::mul(d, by));
      }
    }
  }
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c)
      store<V>(call, y + size_t(r) * call.n, n[panel_of<V>(c)] + part<V>(c, 1), result[r][c]);
}

/// R rows, all outputs from n0 on.
template <class V, class K, int R>
inline void few_rows(const Call& call, const Byte* packed, size_t bytes, size_t n0, const Byte* x,
                     float* y) {
  constexpr int C = V::vectors(R, K::kPairedBlocks && K::per_block), panels = panels_of<V>(C);
  const auto take = [&](const Byte* const* w, const size_t* n) {
    if constexpr (K::kMinimum)
      few_with_minima<V, K, R, C>(call, w, n, x, y);
    else if constexpr (!K::kPairedBlocks || !K::per_block)
      few<V, K, R, C>(call, w, n, x, y);
    else if (call.group_blocks == 1)
      few_pairs<V, K, R, C, true>(call, w, n, x, y);
    else
      few_pairs<V, K, R, C, false>(call, w, n, x, y);
  };
  const size_t all = (call.n1 - n0 + kPanel - 1) / kPanel;
  // An odd number of panels: streams a multiple of a large power of two apart would contend for the
  // same ways of a cache.
  const size_t each = all < 2 * panels ? all / panels : (all / panels - 1) | 1;
  const Byte* w[panels];
  size_t n[panels];
  for (size_t i = 0; i < each; ++i) {
    for (size_t p = 0; p < panels; ++p) {
      w[p] = packed + (p * each + i) * bytes;
      n[p] = n0 + (p * each + i) * kPanel;
    }
    take(w, n);
  }
  // The last one fills what is left over; a second result of it is not stored.
  for (size_t i = each * panels; i < all; i += panels) {
    for (size_t p = 0; p < panels; ++p) {
      w[p] = packed + least(i + p, all - 1) * bytes;
      n[p] = n0 + (i + p) * kPanel;
    }
    take(w, n);
  }
}

template <class V, class K, int R>
inline void any_few_rows(size_t rows, const Call& call, const Byte* packed, size_t bytes, size_t n0,
                         const Byte* x, float* y) {
  if constexpr (R > 0) {
    if (rows == R) return few_rows<V, K, R>(call, packed, bytes, n0, x, y);
    any_few_rows<V, K, R - 1>(rows, call, packed, bytes, n0, x, y);
  }
}

}  // namespace
}  // namespace qb::matmul
