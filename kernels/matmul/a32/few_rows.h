// SPDX-License-Identifier: Apache-2.0
// Products of few rows with f32 sums: codes are decoded in registers, multiplied, and forgotten,
// since reading and decoding the weights binds one row.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "core/budgets.h"
#include "matmul/a32/activations.h"

namespace qb::matmul {
namespace {

template <class C>
constexpr bool kScaled = C::kPerGroup || C::kPerOutput;

/// Vectors that scale a panel's weights: of scales, and of minima with their sign turned.
template <class C>
constexpr int kFactors = C::kMinimum ? 4 : 2;

/// The scales at p of a panel's first or second vector of outputs.
template <class S, class C>
inline __attribute__((always_inline)) typename S::V load_scale(const Byte* p, size_t half) {
  using Scale = typename C::Scale;
  if constexpr (C::kMinimum || sizeof(Scale) == sizeof(float))
    return S::load_bytes(p + half * S::kLanes * sizeof(float));
  else if constexpr (__is_same(Scale, bf16))
    return S::load_bf16(p + half * S::kLanes * sizeof(Scale));
  else
    return S::load_half(p + half * S::kLanes * sizeof(Scale));
}

/// All factors of a panel's group whose header is at p; at `block`, that of its block.
template <class S, class C>
inline __attribute__((always_inline)) void load_factors([[maybe_unused]] const Byte* block,
                                                        const Byte* p,
                                                        typename S::V (&factors)[kFactors<C>]) {
  if constexpr (C::kTwoLevels) {
    Unroll<kFactors<C>>::run([&](auto i) {
      const size_t lane = size_t(i.value) * S::kLanes;
      factors[i.value] = S::mul(S::load_half(block + lane * sizeof(f16)), S::load_s8(p + lane));
    });
  } else {
    factors[0] = load_scale<S, C>(p, 0);
    factors[1] = load_scale<S, C>(p, 1);
    if constexpr (C::kMinimum)
      Unroll<2>::run([&](auto half) {
        const typename S::V minimum = load_scale<S, C>(p, size_t(2 + half.value));
        factors[2 + half.value] = S::nfma(minimum, S::all(1.0f), S::zero());
      });
  }
}

/// One row of a panel's sums to y; the last panel may have fewer outputs than columns.
template <class S>
inline void write(const float* sums, size_t outputs, float* y) {
  if (outputs == 2 * S::kLanes) {
    S::store(y, S::load(sums));
    S::store(y + S::kLanes, S::load(sums + S::kLanes));
  } else if constexpr (requires { S::store_first(y, outputs, S::zero()); }) {
    const size_t first = least(outputs, S::kLanes);
    S::store_first(y, first, S::load(sums));
    S::store_first(y + first, outputs - first, S::load(sums + S::kLanes));
  } else {
    for (size_t j = 0; j < outputs; ++j) y[j] = sums[j];
  }
}
template <class S>
inline void write(const float* sums, size_t outputs, f16* y) {
  S::narrow(sums, outputs, y);
}

/// A scaled code, rounded to bf16.
template <class S, class C>
inline __attribute__((always_inline)) typename S::V rounded(typename S::V v) {
  if constexpr (C::kPerGroup) {
    // f16 scales make neither subnormal products nor such as overflow when 65536 times as large,
    // and the sum of v and 65536 times v's power of two has bf16's last place as its own.
    const typename S::V power = S::power(v), large = S::all(65536.0f);
    return S::nfma(power, large, S::fma(power, large, v));
  } else {
    return S::round_bf16(v);
  }
}

/// A code as the weight it stands for.
template <class S, class C, int half>
inline __attribute__((always_inline)) typename S::V dequantized(
    typename S::V code, const typename S::V (&factors)[kFactors<C>]) {
  typename S::V v;
  if constexpr (C::kMinimum)
    v = S::fma(code, factors[half], factors[2 + half]);
  else
    v = S::mul(code, factors[half]);
  if constexpr (C::kRounds) v = rounded<S, C>(v);
  return v;
}

/// Whether R rows scale each weight. It must be done if weights are rounded then, or if a minimum
/// is taken off; sums of every group would need registers of their own, which many rows' do not
/// leave.
template <class C, int R>
constexpr bool kScalesWeights = C::kRounds || C::kMinimum || (C::kPerGroup && R > 4);

/// Weight i of a step as the product of R rows takes it.
template <class S, class C, int R, int i, int half>
inline __attribute__((always_inline)) typename S::V weight(
    const Byte* p, const typename S::V (&scale)[kFactors<C>]) {
  const typename S::V code = C::template get<i, half>(p);
  if constexpr (kScalesWeights<C, R>)
    return dequantized<S, C, half>(code, scale);
  else
    return code;
}

/// R rows of the workspace (activations.h) from some k on.
template <int R>
struct Rows {
  static constexpr bool kPlain = size_t(R) <= kPlainRows;
  const float* x;
  size_t stride;  ///< of plain rows
  Rows(const float* workspace, size_t k) : x(workspace), stride(padded(k)) {}
  /// Of row r, k i.
  inline __attribute__((always_inline)) const float* at(size_t i, size_t r) const {
    return kPlain ? x + r * stride + i : x + i * R + r;
  }
  inline __attribute__((always_inline)) void advance(size_t k) { x += kPlain ? k : k * R; }
};

/// acc[u][p][r][half] += the codes of `depth` k's times R rows, which advance, for P panels
/// `stride` bytes apart; of the last only the first vector if kHalf. k's take turns over U
/// accumulators, which hide the latency of the sum. scale: of those panels, where weights are
/// scaled. ahead: what lies so many bytes on is fetched meanwhile.
template <class S, class C, int R, int P, int U, bool kHalf>
inline __attribute__((always_inline)) void add_codes(const Byte* p, size_t stride, size_t ahead,
                                                     size_t depth, Rows<R>& rows,
                                                     const typename S::V (&scale)[P][kFactors<C>],
                                                     typename S::V (&acc)[U][P][R][2]) {
  using V = typename S::V;
  constexpr size_t step_bytes = Layout<S, C>::kStepBytes;
  const auto add = [&](auto i, auto q, auto u, const Byte* codes, size_t k)
      __attribute__((always_inline)) {
    constexpr bool both = !(kHalf && q.value == P - 1);
    const V w0 = weight<S, C, R, i.value, 0>(codes, scale[q.value]);
    V w1;
    if constexpr (both) w1 = weight<S, C, R, i.value, 1>(codes, scale[q.value]);
    Unroll<R>::run([&](auto r) __attribute__((always_inline)) {
      V(&sum)[2] = acc[u.value][q.value][r.value];
      const V xr = S::set1(rows.at(k, size_t(r.value)));
      sum[0] = S::fma(xr, w0, sum[0]);
      if constexpr (both) sum[1] = S::fma(xr, w1, sum[1]);
    });
  };
  size_t k = 0;
  for (; k + kStep <= depth; k += kStep, p += step_bytes, rows.advance(kStep))
    Unroll<int(kStep) * P>::run([&](auto j) __attribute__((always_inline)) {
      constexpr int i = j.value / P, q = j.value % P;
      constexpr size_t each = step_bytes / kStep, at = i * each;
      // What is left to the hardware spares the load ports, which tiny products fill.
      if (at % 64 == 0 && (C::kBits < 16 || ahead))
        for (size_t line = 0; line < lines(each); ++line)
          S::prefetch(p + q * stride + at + line * 64 + ahead);
      add(Int<i>{}, Int<q>{}, Int<i % U>{}, p + q * stride, i);
    });
  if constexpr (!Layout<S, C>::kPads)
    for (; k < depth; ++k, p += step_bytes / kStep, rows.advance(1))
      Unroll<P>::run([&](auto q) __attribute__((always_inline)) {
        add(Int<0>{}, q, Int<0>{}, p + q.value * stride, 0);
      });
}

template <class S, int R, int P, int U>
inline __attribute__((always_inline)) void clear(typename S::V (&acc)[U][P][R][2]) {
  Unroll<U * P * R * 2>::run([&](auto i) {
    constexpr int j = i.value;
    acc[j / (P * R * 2)][j / (R * 2) % P][j / 2 % R][j % 2] = S::zero();
  });
}

/// acc[0] += the other turns' sums.
template <class S, int R, int P, int U>
inline __attribute__((always_inline)) void join(typename S::V (&acc)[U][P][R][2]) {
  Unroll<(U - 1) * P * R * 2>::run([&](auto i) {
    constexpr int j = i.value % (P * R * 2);
    auto& to = acc[0][j / (R * 2)][j / 2 % R][j % 2];
    to = S::add(to, acc[1 + i.value / (P * R * 2)][j / (R * 2)][j / 2 % R][j % 2]);
  });
}

/// The factors of P panels, where there are any.
template <class S, class C, int P>
inline __attribute__((always_inline)) void load_scales(const Byte* block, const Byte* p,
                                                       size_t stride,
                                                       typename S::V (&scale)[P][kFactors<C>]) {
  if constexpr (kScaled<C>)
    Unroll<P>::run([&](auto q) {
      load_factors<S, C>(block + q.value * stride, p + q.value * stride, scale[q.value]);
    });
}

/// total += scale times sum.
template <class S, int R, int P, size_t kScales>
inline __attribute__((always_inline)) void add_scaled(const typename S::V (&sum)[P][R][2],
                                                      const typename S::V (&scale)[P][kScales],
                                                      typename S::V (&total)[P][R][2]) {
  Unroll<P * 2>::run([&](auto i) {
    constexpr int q = i.value / 2, half = i.value % 2;
    Unroll<R>::run([&](auto r) {
      auto& to = total[q][r.value][half];
      to = S::fma(scale[q][half], sum[q][r.value][half], to);
    });
  });
}

/// acc[0] = the sums of R rows of P panels at `panel`: each weight is scaled, or the sums are.
template <class S, class C, int R, int P, int U, bool kHalf>
inline __attribute__((always_inline)) void sum_panels(const Weights& w, const Byte* panel,
                                                      size_t ahead, Rows<R>& rows,
                                                      typename S::V (&acc)[U][P][R][2]) {
  using V = typename S::V;
  using L = Layout<S, C>;
  constexpr bool scales_sums = C::kPerGroup && !kScalesWeights<C, R>;
  const size_t stride = L::panel_bytes(w.k, w.group);
  V scale[P][kFactors<C>];
  clear<S, R, P, U>(acc);
  if constexpr (!C::kPerGroup) {
    if constexpr (C::kRounds) load_scales<S, C, P>(panel, panel, stride, scale);
    add_codes<S, C, R, P, U, kHalf>(panel + L::kHeader, stride, ahead, L::depth(w.k), rows, scale,
                                    acc);
    join<S, R, P, U>(acc);
    if constexpr (C::kPerOutput && !C::kRounds) {
      load_scales<S, C, P>(panel, panel, stride, scale);
      Unroll<P * R * 2>::run([&](auto i) {
        constexpr int q = i.value / (R * 2), r = i.value / 2 % R, half = i.value % 2;
        acc[0][q][r][half] = S::mul(acc[0][q][r][half], scale[q][half]);
      });
    }
  } else {
    V total[1][P][R][2];
    if constexpr (scales_sums) clear<S, R, P, 1>(total);
    const Byte *p = panel, *block = panel;
    for (size_t k = 0; k < w.k; k += w.group, p += L::group_bytes(w.group)) {
      if constexpr (C::kTwoLevels)
        if (k % kSuperBlock == 0) {
          block = p;
          p += L::kBlockHeader;
        }
      if constexpr (scales_sums)
        clear<S, R, P, U>(acc);
      else
        load_scales<S, C, P>(block, p, stride, scale);
      add_codes<S, C, R, P, U, kHalf>(p + L::kHeader, stride, ahead, w.group, rows, scale, acc);
      if constexpr (scales_sums) {
        join<S, R, P, U>(acc);
        load_scales<S, C, P>(block, p, stride, scale);
        add_scaled<S, R, P>(acc[0], scale, total[0]);
      }
    }
    if constexpr (!scales_sums)
      join<S, R, P, U>(acc);
    else
      Unroll<P * R * 2>::run([&](auto i) {
        constexpr int q = i.value / (R * 2), r = i.value / 2 % R, half = i.value % 2;
        acc[0][q][r][half] = total[0][q][r][half];
      });
  }
}

/// R rows of P panels from outputs n, to y[m,n] of Out. kHalf: the last panel has no more outputs
/// than a vector.
template <class S, class C, int R, int P, int U, bool kHalf, class Out>
void fused(const Weights& w, const Byte* panel, size_t ahead, const float* x, size_t n, Out* y) {
  using L = Layout<S, C>;
  typename S::V acc[U][P][R][2];
  Rows<R> rows(x, w.k);
  sum_panels<S, C, R, P, U, kHalf>(w, panel, ahead, rows, acc);
  alignas(64) float sums[P][R][L::kPanel];
  Unroll<P * R * 2>::run([&](auto i) {
    constexpr int q = i.value / (R * 2), r = i.value / 2 % R, half = i.value % 2;
    S::store(&sums[q][r][half * int(S::kLanes)], acc[0][q][r][half]);
  });
  for (int q = 0; q < P; ++q)
    for (int r = 0; r < R; ++r) {
      const size_t first = n + size_t(q) * L::kPanel;
      write<S>(sums[q][r], least(L::kPanel, w.n - first), y + size_t(r) * w.n + first);
    }
}

/// Outputs [n0, n1) of R rows. P panels at a time, then one by one.
template <class S, class C, int R, int P, int U, class Out>
void fused_range(const Weights& w, const Byte* packed, const float* x, size_t n0, size_t n1,
                 Out* y) {
  using L = Layout<S, C>;
  const size_t bytes = L::panel_bytes(w.k, w.group);
  const bool left_alone =
      C::kBits >= 16 && L::packed_bytes(w.n, w.k, w.group) < F32SumsBudget::kFar;
  const size_t ahead = left_alone ? 0 : F32SumsBudget::ahead(C::kBits, R);
  const auto panel = [&](size_t n) { return packed + n / L::kPanel * bytes; };
  size_t n = n0;
  if constexpr (P > 1)
    for (size_t last; last = n + (P - 1) * L::kPanel, last < n1; n += P * L::kPanel) {
      const bool half = last + S::kLanes >= n1;
      (half ? fused<S, C, R, P, U, true, Out> : fused<S, C, R, P, U, false, Out>)(w, panel(n),
                                                                                  ahead, x, n, y);
    }
  for (; n < n1; n += L::kPanel) fused<S, C, R, 1, U, false>(w, panel(n), ahead, x, n, y);
}

}  // namespace
}  // namespace qb::matmul
