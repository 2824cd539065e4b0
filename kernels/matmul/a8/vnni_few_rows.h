// SPDX-License-Identifier: Apache-2.0
// Products by vpdpbusd of few rows, which take the weights as they stream by, several panels at
// once.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/vnni_add.h"
#include "matmul/a8/vnni_two_bits.h"

namespace qb::matmul {
namespace {

/// A group's scales, `back` bytes before w.
template <class V, class K, int C>
inline void load_scales(const Byte* const* w, size_t back, typename V::Float (&d)[C]) {
  QB_UNROLL for (int c = 0; c < C; ++c) d[c] =
      group_scales<V, K>(w[panel_of<V>(c)] - back + part<V>(c, sizeof(f16)));
}

/// Adds a block's sums, times the scales of the activations at s, to those of a group; or, times
/// both scales, to the result.
template <class V, bool grouped, int R, int C>
[[gnu::always_inline]] inline void add_scaled(const typename V::Int (&sum)[R][C], const Byte* s,
                                              size_t stride, const typename V::Float (&d)[C],
                                              typename V::Float (&group)[R][C],
                                              typename V::Float (&result)[R][C]) {
  QB_UNROLL for (int r = 0; r < R; ++r) {
    const auto by = V::broadcast_float(s + size_t(r) * stride);
    QB_UNROLL for (int c = 0; c < C; ++c) {
      const auto v = V::to_float(sum[r][c]);
      if constexpr (grouped)
        group[r][c] = V::fma(v, by, group[r][c]);
      else
        result[r][c] = V::fma(v, V::mul(d[c], by), result[r][c]);
    }
  }
}

/// Both blocks of a pair, or a half of either, with one set of sums or with two: begin(second)
/// starts the sums of a block, end(second) takes them, and between_blocks() comes before the second
/// one begins.
template <class V, class K, int R, int C, int sets, int half = 0, class Begin, class End,
          class Between>
[[gnu::always_inline]] inline void add_pair(const Byte* (&w)[panels_of<V>(C)], const Byte* x,
                                            size_t stride, typename V::Int (&sum)[sets][R][C],
                                            Begin begin, End end, Between between_blocks) {
  constexpr int panels = panels_of<V>(C);
  begin(0);
  if constexpr (sets == 2) {
    begin(1);
    add<V, K, Take::all, R, C, sets, half>(w, x, stride, sum);
    end(0);
  } else {
    add<V, K, Take::first, R, C, sets, half>(w, x, stride, sum);
    end(0);
    between_blocks();
    begin(1);
    // Loaded once more: there are no registers to hold them in.
    QB_UNROLL for (int p = 0; p < panels; ++p) asm("" : "+r"(w[p]));
    add<V, K, Take::second, R, C, sets, half>(w, x + kBlock, stride, sum);
  }
  end(1);
  if constexpr (half == K::kHalves - 1)
    QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += K::kTogether * K::kBytes;
}

/// Goes past the line of scales before a pair of groups.
template <class V, class K, int C>
inline void pass_scales(const Byte* (&w)[panels_of<V>(C)]) {
  constexpr int panels = panels_of<V>(C);
  QB_UNROLL for (int p = 0; p < panels; ++p) {
    prefetch(w[p] + K::kAhead);
    w[p] += kLine;
  }
}

/// Pairs of blocks with scales for groups: single if a group is a block, otherwise a pair is of one
/// group. panel[p] holds the outputs from n[p] on, x and y R rows.
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
  size_t back = kLine;  // from the codes to their scales
  const auto begin = [&](int second) {
    begin_sums<V>(s + 8 * size_t(second) + sizeof(float), stride, sum[second % sets]);
  };
  const auto end = [&](int second) {
    add_scaled<V, grouped>(sum[second % sets], s + 8 * size_t(second), stride,
                           d[single ? second % sets : 0], group, result);
  };
  const auto between_blocks = [&] {
    if constexpr (single) load_scales<V, K, C>(w, back - kLine / 2, d[0]);
  };
  each_sum<R, C>([&](int r, int c) { result[r][c] = V::zero_float(); });
  for (size_t b = 0; b < call.blocks;) {
    pass_scales<V, K, C>(w);
    back = kLine;
    for (int g = 0; g < (single ? 1 : 2) && b < call.blocks; ++g) {
      // Before the codes: the hardware follows a stream better that is read in order.
      load_scales<V, K, C>(w, back, d[0]);
      if constexpr (single && sets == 2) load_scales<V, K, C>(w, back - kLine / 2, d[1]);
      each_sum<R, C>([&](int r, int c) { group[r][c] = V::zero_float(); });
      for (size_t i = 0; i < call.group_blocks; i += 2, b += 2, x += 2 * kBlock, s += 16) {
        add_pair<V, K, R, C, sets>(w, x, stride, sum, begin, end, between_blocks);
        back += 2 * K::kBytes;
      }
      if constexpr (grouped)
        each_sum<R, C>(
            [&](int r, int c) { result[r][c] = V::fma(group[r][c], d[0][c], result[r][c]); });
      back -= kLine / 2;
    }
  }
  store_results<V>(call, n, y, result);
}

/// The same for scales, and minima, of blocks or halves of them that stand in headers.
template <class V, class K, int R, int C>
[[gnu::noinline]] void few_with_headers(const Call& call, const Byte* const* panel, const size_t* n,
                                        const Byte* x, float* y) {
  using Float = typename V::Float;
  using Header = typename K::Header;
  constexpr int panels = panels_of<V>(C);
  constexpr int sets = 2 * R * C <= V::kPairSums ? 2 : 1;
  const size_t stride = call.x.stride;
  const Byte* s = x + call.x.scales;
  const Byte* w[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) w[p] = panel[p];
  Headers<V, Header, panels> headers(w);
  typename V::Int sum[sets][R][C];
  Float result[R][C];
  each_sum<R, C>([&](int r, int c) { result[r][c] = V::zero_float(); });
  const auto fetch = [&](int p, size_t bytes) {
    for (size_t line = 0; line < bytes; line += kLine) prefetch(w[p] + K::kAhead + line);
  };
  const auto pair_of_halves = [&](auto half) {
    constexpr int h = decltype(half)::value;
    const auto begin = [&](int second) {
      if constexpr (K::kMinimum)
        each_sum<R, C>([&](int r, int c) { sum[second % sets][r][c] = V::zero(); });
      else
        begin_sums<V>(s + 8 * (second * K::kHalves + h) + sizeof(float), stride,
                      sum[second % sets]);
    };
    const auto end = [&](int second) {
      const int i = second * K::kHalves + h;
      QB_UNROLL for (int c = 0; c < C; ++c) {
        const Float d = headers.scales(c, i);
        QB_UNROLL for (int r = 0; r < R; ++r) {
          const Float by = V::mul(d, V::broadcast_float(s + size_t(r) * stride + 8 * i));
          result[r][c] = V::fma(V::to_float(sum[second % sets][r][c]), by, result[r][c]);
        }
        if constexpr (K::kMinimum) {
          const Float m = headers.minima(c, i);
          QB_UNROLL for (int r = 0; r < R; ++r) result[r][c] = V::nfma(
              m, V::broadcast_float(s + size_t(r) * stride + 8 * i + sizeof(float)), result[r][c]);
        }
      }
    };
    add_pair<V, K, R, C, sets, h>(w, x, stride, sum, begin, end, [] {});
  };
  for (size_t b = 0; b < call.blocks; b += K::kTogether, x += 2 * kBlock, s += 8 * K::kTogether) {
    headers.next_pair(w, b % K::kOfSuper == 0, fetch);
    pair_of_halves(Half<0>{});
    if constexpr (K::kHalves == 2) pair_of_halves(Half<1>{});
  }
  store_results<V>(call, n, y, result);
}

/// Bytes with scales for groups.
template <class V, class K, int R, int C>
[[gnu::noinline]] void few_of_groups(const Call& call, const Byte* const* panel, const size_t* n,
                                     const Byte* x, float* y) {
  using Float = typename V::Float;
  static_assert(!K::kPairedBlocks);
  constexpr int panels = panels_of<V>(C);
  constexpr bool grouped = V::kGroups && R <= 4;
  const size_t stride = call.x.stride;
  const Byte* s = x + call.x.scales;
  const Byte* w[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) w[p] = panel[p];
  typename V::Int sum[1][R][C];
  Float result[R][C];
  each_sum<R, C>([&](int r, int c) { result[r][c] = V::zero_float(); });
  for (size_t b = 0; b < call.blocks;) {
    pass_scales<V, K, C>(w);
    size_t back = kLine;  // from the codes to their scales
    for (int half = 0; half < 2 && b < call.blocks; ++half) {
      Float d[C], group[R][C];
      load_scales<V, K, C>(w, back, d);
      each_sum<R, C>([&](int r, int c) { group[r][c] = V::zero_float(); });
      for (size_t i = 0; i < call.group_blocks; ++i, ++b, x += kBlock, s += 8) {
        begin_sums<V>(s + sizeof(float), stride, sum[0]);
        add<V, K, Take::all, R, C, 1>(w, x, stride, sum);
        add_scaled<V, grouped>(sum[0], s, stride, d, group, result);
        QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += K::kBytes;
      }
      if constexpr (grouped)
        each_sum<R, C>(
            [&](int r, int c) { result[r][c] = V::fma(group[r][c], d[c], result[r][c]); });
      back += call.group_blocks * K::kBytes - kLine / 2;
    }
  }
  store_results<V>(call, n, y, result);
}

/// A scale for each output.
template <class V, class K, int R, int C>
[[gnu::noinline]] void few_of_outputs(const Call& call, const Byte* const* panel, const size_t* n,
                                      const Byte* x, float* y) {
  using Float = typename V::Float;
  constexpr int panels = panels_of<V>(C);
  // Few rows have registers to spare: two sets make the chains half as long, and save the high
  // nibbles their shifts.
  constexpr int sets = R <= 3 ? 2 : 1;
  const size_t stride = call.x.stride;
  const Byte* const s = x + call.x.scales;
  const Byte* w[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) w[p] = panel[p];
  typename V::Int sum[sets][R][C];
  Float result[R][C];
  begin_sums<V>(x + call.x.sums, stride, sum[0]);
  if constexpr (sets == 2) each_sum<R, C>([&](int r, int c) { sum[1][r][c] = V::zero(); });
  for (size_t b = 0; b < call.blocks; b += K::kTogether, x += K::kTogether * kBlock) {
    add<V, K, Take::all, R, C, sets>(w, x, stride, sum);
    QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += K::kTogether * K::kBytes;
  }
  if constexpr (sets == 2)
    each_sum<R, C>([&](int r, int c) {
      const bool sixteenfold = K::bits == 4 && V::kSixteenfold;
      sum[0][r][c] = V::add(sum[0][r][c], sixteenfold ? V::sixteenth(sum[1][r][c]) : sum[1][r][c]);
    });
  // Scales first: codes times a scale may be too large for a float that the output isn't.
  QB_UNROLL for (int r = 0; r < R; ++r) {
    const Float by = V::broadcast_float(s + size_t(r) * stride);
    QB_UNROLL for (int c = 0; c < C; ++c) {
      const Float d = V::load_float(w[panel_of<V>(c)] + part<V>(c, sizeof(float)));
      result[r][c] = V::mul(V::to_float(sum[0][r][c]), V::mul(d, by));
    }
  }
  store_results<V>(call, n, y, result);
}

/// R rows, all outputs from n0 on.
template <class V, class K, int R>
inline void few_rows(const Call& call, const Byte* packed, size_t bytes, size_t n0, const Byte* x,
                     float* y) {
  constexpr int C = V::vectors(R, K::kPairedBlocks && K::per_block), panels = panels_of<V>(C);
  const auto take = [&](const Byte* const* w, const size_t* n) {
    if constexpr (__is_same(typename K::Codes, TwoBits))
      few_of_two_bits<V, R, C>(call, w, n, x, y);
    else if constexpr (K::kHeaders)
      few_with_headers<V, K, R, C>(call, w, n, x, y);
    else if constexpr (!K::per_block)
      few_of_outputs<V, K, R, C>(call, w, n, x, y);
    else if constexpr (!K::kPairedBlocks)
      few_of_groups<V, K, R, C>(call, w, n, x, y);
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
