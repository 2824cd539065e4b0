// Products of int8 activations where an instruction adds neighbouring products of bytes to int32:
// how the variants for SDOT and SMMLA pack, block and walk. A class S brings the instruction.
//
// A word is what the instruction adds up: S::kWord codes along K. Four outputs' (or rows') words
// stand side by side, so that sums stay in their lanes:
//
//   weights      panels of 8 outputs. For each group 8 f16 scales, then its blocks of 32; for one
//                scale per output 8 f32 scales, then all blocks. A block: two quads of 4 outputs.
//                4-bit codes are two's complement, K+0..15 in the low nibbles, K+16..31 in the high
//                ones. Both are taken 16 times too large, by a shift or a mask; the conversion to
//                float, which has a fixed point, takes the 16 away.
//   activations  rows in fours, laid out as a quad; up to three rows that are left over, plain.
//
// Few rows (up to three) are bound by reading the weights: 16 outputs at a time, every sum in
// registers until all of K has passed. More rows are bound by the multiplication: a tile is 16x4,
// 8x8 or 4x16. A block of one quad's weights is unpacked once and stays in 8 registers for all rows
// of the tile. K is walked in pieces of kDepth, so that a tile's activations and weights stay in
// L1; between pieces sums wait in y, as bits if they are integers.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8_formats.h"
#include "matmul/a8_neon.h"

#if defined(__clang__)
#define QB_UNROLL _Pragma("unroll")
#else
#define QB_UNROLL _Pragma("GCC unroll 16")
#endif

namespace qb::matmul {
namespace {

using std::size_t;
using Byte = std::uint8_t;  // std::byte's operators are functions, which would be shared weakly

constexpr size_t kQuad = 4;   // outputs, or rows, side by side
constexpr size_t kPanel = 8;  // outputs
constexpr size_t kStep = 16;  // outputs that few rows take at a time
constexpr size_t kDepth = 1024 / kBlock;
constexpr size_t kRowBytes = 256 * 1024;  // of activations, which stay in L2
constexpr size_t kAhead = 1024;           // bytes that few rows prefetch ahead

constexpr size_t least(size_t a, size_t b) { return a < b ? a : b; }

/// Byte of code k (of a block) of output or row i in a quad.
template <class S>
constexpr size_t place(size_t k, size_t i) {
  return (k / S::kWord * kQuad + i) * S::kWord + k % S::kWord;
}

/// What the products need to know of a format.
template <int bits_, bool per_block_>
struct Kind {
  static constexpr int bits = bits_;
  static constexpr bool per_block = per_block_;

  // Bytes in a panel.
  static constexpr size_t quad = kBlock * kQuad * bits / 8;
  static constexpr size_t block = 2 * quad;
  static constexpr size_t scale = per_block ? sizeof(f16) : sizeof(float);
  static constexpr size_t scales = kPanel * scale;
  static size_t panel(size_t k, size_t group) {
    return per_block ? k / group * (scales + group / kBlock * block)
                     : scales + blocks_of(k) * block;
  }
};

// --- Packing -----------------------------------------------------------------------------------

/// Block b of output n as bytes of a quad's row: zeros where nothing is, nibbles in the order that
/// panels have them.
template <class F>
inline uint8x16x2_t codes_of(const Weights& w, size_t n, size_t b) {
  constexpr size_t bytes = kBlock * F::bits / 8;
  uint8x16x2_t v = {{vdupq_n_u8(0), vdupq_n_u8(0)}};
  if (n >= w.n) return v;
  const size_t row = F::row(w.k), at = b * F::block + F::codes, count = row - at;
  const Byte* from = static_cast<const Byte*>(w.values) + n * row + at;
  Byte padded[bytes] = {};
  if (count < bytes) {
    __builtin_memcpy(padded, from, count);
    from = padded;
  }
  v.val[0] = vld1q_u8(from);
  if constexpr (F::bits == 8) {
    v.val[1] = vld1q_u8(from + 16);
  } else if constexpr (F::neighbours) {
    const uint8x16_t even = vandq_u8(v.val[0], vdupq_n_u8(15)), odd = vshrq_n_u8(v.val[0], 4);
    v.val[0] = vsliq_n_u8(vzip1q_u8(even, odd), vzip2q_u8(even, odd), 4);
  } else {
    v.val[0] = veorq_u8(v.val[0], vdupq_n_u8(0x88));  // stored +8
  }
  return v;
}

template <class F>
size_t packed_bytes(size_t n, size_t k, size_t group) {
  return (n + kPanel - 1) / kPanel * Kind<F::bits, F::per_block>::panel(k, group);
}

template <class S, class F>
void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
  using K = Kind<F::bits, F::per_block>;
  const size_t bytes = K::panel(w.k, w.group);
  const size_t groups = F::per_block ? w.k / w.group : 1;
  const size_t group_blocks = F::per_block ? w.group / kBlock : blocks_of(w.k);
  for (size_t n = n0; n < n1; n += kPanel) {
    Byte* out = static_cast<Byte*>(packed) + n / kPanel * bytes;
    for (size_t g = 0; g < groups; ++g) {
      for (size_t c = 0; c < kPanel; ++c, out += K::scale) {
        if constexpr (F::per_block) {
          const f16 scale = n + c < w.n ? F::scale(w, n + c, g) : f16{};
          __builtin_memcpy(out, &scale, sizeof scale);
        } else {
          const float scale = n + c < w.n ? static_cast<const float*>(w.scales)[n + c] : 0.0f;
          __builtin_memcpy(out, &scale, sizeof scale);
        }
      }
      for (size_t b = g * group_blocks; b < (g + 1) * group_blocks; ++b)
        for (size_t quad = 0; quad < kPanel; quad += kQuad, out += K::quad) {
          uint8x16x2_t v[kQuad];
          for (size_t c = 0; c < kQuad; ++c) v[c] = codes_of<F>(w, n + quad + c, b);
          S::interleave(out, v[0].val[0], v[1].val[0], v[2].val[0], v[3].val[0]);
          if constexpr (F::bits == 8)
            S::interleave(out + 64, v[0].val[1], v[1].val[1], v[2].val[1], v[3].val[1]);
        }
    }
  }
}

template <class S, class F>
void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1, void* codes) {
  using K = Kind<F::bits, F::per_block>;
  const size_t bytes = K::panel(k, group);
  for (size_t n = n0; n < n1; ++n) {
    const Byte* panel = static_cast<const Byte*>(packed) + n / kPanel * bytes;
    for (size_t i = 0; i < k; ++i) {
      const size_t b = i / kBlock, within = i % kBlock;
      const Byte* at = panel + (F::per_block ? i / group + 1 : 1) * K::scales + b * K::block +
                       n % kPanel / kQuad * K::quad;
      std::int8_t code;
      if constexpr (F::bits == 8) {
        code = static_cast<std::int8_t>(at[place<S>(within, n % kQuad)]);
      } else {
        const int byte = at[place<S>(within % 16, n % kQuad)];
        code =
            static_cast<std::int8_t>(static_cast<std::int8_t>(byte << (within < 16 ? 4 : 0)) >> 4);
      }
      static_cast<std::int8_t*>(codes)[n * k + i] = code;
    }
  }
}

// --- Activations -------------------------------------------------------------------------------

/// R rows, a quad or one, at the start of `out`. A quad's scales stand S::kCopies times each.
template <class S, bool per_block, int R>
inline void quantize_rows(const float* x, size_t k, const RowLayout& layout, Byte* out) {
  constexpr size_t copies = R == 1 ? 1 : S::kCopies;
  Byte* const codes = out;
  auto* scales = reinterpret_cast<float*>(out + R * layout.scales);
  Scaling scaling[R];
  const auto put_scales = [&] {
    for (int r = 0; r < R; ++r) {
      const float scale = per_block ? rounded_to_f16(scaling[r].scale) : scaling[r].scale;
      for (size_t c = 0; c < copies; ++c) *scales++ = scale;
    }
  };
  if constexpr (!per_block) {
    for (int r = 0; r < R; ++r) scaling[r] = row_scaling(absmax(x + size_t(r) * k, k));
    put_scales();
  }
  for (size_t i = 0; i < k; i += kBlock) {
    uint8x16_t q[2][R];
    for (int r = 0; r < R; ++r) {
      float32x4_t v[8];
      load_block(x + size_t(r) * k + i, k - i, v);
      if constexpr (per_block) scaling[r] = block_scaling(absmax(v));
      const int8x16x2_t bytes = quantize_block<per_block>(v, scaling[r].inverse);
      q[0][r] = vreinterpretq_u8_s8(bytes.val[0]);
      q[1][r] = vreinterpretq_u8_s8(bytes.val[1]);
    }
    if constexpr (per_block) put_scales();
    for (size_t half = 0; half < 2; ++half) {
      Byte* const to = codes + R * (i + half * 16);
      if constexpr (R == 1)
        vst1q_u8(to, q[half][0]);
      else
        S::interleave(to, q[half][0], q[half][1], q[half][2], q[half][3]);
    }
  }
}

template <class S, bool per_block>
void prepare(const void* x, size_t m, size_t k, size_t, size_t m0, size_t m1, void* workspace) {
  const RowLayout layout = row_layout(k, per_block);
  for (size_t row = m0; row < m1;) {
    const float* from = static_cast<const float*>(x) + row * k;
    Byte* const to = static_cast<Byte*>(workspace) + row * layout.stride;
    if (m - row >= kQuad) {
      quantize_rows<S, per_block, int(kQuad)>(from, k, layout, to);
      row += kQuad;
    } else {
      quantize_rows<S, per_block, 1>(from, k, layout, to);
      ++row;
    }
  }
}

template <bool per_block>
size_t workspace_bytes(size_t m, size_t, size_t k, size_t) {
  return m * row_layout(k, per_block).stride;
}

// --- Products ----------------------------------------------------------------------------------

/// A quad's codes of a block, as 8 vectors in the order of K.
template <int bits>
inline void load_codes(const Byte* p, int8x16_t (&w)[8]) {
  if constexpr (bits == 8) {
    QB_UNROLL for (int i = 0; i < 8; ++i) w[i] = vreinterpretq_s8_u8(vld1q_u8(p + 16 * i));
  } else {
    QB_UNROLL for (int i = 0; i < 4; ++i) {
      const uint8x16_t v = vld1q_u8(p + 16 * i);
      w[i] = vreinterpretq_s8_u8(vshlq_n_u8(v, 4));
      w[i + 4] = vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(0xf0)));
    }
  }
}

/// Sums of products of codes as load_codes gives them.
template <int bits>
inline float32x4_t as_float(int32x4_t sum) {
  if constexpr (bits == 8)
    return vcvtq_f32_s32(sum);
  else
    return vcvtq_n_f32_s32(sum, 4);
}

inline float32x4_t load_scales(const Byte* p, Kind<8, true>) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}
inline float32x4_t load_scales(const Byte* p, Kind<8, false>) {
  return vreinterpretq_f32_u8(vld1q_u8(p));
}
/// Four outputs' scales.
template <class K>
inline float32x4_t load_scales(const Byte* p) {
  return load_scales(p, Kind<8, K::per_block>{});
}

/// What the tiles of one call have in common.
struct Call {
  size_t blocks;        ///< of K
  size_t group_blocks;  ///< that share a scale
  size_t panel;         ///< bytes of a panel
  RowLayout x;
  size_t n;  ///< y's row length
  size_t n1;
};

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

// Sums wait in y as bits.
inline float32x4_t bits(float32x4_t v) { return v; }
inline float32x4_t bits(int32x4_t v) { return vreinterpretq_f32_s32(v); }
inline void from_bits(float32x4_t v, float32x4_t& sum) { sum = v; }
inline void from_bits(float32x4_t v, int32x4_t& sum) { sum = vreinterpretq_s32_f32(v); }

template <bool per_block>
struct SumOf {
  using Type = float32x4_t;
};
template <>
struct SumOf<false> {
  using Type = int32x4_t;
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

/// Keeps the compiler from holding what it read at p: there are no registers to hold it in.
inline void forget(const Byte*& p) { asm("" : "+r"(p)); }

/// Rows [0,4*Fours) of x and y, outputs [n,n+4*Quads), blocks [b0,b1) of K: whole groups. The
/// first output's quad is the `first`th from `panel` on.
template <class S, class K, int Fours, int Quads>
[[gnu::noinline]] void tile(const Call& call, const Byte* panel, size_t first, const Byte* x,
                            float* y, size_t n, size_t b0, size_t b1) {
  const size_t four_rows = kQuad * call.x.stride;
  Place<K> at[Quads];
  QB_UNROLL for (int q = 0; q < Quads; ++q) at[q] = Place<K>(call, panel, first + size_t(q));
  typename SumOf<K::per_block>::Type sum[Fours][Quads][4];
  QB_UNROLL for (int f = 0; f < Fours; ++f) QB_UNROLL for (int q = 0; q < Quads; ++q) {
    float32x4_t v[4];
    QB_UNROLL for (int r = 0; r < 4; ++r) v[r] =
        b0 ? load(call, y + size_t(4 * f + r) * call.n, n + 4 * size_t(q)) : vdupq_n_f32(0);
    S::turn(v);
    QB_UNROLL for (int r = 0; r < 4; ++r) from_bits(v[r], sum[f][q][r]);
  }
  const Byte* xc = x + b0 * (kQuad * kBlock);
  int8x16_t w[8];
  if constexpr (K::per_block) {
    const Byte* xs = x + kQuad * call.x.scales + b0 * (kQuad * S::kCopies * sizeof(float));
    size_t offset = b0 / call.group_blocks * K::scales + b0 * K::block;
    for (size_t b = b0; b < b1; offset += K::scales) {
      const size_t group = offset;
      for (const size_t end = b + call.group_blocks; b < end; ++b) {
        QB_UNROLL for (int q = 0; q < Quads; ++q) {
          load_codes<K::bits>(at[q].codes + offset, w);
          const float32x4_t d = load_scales<K>(at[q].scales + group);
          forget(xc);
          forget(xs);
          QB_UNROLL for (int f = 0; f < Fours; ++f) S::template add<K::bits>(
              sum[f][q], w, xc + size_t(f) * four_rows, d, xs + size_t(f) * four_rows);
        }
        offset += K::block;
        xc += kQuad * kBlock;
        xs += kQuad * S::kCopies * sizeof(float);
      }
    }
  } else {
    size_t offset = b0 * K::block;
    for (size_t b = b0; b < b1; ++b, offset += K::block, xc += kQuad * kBlock)
      QB_UNROLL for (int q = 0; q < Quads; ++q) {
        load_codes<K::bits>(at[q].codes + offset, w);
        forget(xc);
        QB_UNROLL for (int f = 0; f < Fours; ++f) S::add(sum[f][q], w, xc + size_t(f) * four_rows);
      }
  }
  QB_UNROLL for (int f = 0; f < Fours; ++f) QB_UNROLL for (int q = 0; q < Quads; ++q) {
    float32x4_t v[4];
    QB_UNROLL for (int r = 0; r < 4; ++r) v[r] = bits(sum[f][q][r]);
    S::turn(v);
    if constexpr (!K::per_block)
      if (b1 == call.blocks) {
        // Scales first: codes times a scale may be too large for a float that the output isn't.
        const float32x4_t d = load_scales<K>(at[q].scales);
        const auto* s =
            reinterpret_cast<const float*>(x + size_t(f) * four_rows + kQuad * call.x.scales);
        QB_UNROLL for (int r = 0; r < 4; ++r) v[r] = vmulq_f32(
            as_float<K::bits>(vreinterpretq_s32_f32(v[r])), vmulq_n_f32(d, s[r * S::kCopies]));
      }
    QB_UNROLL for (int r = 0; r < 4; ++r)
        store(call, y + size_t(4 * f + r) * call.n, n + 4 * size_t(q), v[r]);
  }
}

/// R rows of x, plain, and y; outputs [n,n+4*Quads); all of K.
template <class S, class K, int R, int Quads>
[[gnu::noinline]] void few(const Call& call, const Byte* panel, const Byte* x, float* y, size_t n) {
  Place<K> at[Quads];
  QB_UNROLL for (int q = 0; q < Quads; ++q) at[q] = Place<K>(call, panel, size_t(q));
  const size_t stride = call.x.stride;
  const Byte* const scales = x + call.x.scales;
  float32x4_t result[R][Quads];
  int8x16_t w[8];
  const auto prefetch = [](const Byte* p) {
    QB_UNROLL for (size_t line = 0; line < K::block; line += 64)
        __builtin_prefetch(p + kAhead + line);
  };
  if constexpr (K::per_block) {
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int q = 0; q < Quads; ++q) result[r][q] =
        vdupq_n_f32(0);
    size_t offset = 0;
    for (size_t b = 0; b < call.blocks; offset += K::scales) {
      float32x4_t d[Quads];
      QB_UNROLL for (int q = 0; q < Quads; ++q) d[q] = load_scales<K>(at[q].scales + offset);
      for (const size_t end = b + call.group_blocks; b < end; ++b, offset += K::block, x += kBlock)
        QB_UNROLL for (int q = 0; q < Quads; ++q) {
          if (q % 2 == 0) prefetch(at[q].codes + offset);
          load_codes<K::bits>(at[q].codes + offset, w);
          QB_UNROLL for (int r = 0; r < R; ++r) {
            int32x4_t sum[S::kRowSums];
            QB_UNROLL for (int i = 0; i < S::kRowSums; ++i) sum[i] = vdupq_n_s32(0);
            S::add_row(sum, w, x + size_t(r) * stride);
            const float s = reinterpret_cast<const float*>(scales + size_t(r) * stride)[b];
            result[r][q] =
                vfmaq_f32(result[r][q], as_float<K::bits>(S::total(sum)), vmulq_n_f32(d[q], s));
          }
        }
    }
  } else {
    int32x4_t sum[R][Quads][S::kRowSums];
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int q = 0; q < Quads; ++q)
        QB_UNROLL for (int i = 0; i < S::kRowSums; ++i) sum[r][q][i] = vdupq_n_s32(0);
    size_t offset = 0;
    for (size_t b = 0; b < call.blocks; ++b, offset += K::block, x += kBlock)
      QB_UNROLL for (int q = 0; q < Quads; ++q) {
        if (q % 2 == 0) prefetch(at[q].codes + offset);
        load_codes<K::bits>(at[q].codes + offset, w);
        QB_UNROLL for (int r = 0; r < R; ++r) S::add_row(sum[r][q], w, x + size_t(r) * stride);
      }
    QB_UNROLL for (int q = 0; q < Quads; ++q) {
      const float32x4_t d = load_scales<K>(at[q].scales);
      QB_UNROLL for (int r = 0; r < R; ++r) {
        const float s = *reinterpret_cast<const float*>(scales + size_t(r) * stride);
        result[r][q] = vmulq_f32(as_float<K::bits>(S::total(sum[r][q])), vmulq_n_f32(d, s));
      }
    }
  }
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int q = 0; q < Quads; ++q)
      store(call, y + size_t(r) * call.n, n + 4 * size_t(q), result[r][q]);
}

/// The rows that are left over: up to R.
template <class S, class K, int R, int Quads>
inline void left_over(size_t rows, const Call& call, const Byte* panel, const Byte* x, float* y,
                      size_t n) {
  if constexpr (R > 0) {
    if (rows == R) return few<S, K, R, Quads>(call, panel, x, y, n);
    left_over<S, K, R - 1, Quads>(rows, call, panel, x, y, n);
  }
}

template <class S, class F>
void run(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
         size_t n0, size_t n1, void* out) {
  using K = Kind<F::bits, F::per_block>;
  Call call;
  call.blocks = blocks_of(w.k);
  call.group_blocks = F::per_block ? w.group / kBlock : call.blocks;
  call.panel = K::panel(w.k, w.group);
  call.x = row_layout(w.k, F::per_block);
  call.n = w.n;
  call.n1 = n1;
  const size_t stride = call.x.stride;
  size_t chunk = kRowBytes / (stride + 1) / 16 * 16;  // no stride where k is 0
  if (chunk < 16) chunk = 16;
  for (size_t m0 = 0; m0 < m; m0 += chunk) {
    const size_t rows = least(chunk, m - m0), in_fours = rows / kQuad * kQuad;
    const Byte* const x = static_cast<const Byte*>(workspace) + m0 * stride;
    float* const y = static_cast<float*>(out) + m0 * w.n;
    for (size_t n = n0; n < n1; n += kStep) {
      const Byte* const panel = static_cast<const Byte*>(packed) + n / kPanel * call.panel;
      const bool two_panels = n1 - n > kPanel;
      if (in_fours) {
        size_t b0 = 0;
        do {
          const size_t b1 = least(b0 + kDepth, call.blocks);
          size_t r = 0;
          for (; r + 16 <= in_fours; r += 16)
            for (size_t c = 0; c < kStep && n + c < n1; c += kQuad)
              tile<S, K, 4, 1>(call, panel, c / kQuad, x + r * stride, y + r * w.n, n + c, b0, b1);
          if (r + 8 <= in_fours) {
            for (size_t c = 0; c < kStep && n + c < n1; c += kPanel)
              tile<S, K, 2, 2>(call, panel, c / kQuad, x + r * stride, y + r * w.n, n + c, b0, b1);
            r += 8;
          }
          if (r < in_fours)
            (two_panels ? tile<S, K, 1, 4> : tile<S, K, 1, 2>)(call, panel, 0, x + r * stride,
                                                               y + r * w.n, n, b0, b1);
          b0 = b1;
        } while (b0 < call.blocks);
      }
      (two_panels ? left_over<S, K, 3, 4> : left_over<S, K, 3, 2>)(rows - in_fours, call, panel,
                                                                   x + in_fours * stride,
                                                                   y + in_fours * w.n, n);
    }
  }
}

template <class S, class F>
constexpr Kernel kernel_of() {
  return {.n_step = kStep,
          .packed_bytes = packed_bytes<F>,
          .pack = pack<S, F>,
          .unpack = unpack<S, F>,
          .workspace_bytes = workspace_bytes<F::per_block>,
          .m_step = kQuad,
          .prepare = prepare<S, F::per_block>,
          .run = run<S, F>};
}

}  // namespace
}  // namespace qb::matmul
