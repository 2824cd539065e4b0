// SPDX-License-Identifier: Apache-2.0
// Products by vpdpbusd of 2-bit codes, for vectors of any length: a weight takes 2.06 bits of a
// panel as well, so that one row, which waits for the third cache or memory, waits half as long as
// with nibbles.
//
// Panel of 16 outputs: for each two blocks of 256 a line with twice 16 f16 scales, then the codes
// of both (of the last block alone if their number is odd). Of each half of a block eight lines:
// line j has dword j of four blocks of 32, block i in bits 2i and 2i+1 of every byte. Few rows
// shift and mask them in registers. For more rows a piece of K is unpacked to bytes in scratch, and
// all tiles read those. The next piece is not prefetched: unpacking reads it in order.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/vnni_add.h"

namespace qb::matmul {
namespace {

constexpr size_t kBlocksOfSuper = kSuperBlock / kBlock;
constexpr size_t kHalfSuper = 8 * kLine;  ///< bytes of a panel's 128 codes of each output

template <>
struct Kind<TwoBits, f16, ScalesAlone> : ByteCodes {
  using Codes = TwoBits;
  using Scale = f16;
  static constexpr int bits = Codes::bits;
  static constexpr bool per_block = true, kNibbles = false, kHeaders = false;
  static constexpr int kRaise = 0;
  static constexpr bool kPairedBlocks = true;
  static constexpr size_t kAhead = VnniBudget::ahead(bits, per_block);
  using Unpacked = Kind<Bytes, f16>;

  /// Where block b of 256 begins, behind its line of scales.
  static constexpr size_t super(size_t b) { return (b / 2 + 1) * kLine + b * 2 * kHalfSuper; }
  /// Where the piece of K that begins with block b of 32 begins: a whole number of pairs of 256.
  static constexpr size_t piece(size_t b, size_t) {
    return b ? super(b / kBlocksOfSuper) - kLine : 0;
  }
  static constexpr size_t bytes(size_t k, size_t) {
    const size_t blocks = k / kSuperBlock;
    return (blocks + 1) / 2 * kLine + blocks * 2 * kHalfSuper;
  }

  // What prepare() keeps of the sum of a block's codes: weights are multiplied 1 too large.
  static constexpr bool kInPairs = true;
  static std::int32_t of_row(std::int32_t sum) { return -sum; }
  static std::int32_t of_block(std::int32_t sum) { return -sum; }
};
using TwoBitKind = Kind<TwoBits, f16>;

// --- Packing -----------------------------------------------------------------------------------

/// Dwords of outputs side by side: the bytes of a half of F's blocks lie in the order of panels.
template <class F>
void pack_two_bits(const Weights& w, size_t n0, size_t n1, void* packed) {
  using K = TwoBitKind;
  for (size_t n = n0; n < n1; n += kPanel) {
    Byte* const panel = static_cast<Byte*>(packed) + n / kPanel * K::bytes(w.k, w.group);
    for (size_t b = 0; b < w.k / kSuperBlock; ++b) {
      Byte* const scales = panel + K::super(b / 2 * 2) - kLine + b % 2 * (kLine / 2);
      if (b % 2 == 0) __builtin_memset(scales, 0, kLine);
      for (size_t c = 0; c < kPanel; ++c) {
        Byte codes[kSuperBlock / 4] = {};
        if (n + c < w.n) {
          const f16 scale = F::scale(w, n + c, 2 * b);
          __builtin_memcpy(scales + c * sizeof scale, &scale, sizeof scale);
          F::two_bits(w, n + c, b, codes);
        }
        for (size_t j = 0; j < sizeof codes / 4; ++j)
          __builtin_memcpy(panel + K::super(b) + j * kLine + c * 4, codes + j * 4, 4);
      }
    }
  }
}

void unpack_two_bits(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1,
                     void* codes) {
  using K = TwoBitKind;
  for (size_t n = n0; n < n1; ++n) {
    const Byte* const panel = static_cast<const Byte*>(packed) + n / kPanel * K::bytes(k, group);
    for (size_t i = 0; i < k; ++i) {
      const size_t half = i / (kSuperBlock / 2), dword = i % kBlock / 4;
      const Byte* const line = panel + K::super(half / 2) + half % 2 * kHalfSuper + dword * kLine;
      const int four = line[n % kPanel * 4 + i % 4];
      static_cast<std::int8_t*>(codes)[n * k + i] =
          static_cast<std::int8_t>((four >> i / kBlock % 4 * 2 & 3) - 1);
    }
  }
}

// --- Few rows ----------------------------------------------------------------------------------

/// Adds block i of the half at each w to its sum, or all four blocks to four sums.
template <class V, int R, int C, int sets>
[[gnu::always_inline]] inline void add_two_bits(const Byte* const (&w)[panels_of<V>(C)],
                                                const Byte* x, size_t stride, int block,
                                                typename V::Int (&sum)[sets][R][C]) {
  constexpr int blocks = sets == 1 ? 1 : 4;
  QB_UNROLL for (int j = 0; j < 8; ++j) {
    typename V::Int v[C];
    QB_UNROLL for (int c = 0; c < C; ++c) v[c] =
        V::keep(V::load(w[panel_of<V>(c)] + part<V>(c, 4) + kLine * size_t(j)));
    QB_UNROLL for (int b = 0; b < blocks; ++b) {
      const int i = blocks == 1 ? block : b;
      typename V::Int codes[C];
      QB_UNROLL for (int c = 0; c < C; ++c) codes[c] = V::two_bits(v[c], i);
      QB_UNROLL for (int r = 0; r < R; ++r) {
        const auto x0 = V::broadcast(x + size_t(r) * stride + size_t(i) * kBlock + 4 * j);
        QB_UNROLL for (int c = 0; c < C; ++c) sum[b][r][c] = V::dot(sum[b][r][c], codes[c], x0);
      }
    }
  }
}

/// panel[p] holds the outputs from n[p] on, x and y R rows.
template <class V, int R, int C>
[[gnu::noinline]] void few_of_two_bits(const Call& call, const Byte* const* panel, const size_t* n,
                                       const Byte* x, float* y) {
  using Float = typename V::Float;
  constexpr int panels = panels_of<V>(C);
  constexpr int sets = 4 * R * C <= V::kFourSums ? 4 : 1;
  const size_t stride = call.x.stride;
  const Byte* s = x + call.x.scales;
  const Byte *w[panels], *scales[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) w[p] = scales[p] = panel[p];
  Float result[R][C];
  each_sum<R, C>([&](int r, int c) { result[r][c] = V::zero_float(); });
  for (size_t b = 0; b < call.blocks / kBlocksOfSuper; ++b) {
    if (b % 2 == 0) QB_UNROLL for (int p = 0; p < panels; ++p) {
        prefetch(w[p] + TwoBitKind::kAhead);
        scales[p] = w[p];
        w[p] += kLine;
      }
    Float group[R][C];
    each_sum<R, C>([&](int r, int c) { group[r][c] = V::zero_float(); });
    for (int half = 0; half < 2; ++half, x += 4 * kBlock, s += 4 * 8) {
      QB_UNROLL for (int p = 0; p < panels; ++p) QB_UNROLL for (size_t j = 0; j < 8; ++j)
          prefetch(w[p] + TwoBitKind::kAhead + j * kLine);
      QB_UNROLL for (int first = 0; first < 4; first += sets) {
        typename V::Int sum[sets][R][C];
        QB_UNROLL for (int i = 0; i < sets; ++i)
            begin_sums<V>(s + 8 * (first + i) + sizeof(float), stride, sum[i]);
        add_two_bits<V, R, C, sets>(w, x, stride, first, sum);
        QB_UNROLL for (int i = 0; i < sets; ++i) QB_UNROLL for (int r = 0; r < R; ++r) {
          const Float by = V::broadcast_float(s + size_t(r) * stride + 8 * (first + i));
          QB_UNROLL for (int c = 0; c < C; ++c) group[r][c] =
              V::fma(V::to_float(sum[i][r][c]), by, group[r][c]);
        }
        // Loaded once more: there are no registers to hold them in.
        if (sets == 1) QB_UNROLL for (int p = 0; p < panels; ++p) asm("" : "+r"(w[p]));
      }
      QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += kHalfSuper;
    }
    QB_UNROLL for (int c = 0; c < C; ++c) {
      const Float d =
          V::from_half(scales[panel_of<V>(c)] + b % 2 * (kLine / 2) + part<V>(c, sizeof(f16)));
      QB_UNROLL for (int r = 0; r < R; ++r) result[r][c] = V::fma(group[r][c], d, result[r][c]);
    }
  }
  store_results<V>(call, n, y, result);
}

// --- More rows ---------------------------------------------------------------------------------

/// `blocks` blocks of 32 of a panel, whole blocks of 256, to bytes: as a panel of bytes has them in
/// groups of 128, with a line of scales before each 256.
template <class V>
[[gnu::noinline]] void unpack_piece(const Byte* from, size_t blocks, Byte* to) {
  constexpr size_t vector = sizeof(typename V::Int);
  const Byte* scales = from;
  for (size_t b = 0; b < blocks / kBlocksOfSuper; ++b) {
    if (b % 2 == 0) {
      scales = from;
      from += kLine;
    }
    for (size_t group = 0; group < 2; ++group)
      __builtin_memcpy(to + group * (kLine / 2), scales + b % 2 * (kLine / 2), kLine / 2);
    to += kLine;
    for (size_t half = 0; half < 2; ++half, from += kHalfSuper, to += 4 * 8 * kLine)
      for (size_t at = 0; at < kHalfSuper; at += vector) {
        const auto v = V::load(from + at);
        QB_UNROLL for (int i = 0; i < 4; ++i)
            V::store(to + size_t(i) * 8 * kLine + at, V::two_bits(v, i));
      }
  }
}

}  // namespace
}  // namespace qb::matmul
