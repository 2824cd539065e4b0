// SPDX-License-Identifier: Apache-2.0
// Products with f32 sums, as every vector variant does them. The variant's file brings the vectors
// (a class S) and how codes become floats (Decoder); layout.h says how weights are packed.
//
// Few rows (up to four, or to a tile where the registers suffice) decode codes in registers
// (few_rows.h). Storing what is decoded would add to the FMAs that bind more rows: only then is it
// shared (many_rows.h).
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a32/activations.h"
#include "matmul/a32/many_rows.h"
#include "matmul/a32/vectors.h"

namespace qb::matmul {
namespace {

/// How few rows go: panels at a time, and accumulators that k's take turns over.
struct Few {
  int panels, turns;
};

/// For 16 registers.
template <class C>
constexpr Few few_in_16(int rows) {
  // Memory binds the wider codes, and several streams of them arrive faster than one; decoding
  // binds those of 4 bits and what is rounded.
  const bool decoding = C::kBits == 4 || C::kRounds;
  if (rows == 1) return decoding ? Few{1, 4} : C::kBits == 8 ? Few{2, 2} : Few{4, 1};
  if (rows == 2) return decoding || C::kBits == 8 ? Few{1, 2} : Few{2, 1};
  return {1, 1};
}

template <class S, class C, int R>
void few_rows(const Weights& w, const Byte* packed, const float* x, size_t n0, size_t n1,
              float* y) {
  constexpr Few few = S::template few<C>(R);
  fused_range<S, C, R, few.panels, few.turns>(w, packed, x, n0, n1, y);
}

/// How many rows are few: as many as can be multiplied with a weight while it is in a register.
template <class S>
constexpr int most_few() {
  if constexpr (requires { S::kMostFew; })
    return S::kMostFew;
  else
    return 4;
}

template <class S, class C, int R>
inline void run_rows(const Weights& w, const Byte* packed, const float* x, size_t m, size_t n0,
                     size_t n1, float* y) {
  if (m > R) return blocked<S, C>(w, packed, x, m, n0, n1, y);
  if (m == R) return few_rows<S, C, R>(w, packed, x, n0, n1, y);
  if constexpr (R > 1) run_rows<S, C, R - 1>(w, packed, x, m, n0, n1, y);
}

template <class S, class C>
void run(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
         size_t n0, size_t n1, void* y) {
  run_rows<S, C, most_few<S>()>(w, static_cast<const Byte*>(packed),
                                static_cast<const float*>(workspace), m, n0, n1,
                                static_cast<float*>(y));
}

/// The notebook's product: every sum in k order, so only panels can hide the latency.
template <class S, class C, int R>
inline void run_f16_rows(const Weights& w, const Byte* packed, const float* x, size_t m, size_t n0,
                         size_t n1, f16* y) {
  constexpr int panels = R == 1 ? 4 : R == 2 ? 2 : 1;
  if (m > R) return blocked<S, C>(w, packed, x, m, n0, n1, y);
  if (m == R) return fused_range<S, C, R, panels, 1>(w, packed, x, n0, n1, y);
  if constexpr (R > 1) run_f16_rows<S, C, R - 1>(w, packed, x, m, n0, n1, y);
}

template <class S, class C>
void run_f16(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
             size_t n0, size_t n1, void* y) {
  run_f16_rows<S, C, most_few<S>()>(w, static_cast<const Byte*>(packed),
                                    static_cast<const float*>(workspace), m, n0, n1,
                                    static_cast<f16*>(y));
}

// Records. Constant expressions: no dynamic initialisation.

template <class S, class F>
constexpr Kernel kernel_a32() {
  using C = Codec<S, F>;
  using L = Layout<S, C>;
  return {L::kPanel,       L::packed_bytes, L::pack,           L::unpack,
          workspace_bytes, S::kRows,        prepare<S, float>, run<S, typename C::Loops>};
}
/// Whether code times scale may need more than bf16's eight significant bits. It does not if the
/// scale is a power of two (mxfp4), nor for E2M1's two bits times E4M3's four (nvfp4).
template <class Scale>
constexpr bool kRoundsToBf16 = !__is_same(Scale, bf16) && !__is_same(Scale, HalfOf16);

/// Both factors rounded to bf16: their products are exact in f32.
template <class S, class C>
constexpr Kernel kernel_of_rounded() {
  using L = Layout<S, C>;
  return {L::kPanel,
          L::packed_bytes,
          L::pack,
          L::unpack,
          workspace_bytes,
          S::kRows,
          prepare<S, float, true>,
          run<S, typename C::Loops>};
}
template <class S, class F>
constexpr Kernel kernel_abf16() {
  if constexpr (__is_same(F, source::f16))
    return {};
  else if constexpr (__is_same(F, source::f32))
    return kernel_of_rounded<S, Codec<S, RoundedF32>>();
  else
    return kernel_of_rounded<S, Codec<S, F, kRoundsToBf16<typename F::Scale>>>();
}
template <class S>
constexpr Kernel kernel_f16() {
  using C = Codec<S, source::f16>;
  using L = Layout<S, C>;
  return {L::kPanel,       L::packed_bytes, L::pack,         L::unpack,
          workspace_bytes, S::kRows,        prepare<S, f16>, run_f16<S, typename C::Loops>};
}

template <class S>
constexpr Kernels kernels_a32() {
  return every_format([](auto format) { return kernel_a32<S, decltype(format)>(); });
}
template <class S>
constexpr Kernels kernels_abf16() {
  return every_format([](auto format) { return kernel_abf16<S, decltype(format)>(); });
}
template <class S>
constexpr Kernels kernels_f16() {
  return {.f16 = kernel_f16<S>()};
}

}  // namespace
}  // namespace qb::matmul
