// SPDX-License-Identifier: Apache-2.0
// What the products by vdpbf16ps share: rows of activations, how the sums of a panel lie in
// registers and leave them, and the numbers that were tuned.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "core/budgets.h"
#include "matmul/rows_avx512.h"

namespace qb::matmul {
namespace {

constexpr size_t kPanel = 16;      // outputs
constexpr size_t kVector = 64;     // bytes
constexpr size_t kUnit = 16 * 64;  // a block of K of a panel, bf16

using Budget = Avx512Bf16Budget;
constexpr size_t kBlockRows = Budget::kRows, kBlockOutputs = Budget::kOutputs;
constexpr size_t kDecoded = Budget::kDecoded, kDepth = Budget::kDepth, kFar = Budget::kFar;
constexpr size_t kStaysInL2 = Budget::kActivationsInL2;
constexpr size_t ahead(int rows) { return Budget::ahead(rows); }
constexpr size_t in_quads(int rows) { return Budget::in_quads(rows); }

constexpr size_t blocks_of(size_t k) { return quotient_up(k, kBlock); }

// Bytes of a row of the workspace, up to a whole pair of blocks: an odd number of lines, so that
// rows share no set of L1.
constexpr size_t row_bytes(size_t k) { return (blocks_of(k) + 1) / 2 * 4 * kBlock + kVector; }

// --- Layouts -----------------------------------------------------------------------------------

// A step is `vectors` registers; they cover `depth` of K for 16 outputs. place(c, k): byte offset
// of weight k of output c in a block. output(q, l): the output in lane l of quarter q of a step.

/// Eight of K of four outputs: q, 4+q, 8+q and 12+q in vector q.
struct Eights {
  static constexpr size_t vectors = 4, depth = 8;
  static constexpr int rows = 6;  ///< of a tile
  static constexpr size_t place(size_t c, size_t k) {
    return k / 8 * 256 + c % 4 * 64 + c / 4 * 16 + k % 8 * 2;
  }
  /// A load that shuffles as well.
  static __m512i repeated(const Byte* x) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
  }
  /// Element e of lane l: the sum of vector e's lane l.
  static __m512 lanes(const __m512 (&sum)[vectors]) {
    const auto halved = [](__m512 a, __m512 b) {
      return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    };
    const __m512d a = _mm512_castps_pd(halved(sum[0], sum[1]));
    const __m512d b = _mm512_castps_pd(halved(sum[2], sum[3]));
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  /// Sums in four parts each to those of 16 outputs in order.
  static __m512 joined(const __m512 (&sum)[vectors]) { return lanes(sum); }
};

/// Four of K of eight outputs: 0, 1, 4, 5, 8, 9, 12 and 13 in vector 0.
struct Fours {
  static constexpr size_t vectors = 2, depth = 4;
  static constexpr int rows = 12;
  static constexpr size_t output(size_t q, size_t l) {
    return q % 2 * 8 + q / 2 * 2 + l / 2 * 4 + l % 2;
  }
  static constexpr size_t place(size_t c, size_t k) {
    return k / 4 * 128 + c / 2 % 2 * 64 + (c / 4 * 2 + c % 2) * 8 + k % 4 * 2;
  }
  /// A mere load.
  static __m512i repeated(const Byte* x) {
    long long four;
    __builtin_memcpy(&four, x, sizeof four);
    return _mm512_set1_epi64(four);
  }
  static __m512 joined(const __m512 (&sum)[vectors]) {
    return _mm512_add_ps(_mm512_shuffle_ps(sum[0], sum[1], 0x88),
                         _mm512_shuffle_ps(sum[0], sum[1], 0xdd));
  }
};

template <class L>
constexpr size_t kSteps = kBlock / L::depth;

// --- Activations ---------------------------------------------------------------------------------

/// Rows as they are, zeros behind them up to a pair of blocks.
void prepare(const void* x, size_t, size_t k, size_t, size_t m0, size_t m1, void* workspace) {
  for (size_t row = m0; row < m1; ++row) {
    const float* const from = static_cast<const float*>(x) + row * k;
    Byte* const to = static_cast<Byte*>(workspace) + row * row_bytes(k);
    size_t i = 0;
    for (; i + kBlock <= k; i += kBlock)
      store(to + 2 * i, rounded(_mm512_loadu_ps(from + i), _mm512_loadu_ps(from + i + 16)));
    if (i < k)
      store(to + 2 * i, rounded(load_some(from + i, first(k - i)),
                                load_some(from + i + 16, first(k - i) >> 16)));
    if (blocks_of(k) % 2) store(to + blocks_of(k) * kVector, _mm512_setzero_si512());
  }
}

size_t workspace_bytes(size_t m, size_t, size_t k, size_t) { return m * row_bytes(k); }

// --- Products ----------------------------------------------------------------------------------

/// Keeps the compiler from holding what it read at p: there are no registers to hold it in.
inline void forget(const Byte*& p) { asm("" : "+r"(p)); }

/// Activations last: they may be broadcast by the instruction itself.
inline __m512 dot(__m512 sum, __m512i a, __m512i b) {
#if defined(__clang__) && (__clang_major__ == 16 || __clang_major__ == 17)
  // Their VectorCombine recurses without end where it asks for the cost of a broadcast of bf16.
  asm("" : "+v"(b));
#endif
  return _mm512_dpbf16_ps(sum, __builtin_bit_cast(__m512bh, a), __builtin_bit_cast(__m512bh, b));
}

/// Where the sums of panels side by side come from (null: from nothing) and go to, a row each.
struct Sums {
  const float* from;
  float* to;
  size_t stride;   ///< of `to`; `from` is of one panel, without gaps
  size_t outputs;  ///< that are there
};

template <class L, int R>
[[gnu::always_inline]] inline void clear(__m512 (&sum)[R][L::vectors]) {
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (size_t v = 0; v < L::vectors; ++v)
      sum[r][v] = _mm512_setzero_ps();
}

/// A panel's sums, `before` outputs behind the first of `sums`.
template <class L, int R>
[[gnu::always_inline]] inline void write(const __m512 (&sum)[R][L::vectors], size_t before,
                                         const Sums& sums) {
  QB_UNROLL for (int r = 0; r < R; ++r) {
    __m512 y = L::joined(sum[r]);
    if (sums.from) y = _mm512_add_ps(y, _mm512_loadu_ps(sums.from + size_t(r) * kPanel));
    _mm512_mask_storeu_ps(sums.to + size_t(r) * sums.stride + before,
                          static_cast<__mmask16>(first(sums.outputs - before)), y);
  }
}

/// R rows of the workspace. Of every third a pointer is kept: an address adds the stride once or
/// twice.
template <int R>
struct Rows {
  const Byte* third[(R + 2) / 3];
  size_t stride;
  Rows(const Byte* x, size_t x_stride) : stride(x_stride) {
    QB_UNROLL for (int r = 0; r < R; r += 3) third[r / 3] = x + size_t(r) * x_stride;
  }
  [[gnu::always_inline]] const Byte* operator[](int r) const {
    return third[r / 3] + size_t(r % 3) * stride;
  }
  [[gnu::always_inline]] void advance(size_t bytes) {
    QB_UNROLL for (int r = 0; r < R; r += 3) {
      third[r / 3] += bytes;
      forget(third[r / 3]);
    }
  }
};

/// What the products of one call have in common.
struct Call {
  size_t k, group;
  size_t blocks;        ///< of K
  size_t group_blocks;  ///< that share scales
  size_t panel;         ///< bytes of a panel
  size_t x_stride;      ///< bytes from row to row of the workspace
};

}  // namespace
}  // namespace qb::matmul
