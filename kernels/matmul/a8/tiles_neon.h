// SPDX-License-Identifier: Apache-2.0
// Products of int8 activations where an instruction adds neighbouring products of bytes to int32:
// how the variants for SDOT and SMMLA block and walk. A class S brings the instruction. Weights are
// packed as quads_neon.h says; activations lie in fours of rows, laid out as a quad, and up to
// three rows that are left over, plain.
//
// Few rows (up to three) are bound by reading the weights: 16 outputs at a time, every sum in
// registers until all of K has passed. More rows are bound by the multiplication: a tile is 16x4,
// 8x8 or 4x16. A block of one quad's weights is unpacked once and stays in 8 registers for all rows
// of the tile. K is walked in pieces of kDepth, so that a tile's activations and weights stay in
// L1; between pieces sums wait in y, as bits if they are integers.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "core/budgets.h"
#include "matmul/a8/activations_neon.h"
#include "matmul/quads_neon.h"

namespace qb::matmul {
namespace {

constexpr size_t kDepth = NeonBudget::kInt8Depth;
constexpr size_t kRowBytes = NeonBudget::kActivationsInL2;

// --- Activations -------------------------------------------------------------------------------

/// Of rows that meet minima: behind the scales as many sums of codes times their scale.
template <bool per_block, bool minimum>
constexpr RowLayout layout_of(size_t k) {
  RowLayout layout = row_layout(k, per_block);
  if constexpr (minimum) {
    const size_t scales = 2 * (layout.sums - layout.scales);
    layout.sums = layout.scales + scales;
    layout.stride = (layout.sums + scales + 63) / 64 * 64;
  }
  return layout;
}

/// R rows, a quad or one, at the start of `out`. A quad's scales stand S::kCopies times each, and
/// so do sums for minima. there: how many of the rows exist; in the place of others stands the
/// first.
template <class S, bool per_block, bool minimum, int R>
inline void quantize_rows(const float* x, size_t k, const RowLayout& layout, Byte* out,
                          int there = R) {
  constexpr size_t copies = R == 1 ? 1 : S::kCopies;
  Byte* const codes = out;
  auto* scales = reinterpret_cast<float*>(out + R * layout.scales);
  [[maybe_unused]] auto* sums = reinterpret_cast<float*>(out + R * layout.sums);
  Scaling scaling[R];
  const auto row = [&](int r) { return x + size_t(r < there ? r : 0) * k; };
  const auto put_scales = [&] {
    for (int r = 0; r < R; ++r) {
      const float scale = per_block ? rounded_to_f16(scaling[r].scale) : scaling[r].scale;
      for (size_t c = 0; c < copies; ++c) *scales++ = scale;
    }
  };
  if constexpr (!per_block) {
    for (int r = 0; r < R; ++r) scaling[r] = row_scaling(absmax(row(r), k));
    put_scales();
  }
  for (size_t i = 0; i < k; i += kBlock) {
    uint8x16_t q[2][R];
    for (int r = 0; r < R; ++r) {
      float32x4_t v[8];
      load_block(row(r) + i, k - i, v);
      if constexpr (per_block) scaling[r] = block_scaling(absmax(v));
      const int8x16x2_t bytes = quantize_block<per_block>(v, scaling[r].inverse);
      q[0][r] = vreinterpretq_u8_s8(bytes.val[0]);
      q[1][r] = vreinterpretq_u8_s8(bytes.val[1]);
      if constexpr (minimum) {
        const float sum = float(vaddlvq_s8(bytes.val[0]) + vaddlvq_s8(bytes.val[1])) *
                          rounded_to_f16(scaling[r].scale);
        for (size_t c = 0; c < copies; ++c) *sums++ = sum;
      }
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

template <class S, bool per_block, bool minimum>
void prepare(const void* x, size_t m, size_t k, size_t, size_t m0, size_t m1, void* workspace) {
  const RowLayout layout = layout_of<per_block, minimum>(k);
  for (size_t row = m0; row < m1;) {
    const float* from = static_cast<const float*>(x) + row * k;
    Byte* const to = static_cast<Byte*>(workspace) + row * layout.stride;
    if (m - row >= kQuad) {
      quantize_rows<S, per_block, minimum, int(kQuad)>(from, k, layout, to);
      row += kQuad;
    } else {
      quantize_rows<S, per_block, minimum, 1>(from, k, layout, to);
      ++row;
    }
  }
}

template <bool per_block, bool minimum>
size_t workspace_bytes(size_t m, size_t, size_t k, size_t) {
  return m * layout_of<per_block, minimum>(k).stride;
}

// --- Products ----------------------------------------------------------------------------------

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

/// Vectors of a block's codes that the first scales are for.
template <class K>
constexpr int first_of = K::halves ? 4 : 8;

/// Of vectors [from, to) of a block's codes with a plain row.
template <class S, int from, int to>
inline int32x4_t sum_of_row(const int8x16_t (&w)[8], const Byte* x) {
  int32x4_t sum[S::kRowSums];
  QB_UNROLL for (int i = 0; i < S::kRowSums; ++i) sum[i] = vdupq_n_s32(0);
  S::template add_row<from, to>(sum, w, x);
  return S::total(sum);
}

/// Rows [0,4*Fours) of x and y, outputs [n,n+4*Quads), blocks [b0,b1) of K: whole groups. The
/// first output's quad is the `first`th from `panel` on.
template <class S, class K, int Fours, int Quads>
[[gnu::noinline]] void tile(const Call& call, const Byte* panel, size_t first, const Byte* x,
                            float* y, size_t n, size_t b0, size_t b1) {
  const size_t four_rows = kQuad * call.x_stride;
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
    const Byte* xs = x + kQuad * call.x_scales + b0 * (kQuad * S::kCopies * sizeof(float));
    const size_t to_sums = kQuad * (call.x_sums - call.x_scales);
    size_t offset = b0 / call.group_blocks * K::scales + b0 * K::block;
    for (size_t b = b0; b < b1; offset += K::scales) {
      const size_t group = offset;
      for (const size_t end = b + call.group_blocks; b < end; ++b) {
        QB_UNROLL for (int q = 0; q < Quads; ++q) {
          load_codes<typename K::Codes>(at[q].codes + offset, w);
          const float32x4_t d = load_scales<K>(at[q].scales + group);
          forget(xc);
          forget(xs);
          QB_UNROLL for (int f = 0; f < Fours; ++f)
              S::template add<typename K::Codes, 0, first_of<K>>(
                  sum[f][q], w, xc + size_t(f) * four_rows, d, xs + size_t(f) * four_rows);
          if constexpr (K::halves) {
            const float32x4_t second = load_second<K>(at[q].scales + group);
            QB_UNROLL for (int f = 0; f < Fours; ++f) S::template add<typename K::Codes, 4, 8>(
                sum[f][q], w, xc + size_t(f) * four_rows, second, xs + size_t(f) * four_rows);
          }
          if constexpr (K::minimum) {
            const float32x4_t minima = load_second<K>(at[q].scales + group);
            QB_UNROLL for (int f = 0; f < Fours; ++f)
                S::subtract(sum[f][q], minima, xs + to_sums + size_t(f) * four_rows);
          }
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
        load_codes<typename K::Codes>(at[q].codes + offset, w);
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
            reinterpret_cast<const float*>(x + size_t(f) * four_rows + kQuad * call.x_scales);
        QB_UNROLL for (int r = 0; r < 4; ++r) v[r] =
            vmulq_f32(as_float<typename K::Codes>(vreinterpretq_s32_f32(v[r])),
                      vmulq_n_f32(d, s[r * S::kCopies]));
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
  const size_t stride = call.x_stride;
  const Byte *const scales = x + call.x_scales, *const x0 = x;
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
      [[maybe_unused]] float32x4_t second[Quads];  // minima, or scales of second halves
      QB_UNROLL for (int q = 0; q < Quads; ++q) {
        d[q] = load_scales<K>(at[q].scales + offset);
        if constexpr (K::minimum || K::halves) second[q] = load_second<K>(at[q].scales + offset);
      }
      for (const size_t end = b + call.group_blocks; b < end; ++b, offset += K::block, x += kBlock)
        QB_UNROLL for (int q = 0; q < Quads; ++q) {
          if (q % 2 == 0) prefetch(at[q].codes + offset);
          load_codes<typename K::Codes>(at[q].codes + offset, w);
          QB_UNROLL for (int r = 0; r < R; ++r) {
            const float s = reinterpret_cast<const float*>(scales + size_t(r) * stride)[b];
            const auto add = [&](auto sum, float32x4_t by) {
              result[r][q] =
                  vfmaq_f32(result[r][q], as_float<typename K::Codes>(sum), vmulq_n_f32(by, s));
            };
            add(sum_of_row<S, 0, first_of<K>>(w, x + size_t(r) * stride), d[q]);
            if constexpr (K::halves) add(sum_of_row<S, 4, 8>(w, x + size_t(r) * stride), second[q]);
            if constexpr (K::minimum)
              result[r][q] = vfmsq_n_f32(
                  result[r][q], second[q],
                  reinterpret_cast<const float*>(x0 + call.x_sums + size_t(r) * stride)[b]);
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
        load_codes<typename K::Codes>(at[q].codes + offset, w);
        QB_UNROLL for (int r = 0; r < R; ++r) S::add_row(sum[r][q], w, x + size_t(r) * stride);
      }
    QB_UNROLL for (int q = 0; q < Quads; ++q) {
      const float32x4_t d = load_scales<K>(at[q].scales);
      QB_UNROLL for (int r = 0; r < R; ++r) {
        const float s = *reinterpret_cast<const float*>(scales + size_t(r) * stride);
        result[r][q] =
            vmulq_f32(as_float<typename K::Codes>(S::total(sum[r][q])), vmulq_n_f32(d, s));
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
  using K = KindOf<F>;
  Call call;
  call.blocks = blocks_of(w.k);
  call.group_blocks = K::group_blocks(w.k, w.group);
  call.panel = K::panel(w.k, w.group);
  const RowLayout layout = layout_of<F::per_group, K::minimum>(w.k);
  call.x_stride = layout.stride;
  call.x_scales = layout.scales;
  call.x_sums = layout.sums;
  call.n = w.n;
  call.n1 = n1;
  const size_t stride = call.x_stride;
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
          .workspace_bytes = workspace_bytes<F::per_group, kHasMinimum<typename F::Scale>>,
          .m_step = kQuad,
          .prepare = prepare<S, F::per_group, kHasMinimum<typename F::Scale>>,
          .run = run<S, F>};
}

}  // namespace
}  // namespace qb::matmul
