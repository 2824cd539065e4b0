// SPDX-License-Identifier: Apache-2.0
// Products of few rows with f32 sums: codes are decoded in registers, multiplied, and forgotten,
// since reading and decoding the weights binds one row.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a32/layout.h"

namespace qb::matmul {
namespace {

/// Bytes that the few-row kernels fetch ahead: the hardware's own prefetching stops at every page.
/// For one row, which memory binds, what is asked for much earlier costs bandwidth on a Zen 4
/// (docs/decisions/0006); f32 is read so fast that less than 512 comes too late.
constexpr size_t ahead_of(size_t bits, int rows) {
  return rows > 1 ? 1024 : bits == 32 ? 512 : 256;
}
/// Weights that need no decoding, fewer than so many bytes and so likely in cache, are faster left
/// to the hardware.
constexpr size_t kFar = size_t{16} << 20;

template <class C>
constexpr bool kScaled = C::kPerGroup || C::kPerOutput;

/// The scales at p of a panel's first or second vector of outputs.
template <class S, class C>
inline __attribute__((always_inline)) typename S::V load_scale(const Byte* p, size_t half) {
  const Byte* const at = p + half * S::kLanes * sizeof(typename C::Scale);
  if constexpr (C::kPerOutput)
    return S::load_bytes(at);
  else if constexpr (__is_same(typename C::Scale, bf16))
    return S::load_bf16(at);
  else
    return S::load_half(at);
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

/// Whether R rows scale each weight. It must be done if weights are rounded then; sums of every
/// group would need registers of their own, which many rows' do not leave.
template <class C, int R>
constexpr bool kScalesWeights = C::kRounds || (C::kPerGroup && R > 4);

/// Weight i of a step as the product of R rows takes it.
template <class S, class C, int R, int i, int half>
inline __attribute__((always_inline)) typename S::V weight(const Byte* p,
                                                           const typename S::V (&scale)[2]) {
  const typename S::V code = C::template get<i, half>(p);
  if constexpr (C::kRounds)
    return rounded<S, C>(S::mul(code, scale[half]));
  else if constexpr (kScalesWeights<C, R>)
    return S::mul(code, scale[half]);
  else
    return code;
}

/// acc[u][p][r][half] += the codes of `depth` k's times R rows of x, for P panels `stride` bytes
/// apart. k's take turns over U accumulators, which hide the latency of the sum. scale: of those
/// panels, where weights are scaled. ahead: what lies so many bytes on is fetched meanwhile.
template <class S, class C, int R, int P, int U>
inline __attribute__((always_inline)) void add_codes(const Byte* p, size_t stride, size_t ahead,
                                                     size_t depth, const float* x,
                                                     const typename S::V (&scale)[P][2],
                                                     typename S::V (&acc)[U][P][R][2]) {
  using V = typename S::V;
  constexpr size_t step_bytes = Layout<S, C>::kStepBytes;
  size_t k = 0;
  for (; k + kStep <= depth; k += kStep, p += step_bytes, x += kStep * R)
    Unroll<int(kStep)>::run([&](auto i) {
      constexpr int u = i.value % U;
      Unroll<P>::run([&](auto q) {
        constexpr size_t each = step_bytes / kStep, at = size_t(i.value) * each;
        if constexpr (at % 64 == 0)
          for (size_t line = 0; line < lines(each); ++line)
            S::prefetch(p + q.value * stride + at + line * 64 + ahead);
        const V w0 = weight<S, C, R, i.value, 0>(p + q.value * stride, scale[q.value]);
        const V w1 = weight<S, C, R, i.value, 1>(p + q.value * stride, scale[q.value]);
        Unroll<R>::run([&](auto r) {
          const V xr = S::set1(x + i.value * R + r.value);
          acc[u][q.value][r.value][0] = S::fma(xr, w0, acc[u][q.value][r.value][0]);
          acc[u][q.value][r.value][1] = S::fma(xr, w1, acc[u][q.value][r.value][1]);
        });
      });
    });
  if constexpr (!Layout<S, C>::kPads)
    for (; k < depth; ++k, p += step_bytes / kStep, x += R)
      Unroll<P>::run([&](auto q) {
        const V w0 = weight<S, C, R, 0, 0>(p + q.value * stride, scale[q.value]);
        const V w1 = weight<S, C, R, 0, 1>(p + q.value * stride, scale[q.value]);
        Unroll<R>::run([&](auto r) {
          const V xr = S::set1(x + r.value);
          acc[0][q.value][r.value][0] = S::fma(xr, w0, acc[0][q.value][r.value][0]);
          acc[0][q.value][r.value][1] = S::fma(xr, w1, acc[0][q.value][r.value][1]);
        });
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

/// R rows of P panels from outputs n, to y[m,n] of Out.
template <class S, class C, int R, int P, int U, class Out>
void fused(const Weights& w, const Byte* panel, size_t ahead, const float* x, size_t n, Out* y) {
  using V = typename S::V;
  using L = Layout<S, C>;
  const size_t stride = L::panel_bytes(w.k, w.group);
  V acc[U][P][R][2], scale[P][2];
  const auto load_scales = [&](const Byte* p) {
    Unroll<P * 2>::run([&](auto i) {
      constexpr int q = i.value / 2, half = i.value % 2;
      if constexpr (kScaled<C>) scale[q][half] = load_scale<S, C>(p + q * stride, half);
    });
  };
  alignas(64) float sums[P][R][L::kPanel];
  if constexpr (C::kPerGroup && !kScalesWeights<C, R>) {
    V total[1][P][R][2];
    clear<S, R, P, 1>(total);
    const Byte* p = panel;
    for (size_t k = 0; k < w.k; k += w.group, p += L::group_bytes(w.group)) {
      clear<S, R, P, U>(acc);
      add_codes<S, C, R, P, U>(p + L::kPanel * sizeof(typename C::Scale), stride, ahead, w.group,
                               x + k * R, scale, acc);
      join<S, R, P, U>(acc);
      load_scales(p);
      Unroll<P * 2>::run([&](auto i) {
        constexpr int q = i.value / 2, half = i.value % 2;
        Unroll<R>::run([&](auto r) {
          total[0][q][r.value][half] =
              S::fma(scale[q][half], acc[0][q][r.value][half], total[0][q][r.value][half]);
        });
      });
    }
    Unroll<P * R * 2>::run([&](auto i) {
      constexpr int j = i.value;
      S::store(&sums[j / (R * 2)][j / 2 % R][j % 2 * int(S::kLanes)],
               total[0][j / (R * 2)][j / 2 % R][j % 2]);
    });
  } else {
    constexpr size_t header = C::kPerOutput ? L::kPanel * sizeof(float) : 0;
    clear<S, R, P, U>(acc);
    if constexpr (C::kPerGroup) {
      const Byte* p = panel;
      for (size_t k = 0; k < w.k; k += w.group, p += L::group_bytes(w.group)) {
        load_scales(p);
        add_codes<S, C, R, P, U>(p + L::kPanel * sizeof(typename C::Scale), stride, ahead, w.group,
                                 x + k * R, scale, acc);
      }
    } else {
      if constexpr (C::kRounds) load_scales(panel);
      add_codes<S, C, R, P, U>(panel + header, stride, ahead, L::depth(w.k), x, scale, acc);
    }
    join<S, R, P, U>(acc);
    Unroll<P * R * 2>::run([&](auto i) {
      constexpr int j = i.value, q = j / (R * 2), half = j % 2;
      V v = acc[0][q][j / 2 % R][half];
      if constexpr (C::kPerOutput && !C::kRounds)
        v = S::mul(v, load_scale<S, C>(panel + q * stride, half));
      S::store(&sums[q][j / 2 % R][half * int(S::kLanes)], v);
    });
  }
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
  const bool left_alone = C::kBits >= 16 && L::packed_bytes(w.n, w.k, w.group) < kFar;
  const size_t ahead = left_alone ? 0 : ahead_of(C::kBits, R);
  size_t n = n0;
  if constexpr (P > 1)
    for (; n + (P - 1) * L::kPanel < n1; n += P * L::kPanel)
      fused<S, C, R, P, U>(w, packed + n / L::kPanel * bytes, ahead, x, n, y);
  for (; n < n1; n += L::kPanel)
    fused<S, C, R, 1, U>(w, packed + n / L::kPanel * bytes, ahead, x, n, y);
}

}  // namespace
}  // namespace qb::matmul
