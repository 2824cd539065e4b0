// SPDX-License-Identifier: Apache-2.0
// What the vector classes of the instruction sets share, and how floats are decoded, which all of
// them do alike.
//
// A vector class S, of avx2.h, avx512.h, neon.h or xsimd.h, derives from Vectors<S> and brings
//
//   V, kLanes                          a vector of floats, and how many it holds
//   kRows, kDepth                      many rows: rows of a tile, k's that are decoded at a time
//   kStaysInL2                         bytes of activations that stay in L2
//   kMostFew                           the most rows that few_rows.h takes, if not 4
//   few<C>(rows)                       how it takes them
//   load, store, set1, all, zero       of floats
//   load_bytes, load_half, load_bf16   of floats, f16 and bf16 at any address, widened
//   load_s8                            of signed bytes, at any address, widened
//   store_half                         narrowed to f16
//   fma, nfma, mul, add                nfma(a, b, c) is c - a*b
//
// and, if what stands here does not serve it, functions of its own by the same names.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a32/layout.h"

namespace qb::matmul {
namespace {

template <class S>
struct Vectors {
  static void prefetch(const void* p) { __builtin_prefetch(p); }
  static void prefetch_l2(const void* p) { __builtin_prefetch(p, 0, 2); }

  /// The bits of a vector, if the compiler knows it as one.
  template <class V>
  struct Bits {
    typedef std::uint32_t type __attribute__((vector_size(sizeof(V))));
  };

  /// v's sign and exponent.
  template <class V>
  static V power(V v) {
    using U = typename Bits<V>::type;
    return (V)((U)v & 0xff800000u);
  }

  /// To the nearest bf16, ties to even; v is not NaN.
  template <class V>
  static V round_bf16(V v) {
    using U = typename Bits<V>::type;
    const U bits = (U)v;
    return (V)((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
  }

  /// acc[r] += x[r] times b, for R rows: a k of a tile.
  template <int R, class V>
  static inline __attribute__((always_inline)) void step(V (&acc)[R][2], V b0, V b1,
                                                         const float* x) {
    Unroll<R>::run([&](auto r) {
      const V xr = S::set1(x + r.value);
      acc[r.value][0] = S::fma(xr, b0, acc[r.value][0]);
      acc[r.value][1] = S::fma(xr, b1, acc[r.value][1]);
    });
  }

  // The last few go through a whole vector of their own.
  static void widen(const f16* x, size_t n, float* y) {
    size_t i = 0;
    for (; i + S::kLanes <= n; i += S::kLanes) S::store(y + i, S::load_half(x + i));
    if (i == n) return;
    f16 from[S::kLanes] = {};
    float to[S::kLanes];
    for (size_t j = 0; j < n - i; ++j) from[j] = x[i + j];
    S::store(to, S::load_half(from));
    for (size_t j = 0; j < n - i; ++j) y[i + j] = to[j];
  }
  static void narrow(const float* x, size_t n, f16* y) {
    size_t i = 0;
    for (; i + S::kLanes <= n; i += S::kLanes) S::store_half(y + i, S::load(x + i));
    if (i == n) return;
    float from[S::kLanes] = {};
    f16 to[S::kLanes];
    for (size_t j = 0; j < n - i; ++j) from[j] = x[i + j];
    S::store_half(to, S::load(from));
    for (size_t j = 0; j < n - i; ++j) y[i + j] = to[j];
  }
};

/// Codes that S widens as it loads them.
template <class S, class Code_>
struct WidenedByLoad {
  using Code = Code_;
  static constexpr size_t kBits = 8 * sizeof(Code);
  template <int i, int half>
  static typename S::V get(const Byte* p) {
    p += (i * 2 + half) * S::kLanes * sizeof(Code);
    if constexpr (__is_same(Code, float))
      return S::load_bytes(p);
    else if constexpr (__is_same(Code, f16))
      return S::load_half(p);
    else if constexpr (__is_same(Code, bf16))
      return S::load_bf16(p);
    else
      return S::load_s8(p);
  }
};
template <class S>
struct Decoder<S, Float32> : WidenedByLoad<S, float> {};
template <class S>
struct Decoder<S, Float16> : WidenedByLoad<S, f16> {};
template <class S>
struct Decoder<S, BFloat16> : WidenedByLoad<S, bf16> {};
template <class S>
struct Decoder<S, Bytes> : WidenedByLoad<S, std::int8_t> {};

}  // namespace
}  // namespace qb::matmul
