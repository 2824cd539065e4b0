// SPDX-License-Identifier: Apache-2.0
// Products of many rows with f32 sums, which the FMAs bind: S::kDepth k's of a panel are decoded
// into 8 or 16 KiB that stay in L1, and every tile of S::kRows rows is multiplied with them.
//
// The sums of kBlockRows x kBlockOutputs wait in L2, beside the block of activations that these
// panels share, until all of k has passed; so y is written once, and the activations are read from
// beyond L2 once for every kBlockOutputs outputs. Where all of them fit in L2 it is one panel at a
// time, and the weights are read in the order in which they lie.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a32/few_rows.h"

namespace qb::matmul {
namespace {

constexpr size_t kBlockRows = F32SumsBudget::kRows;  // a multiple of every kRows
constexpr size_t kBlockOutputs = F32SumsBudget::kOutputs;

/// depth k's from k0 (a multiple of S::kDepth) of a panel as f32[depth][kPanel], scaled; f32
/// weights are used where they are.
template <class S, class C>
inline const float* decode(const Weights& w, const Byte* panel, size_t k0, size_t depth,
                           float* out) {
  using V = typename S::V;
  using L = Layout<S, C>;
  const auto codes = [](const Byte* p, size_t count, const V(&factors)[kFactors<C>], float* to) {
    const auto put = [&](auto i, const Byte* from, float* at) {
      V w0 = C::template get<i.value, 0>(from), w1 = C::template get<i.value, 1>(from);
      if constexpr (kScaled<C>) {
        w0 = dequantized<S, C, 0>(w0, factors);
        w1 = dequantized<S, C, 1>(w1, factors);
      }
      S::store(at, w0);
      S::store(at + S::kLanes, w1);
    };
    size_t k = 0;
    for (; k + kStep <= count; k += kStep, p += L::kStepBytes, to += kStep * L::kPanel)
      Unroll<int(kStep)>::run([&](auto i) { put(i, p, to + size_t(i.value) * L::kPanel); });
    if constexpr (!L::kPads)
      for (; k < count; ++k, p += L::kStepBytes / kStep, to += L::kPanel) put(Int<0>{}, p, to);
  };
  V factors[kFactors<C>];
  Unroll<kFactors<C>>::run([&](auto i) { factors[i.value] = S::zero(); });
  if constexpr (C::kBits == 32) {
    return reinterpret_cast<const float*>(panel + L::offset(k0, w.group));
  } else if constexpr (C::kPerGroup) {
    static_assert(kSuperBlock % S::kDepth == 0);
    const Byte* const block = panel + L::block_offset(k0, w.group);
    const Byte* p = panel + L::offset(k0, w.group);
    for (size_t k = 0; k < depth; k += w.group, p += L::group_bytes(w.group)) {
      load_factors<S, C>(block, p, factors);
      codes(p + L::kHeader, w.group, factors, out + k * L::kPanel);
    }
    return out;
  } else {
    if constexpr (C::kPerOutput) load_factors<S, C>(panel, panel, factors);
    codes(panel + L::offset(k0, w.group), depth, factors, out);
    return out;
  }
}

/// sums[R][kPanel] += x[depth][R] times b[depth][kPanel], in k order; `first`: starts at zero.
/// AheadBytes > 0: meanwhile fetches depth times as many bytes from `ahead`. Not inlined: the
/// caller's constants would push a sum out of the registers.
template <class S, int R, size_t AheadBytes = 0>
__attribute__((noinline)) void tile(const float* x, const float* b, size_t depth, bool first,
                                    float* sums, const Byte* ahead = nullptr) {
  using V = typename S::V;
  constexpr size_t panel = 2 * S::kLanes;
  V acc[R][2];
  Unroll<R>::run([&](auto r) {
    acc[r.value][0] = first ? S::zero() : S::load(sums + r.value * panel);
    acc[r.value][1] = first ? S::zero() : S::load(sums + r.value * panel + S::kLanes);
  });
  for (size_t k = 0; k < depth; ++k, x += R, b += panel) {
    if constexpr (AheadBytes > 0)
      for (size_t line = 0; line < lines(AheadBytes); ++line)
        S::prefetch_l2(ahead + k * AheadBytes + line * 64);
    S::template step<R>(acc, S::load(b), S::load(b + S::kLanes), x);
  }
  Unroll<R>::run([&](auto r) {
    S::store(sums + r.value * panel, acc[r.value][0]);
    S::store(sums + r.value * panel + S::kLanes, acc[r.value][1]);
  });
}

/// The last, lower tile: R rows or fewer.
template <class S, int R>
inline void low_tile(size_t rows, const float* x, const float* b, size_t depth, bool first,
                     float* sums) {
  if constexpr (R > 0) {
    if (rows == R) return tile<S, R>(x, b, depth, first, sums);
    low_tile<S, R - 1>(rows, x, b, depth, first, sums);
  }
}

template <class S, class C, class Out>
void blocked(const Weights& w, const Byte* packed, const float* x, size_t m, size_t n0, size_t n1,
             Out* y) {
  using L = Layout<S, C>;
  constexpr size_t panel = L::kPanel, rows_of_tile = S::kRows, kDepth = S::kDepth;
  const size_t bytes = L::panel_bytes(w.k, w.group);
  // Where all activations stay in L2 a panel can be read in one go, as it lies in memory.
  const size_t outputs_of_block =
      m * padded(w.k) * sizeof(float) <= S::kStaysInL2 ? panel : kBlockOutputs;
  alignas(64) float sums[kBlockRows * kBlockOutputs];
  alignas(64) float decoded[kDepth * panel];
  for (size_t m0 = 0; m0 < m; m0 += kBlockRows) {
    const size_t m1 = least(m0 + kBlockRows, m);
    for (size_t nb = n0; nb < n1; nb += outputs_of_block) {
      const size_t nb1 = least(nb + outputs_of_block, n1);
      if (w.k == 0) {
        for (float& v : sums) v = 0;
      }
      for (size_t k0 = 0; k0 < w.k; k0 += kDepth) {
        const size_t stride = least(kDepth, padded(w.k) - k0);  // of the workspace's tiles
        const size_t depth = L::kPads ? stride : least(kDepth, w.k - k0);
        for (size_t n = nb; n < nb1; n += panel) {
          const Byte* here = packed + n / panel * bytes;
          const float* b = decode<S, C>(w, here, k0, depth, decoded);
          float* to = sums + (n - nb) / panel * kBlockRows * panel;
          size_t row = m0;
          if constexpr (C::kBits >= 8) {
            // Weights this wide arrive in time only if asked for: the first tile asks for the block
            // that comes next.
            const Byte* next = n + panel < nb1
                                   ? here + bytes + L::offset(k0, w.group)
                                   : packed + nb / panel * bytes + L::offset(k0 + depth, w.group);
            if (row + rows_of_tile <= m1) {
              tile<S, int(rows_of_tile), panel * C::kBits / 8>(x + k0 * m + row * stride, b, depth,
                                                               k0 == 0, to, next);
              row += rows_of_tile;
            }
          }
          for (; row + rows_of_tile <= m1; row += rows_of_tile)
            tile<S, int(rows_of_tile)>(x + k0 * m + row * stride, b, depth, k0 == 0,
                                       to + (row - m0) * panel);
          low_tile<S, int(rows_of_tile) - 1>(m1 - row, x + k0 * m + row * stride, b, depth, k0 == 0,
                                             to + (row - m0) * panel);
        }
      }
      for (size_t row = m0; row < m1; ++row)
        for (size_t n = nb; n < nb1; n += panel)
          write<S>(sums + (n - nb) / panel * kBlockRows * panel + (row - m0) * panel,
                   least(panel, w.n - n), y + row * w.n + n);
    }
  }
}

}  // namespace
}  // namespace qb::matmul
