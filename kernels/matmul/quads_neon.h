// SPDX-License-Identifier: Apache-2.0
// Weights in panels of quads on NEON: four outputs whose words stand side by side, so that an
// instruction which adds up a word's products leaves the sums of four outputs in the lanes of one
// register (or, if it takes two outputs at a time, of two). How AArch64's variants for SDOT, SMMLA
// and BFMMLA pack; a class S says how long a word is (S::kWord codes along K) and interleaves them.
//
// Panels of 8 outputs. For each group 8 f16 scales (or f32 scales and minima; or two scales, of the
// first 16 codes and of the others), then its blocks of 32; for one scale per output 8 f32
// scales, then all blocks. A block: two quads. 4-bit codes have K+0..15 in the low nibbles,
// K+16..31 in the high ones, integers as two's complement. Those are taken 16 times too large, by a
// shift or a mask; the conversion to float, which has a fixed point, takes the 16 away.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <arm_neon.h>

#include "core/budgets.h"
#include "core/unroll.h"
#include "matmul/a8/activations.h"
#include "matmul/source.h"

namespace qb::matmul {
namespace {

using std::size_t;
using Byte = std::uint8_t;  // std::byte's operators are functions, which would be shared weakly

constexpr size_t kQuad = 4;   // outputs, or rows, side by side
constexpr size_t kPanel = 8;  // outputs
constexpr size_t kStep = 16;  // outputs that few rows take at a time
constexpr size_t kAhead = NeonBudget::kAhead;

constexpr size_t least(size_t a, size_t b) { return a < b ? a : b; }

/// Byte of code k (of a block) of output or row i in a quad.
template <class S>
constexpr size_t place(size_t k, size_t i) {
  return (k / S::kWord * kQuad + i) * S::kWord + k % S::kWord;
}

/// For an S whose words are four codes: one 32-bit lane.
struct WordsOf4 {
  static constexpr size_t kWord = 4;

  /// 16 bytes of each of four rows to 64: words in turn.
  static void interleave(Byte* to, uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
    const uint32x4x4_t words = {{vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b),
                                 vreinterpretq_u32_u8(c), vreinterpretq_u32_u8(d)}};
    vst4q_u32(reinterpret_cast<std::uint32_t*>(to), words);
  }
};

/// What the products need to know of a format.
template <class Codes_, class Scale_>
struct Kind {
  using Codes = Codes_;
  using Scale = Scale_;
  static constexpr int bits = Codes::bits;
  static constexpr bool per_block = kOfGroups<Scale>;
  static constexpr bool minimum = kHasMinimum<Scale>;
  static constexpr bool halves = kUnitOf<Scale> != kBlock;  ///< of a block: each has a scale
  /// Blocks that share scales, or the scales of both their halves.
  static size_t group_blocks(size_t k, size_t group) {
    return halves ? 1 : per_block ? group / kBlock : blocks_of(k);
  }

  // Bytes in a panel.
  static constexpr size_t quad = kBlock * kQuad * bits / 8;
  static constexpr size_t block = 2 * quad;
  static constexpr size_t scale = bits == 16 ? 0 : minimum ? sizeof(float) : sizeof(Scale);
  static constexpr size_t scales = kPanel * scale * (minimum || halves ? 2 : 1);
  static size_t groups(size_t k, size_t group) {
    return per_block ? blocks_of(k) / group_blocks(k, group) : 1;
  }
  static size_t panel(size_t k, size_t group) {
    return groups(k, group) * scales + blocks_of(k) * block;
  }
};

template <class F>
using KindOf = Kind<typename F::Codes, typename F::Scale>;

// --- Packing -----------------------------------------------------------------------------------

/// What both codes of a byte, 0 to 15, are xor'ed with to be packed: integers to two's complement.
template <class Codes>
constexpr Byte kSigns = __is_same(Codes, Nibbles) ? 0x88 : 0;

/// Block b of output n as bytes of a quad's row: zeros where nothing is, nibbles in the order that
/// panels have them.
template <class F>
inline uint8x16x2_t codes_of(const Weights& w, size_t n, size_t b) {
  constexpr size_t bytes = kBlock * F::Codes::bits / 8;
  uint8x16x2_t v = {{vdupq_n_u8(0), vdupq_n_u8(0)}};
  if (n >= w.n) return v;
  Byte padded[bytes] = {};
  const Byte* from = block_codes<F>(w, n, b, padded);
  if constexpr (!kGathered<F>) {
    const size_t count = F::row(w.k) - (b * F::block + F::codes);
    if (count < bytes) {
      __builtin_memcpy(padded, from, count);
      from = padded;
    }
  }
  v.val[0] = vld1q_u8(from);
  if constexpr (F::Codes::bits == 8) {
    v.val[1] = vld1q_u8(from + 16);
  } else if constexpr (F::neighbours) {
    const uint8x16_t even = vandq_u8(v.val[0], vdupq_n_u8(15)), odd = vshrq_n_u8(v.val[0], 4);
    v.val[0] = vsliq_n_u8(vzip1q_u8(even, odd), vzip2q_u8(even, odd), 4);
  }
  if constexpr (F::Codes::bits == 4 && kSigns<typename F::Codes> != 0x11 * F::flip)
    v.val[0] = veorq_u8(v.val[0],
                        vdupq_n_u8(static_cast<Byte>(kSigns<typename F::Codes> ^ 0x11 * F::flip)));
  return v;
}

template <class F>
size_t packed_bytes(size_t n, size_t k, size_t group) {
  return (n + kPanel - 1) / kPanel * KindOf<F>::panel(k, group);
}

/// Scales of group g of `panel` outputs, with minima behind them; or of both halves of block g.
template <class F>
inline void put_group(const Weights& w, size_t n, size_t g, size_t panel, Byte* to) {
  if constexpr (kUnitOf<typename F::Scale> == kBlock) {
    put_scales<F>(w, n, g, panel, to);
  } else {
    put_scales<F>(w, n, 2 * g, panel, to);
    put_scales<F>(w, n, 2 * g + 1, panel, to + panel * sizeof(typename F::Scale));
  }
}

template <class S, class F>
void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
  using K = KindOf<F>;
  const size_t bytes = K::panel(w.k, w.group);
  const size_t groups = K::groups(w.k, w.group), group_blocks = K::group_blocks(w.k, w.group);
  for (size_t n = n0; n < n1; n += kPanel) {
    Byte* out = static_cast<Byte*>(packed) + n / kPanel * bytes;
    for (size_t g = 0; g < groups; ++g) {
      put_group<F>(w, n, g, kPanel, out);
      out += K::scales;
      for (size_t b = g * group_blocks; b < (g + 1) * group_blocks; ++b)
        for (size_t quad = 0; quad < kPanel; quad += kQuad, out += K::quad) {
          uint8x16x2_t v[kQuad];
          for (size_t c = 0; c < kQuad; ++c) v[c] = codes_of<F>(w, n + quad + c, b);
          S::interleave(out, v[0].val[0], v[1].val[0], v[2].val[0], v[3].val[0]);
          if constexpr (F::Codes::bits == 8)
            S::interleave(out + 64, v[0].val[1], v[1].val[1], v[2].val[1], v[3].val[1]);
        }
    }
  }
}

template <class S, class F>
void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1, void* codes) {
  using K = KindOf<F>;
  const size_t bytes = K::panel(k, group);
  for (size_t n = n0; n < n1; ++n) {
    const Byte* panel = static_cast<const Byte*>(packed) + n / kPanel * bytes;
    for (size_t i = 0; i < k; ++i) {
      const size_t b = i / kBlock, within = i % kBlock;
      const Byte* at = panel + (b / K::group_blocks(k, group) + 1) * K::scales + b * K::block +
                       n % kPanel / kQuad * K::quad;
      std::int8_t code;
      if constexpr (F::Codes::bits == 8) {
        code = static_cast<std::int8_t>(at[place<S>(within, n % kQuad)]);
      } else {
        const int byte = at[place<S>(within % 16, n % kQuad)];
        const int stored = (within < 16 ? byte : byte >> 4) & 15;
        code = static_cast<std::int8_t>(F::Codes::value(stored ^ (kSigns<typename F::Codes> & 15)));
      }
      static_cast<std::int8_t*>(codes)[n * k + i] = code;
    }
  }
}

// --- Products ----------------------------------------------------------------------------------

/// A quad's codes of a block, as 8 vectors in the order of K.
template <class Codes>
inline void load_codes(const Byte* p, int8x16_t (&w)[8]) {
  if constexpr (Codes::bits == 8) {
    QB_UNROLL for (int i = 0; i < 8; ++i) w[i] = vreinterpretq_s8_u8(vld1q_u8(p + 16 * i));
  } else if constexpr (kIsTable<Codes>) {
    const int8x16_t table = vld1q_s8(Codes::kValues);
    QB_UNROLL for (int i = 0; i < 4; ++i) {
      const uint8x16_t v = vld1q_u8(p + 16 * i);
      w[i] = vqtbl1q_s8(table, vandq_u8(v, vdupq_n_u8(15)));
      w[i + 4] = vqtbl1q_s8(table, vshrq_n_u8(v, 4));
    }
  } else {
    QB_UNROLL for (int i = 0; i < 4; ++i) {
      const uint8x16_t v = vld1q_u8(p + 16 * i);
      w[i] = vreinterpretq_s8_u8(vshlq_n_u8(v, 4));
      w[i + 4] = vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(0xf0)));
    }
  }
}

/// Sums of products of codes as load_codes gives them.
template <class Codes>
inline float32x4_t as_float(int32x4_t sum) {
  if constexpr (__is_same(Codes, Nibbles))
    return vcvtq_n_f32_s32(sum, 4);
  else
    return vcvtq_f32_s32(sum);
}

/// Four outputs' scales.
template <class K>
inline float32x4_t load_scales(const Byte* p) {
  if constexpr (__is_same(typename K::Scale, bf16))
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
  else if constexpr (sizeof(typename K::Scale) == sizeof(f16))
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
  else
    return vreinterpretq_f32_u8(vld1q_u8(p));
}

/// Four outputs' minima, or scales of second halves, from where their scales are.
template <class K>
inline float32x4_t load_second(const Byte* p) {
  if constexpr (K::halves)
    return load_scales<K>(p + kPanel * K::scale);
  else
    return vreinterpretq_f32_u8(vld1q_u8(p + kPanel * sizeof(float)));
}

/// What the products of one call have in common.
struct Call {
  size_t blocks;        ///< of K
  size_t group_blocks;  ///< that share a scale
  size_t panel;         ///< bytes of a panel
  size_t x_stride;      ///< bytes from row to row of the workspace
  size_t x_scales;      ///< from a row's codes to its scales
  size_t x_sums;        ///< and to what minima are multiplied with
  size_t n;             ///< y's row length
  size_t n1;
};

/// Where a quad's codes and scales stand, in the panels from `panel` on.
template <class K>
struct Place {
  const Byte *codes, *scales;
  Place() = default;
  Place(const Call& call, const Byte* panel, size_t quad)
      : codes(panel + quad / 2 * call.panel + K::scales + quad % 2 * K::quad),
        scales(panel + quad / 2 * call.panel + quad % 2 * (kQuad * K::scale)) {}
};

inline float32x4_t low(float32x4_t a, float32x4_t b) {
  return vreinterpretq_f32_f64(vzip1q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}
inline float32x4_t high(float32x4_t a, float32x4_t b) {
  return vreinterpretq_f32_f64(vzip2q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}
/// Sums of four rows and a quad, from 2x2 tiles (rows 0 and 1 with outputs 0 and 1, the same rows
/// with outputs 2 and 3, then rows 2 and 3) to a vector for each row, and back.
[[maybe_unused]] inline void turn_2x2(float32x4_t (&v)[4]) {
  QB_UNROLL for (int i = 0; i < 4; i += 2) {
    const float32x4_t a = v[i], b = v[i + 1];
    v[i] = low(a, b);
    v[i + 1] = high(a, b);
  }
}

/// Keeps the compiler from holding what it read at p: there are no registers to hold it in.
inline void forget(const Byte*& p) { asm("" : "+r"(p)); }

/// Outputs [n, n+4) of a row of y, as far as they are there.
inline void store(const Call& call, float* y, size_t n, float32x4_t v) {
  if (n + kQuad <= call.n1) return vst1q_f32(y + n, v);
  float lane[kQuad];
  vst1q_f32(lane, v);
  for (size_t c = 0; n + c < call.n1; ++c) y[n + c] = lane[c];
}
inline float32x4_t load(const Call& call, const float* y, size_t n) {
  if (n + kQuad <= call.n1) return vld1q_f32(y + n);
  float lane[kQuad] = {};
  for (size_t c = 0; n + c < call.n1; ++c) lane[c] = y[n + c];
  return vld1q_f32(lane);
}

}  // namespace
}  // namespace qb::matmul
