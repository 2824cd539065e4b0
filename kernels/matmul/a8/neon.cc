// SPDX-License-Identifier: Apache-2.0
// Products of int8 activations, NEON (armv8-a: no dot product instruction). On the canonical
// weights: a vector runs along K, and only the last sum is taken across lanes.
//
// smull/smlal multiply 8 bytes into int16, sadalp adds pairs of those to int32. 8-bit weights: two
// products fit int16 (2*127*128 = 32512), so one sadalp for 16 of K. 4-bit weights: a block's four
// products a lane fit (4*15*127), so one sadalp for 32. For s4, whose bytes hold neighbours,
// prepare() stores the activations of a block evens first and odds behind them.
#include <arm_neon.h>

#include "matmul/a8/activations_neon.h"
#include "matmul/source.h"

namespace qb::matmul {
namespace {

// --- Activations -------------------------------------------------------------------------------

template <bool per_block, bool split, bool minimum>
void prepare(const void* x, std::size_t, std::size_t k, std::size_t, std::size_t m0, std::size_t m1,
             void* workspace) {
  const RowLayout layout = row_layout(k, per_block);
  for (std::size_t m = m0; m < m1; ++m) {
    const float* row = static_cast<const float*>(x) + m * k;
    auto* const out = static_cast<std::byte*>(workspace) + m * layout.stride;
    auto* const codes = reinterpret_cast<std::int8_t*>(out);
    auto* const scales = reinterpret_cast<float*>(out + layout.scales);
    [[maybe_unused]] auto* const sums = reinterpret_cast<float*>(out + layout.sums);
    float32x4_t v[8];
    Scaling scaling{};
    if constexpr (!per_block) {
      scaling = row_scaling(absmax(row, k));
      scales[0] = scaling.scale;
    }
    for (std::size_t i = 0; i < k; i += kBlock) {
      load_block(row + i, k - i, v);
      if constexpr (per_block) {
        scaling = block_scaling(absmax(v));
        scales[i / kBlock] = rounded_to_f16(scaling.scale);
      }
      const int8x16x2_t q = quantize_block<per_block>(v, scaling.inverse);
      // What minima are multiplied with.
      if constexpr (minimum)
        sums[i / kBlock] = float(vaddlvq_s8(q.val[0]) + vaddlvq_s8(q.val[1])) * scales[i / kBlock];
      vst1q_s8(codes + i, split ? vuzp1q_s8(q.val[0], q.val[1]) : q.val[0]);
      vst1q_s8(codes + i + 16, split ? vuzp2q_s8(q.val[0], q.val[1]) : q.val[1]);
    }
  }
}

template <bool per_block>
std::size_t workspace_bytes(std::size_t m, std::size_t, std::size_t k, std::size_t) {
  return m * row_layout(k, per_block).stride;
}

std::size_t packed_bytes(std::size_t, std::size_t, std::size_t) { return 0; }

// --- Weights: a block of 32 as bytes in the order of the activations ----------------------------

inline int8x16x2_t load_bytes(const void* p) {
  const auto* codes = static_cast<const std::int8_t*>(p);
  return {{vld1q_s8(codes), vld1q_s8(codes + 16)}};
}

template <class F>
inline int8x16x2_t load_codes(const std::uint8_t* p) {
  if constexpr (F::Codes::bits == 8) {
    return load_bytes(p);
  } else if constexpr (kIsTable<typename F::Codes>) {
    const int8x16_t table = vld1q_s8(F::Codes::kValues);
    const uint8x16_t v = vld1q_u8(p);
    return {{vqtbl1q_s8(table, vandq_u8(v, vdupq_n_u8(15))), vqtbl1q_s8(table, vshrq_n_u8(v, 4))}};
  } else if constexpr (F::flip != 0) {  // two's complement
    const int8x16_t v = vreinterpretq_s8_u8(vld1q_u8(p));
    return {{vshrq_n_s8(vshlq_n_s8(v, 4), 4), vshrq_n_s8(v, 4)}};
  } else {
    const uint8x16_t v = vld1q_u8(p);
    const int8x16_t offset = vdupq_n_s8(8);
    return {{vsubq_s8(vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15))), offset),
             vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(v, 4)), offset)}};
  }
}

// --- Products ----------------------------------------------------------------------------------

/// sum + the products of a block, spread over four lanes. bits: of what codes stand for.
template <int bits>
inline int32x4_t dot(int32x4_t sum, const int8x16x2_t& w, const int8x16x2_t& x) {
  int16x8_t low = vmull_s8(vget_low_s8(w.val[0]), vget_low_s8(x.val[0]));
  low = vmlal_s8(low, vget_low_s8(w.val[1]), vget_low_s8(x.val[1]));
  if constexpr (bits == 4) {
    low = vmlal_high_s8(low, w.val[0], x.val[0]);
    return vpadalq_s16(sum, vmlal_high_s8(low, w.val[1], x.val[1]));
  } else {
    const int16x8_t high = vmull_high_s8(w.val[0], x.val[0]);
    return vpadalq_s16(vpadalq_s16(sum, low), vmlal_high_s8(high, w.val[1], x.val[1]));
  }
}

/// The products of half a block, whose codes have seven bits at the most, spread over four lanes.
[[maybe_unused]] inline int32x4_t dot_half(int8x16_t w, int8x16_t x) {
  return vpaddlq_s16(vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(x)), w, x));
}

/// y[m..m+R, n..n+C).
template <class F, int R, int C>
inline void tile(const Weights& w, const std::byte* workspace, const RowLayout& layout,
                 std::size_t m, std::size_t n, float* y) {
  const std::size_t blocks = blocks_of(w.k);
  const std::int8_t* x[R];
  const float* scales[R];
  [[maybe_unused]] const std::uint8_t* from[C];
  [[maybe_unused]] float less[R][C] = {};  // for minima
  for (int r = 0; r < R; ++r) {
    const std::byte* row = workspace + (m + std::size_t(r)) * layout.stride;
    x[r] = reinterpret_cast<const std::int8_t*>(row);
    scales[r] = reinterpret_cast<const float*>(row + layout.scales);
  }
  if constexpr (!kGathered<F>)
    for (int c = 0; c < C; ++c) from[c] = codes_at<F>(w, n + std::size_t(c), 0);

  constexpr bool looks_up = kIsTable<typename F::Codes> && !kIsUnsigned<typename F::Codes>;
  constexpr int bits = looks_up ? 8 : F::Codes::bits;
  int32x4_t sum[R][C];
  float32x4_t result[R][C];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) sum[r][c] = vdupq_n_s32(0), result[r][c] = vdupq_n_f32(0);
  const auto add = [&](std::size_t b, const auto& weights) {
    int8x16x2_t v[R];
    for (int r = 0; r < R; ++r) v[r] = load_bytes(x[r] + b * kBlock);
    for (int c = 0; c < C; ++c) {
      const int8x16x2_t codes = weights(c);
      if constexpr (kUnitOf<typename F::Scale> != kBlock) {
        for (std::size_t half = 0; half < 2; ++half) {
          const float d = widened(F::scale(w, n + std::size_t(c), 2 * b + half));
          for (int r = 0; r < R; ++r)
            result[r][c] =
                vfmaq_n_f32(result[r][c], vcvtq_f32_s32(dot_half(codes.val[half], v[r].val[half])),
                            d * scales[r][b]);
        }
      } else if constexpr (F::per_group) {
        const auto scale = F::scale(w, n + std::size_t(c), b * kBlock / F::group(w));
        const float d = widened(scale);
        if constexpr (kHasMinimum<typename F::Scale>)
          for (int r = 0; r < R; ++r)
            less[r][c] += scale.minimum * scales[r][b + (layout.sums - layout.scales) / 4];
        for (int r = 0; r < R; ++r)
          result[r][c] =
              vfmaq_n_f32(result[r][c], vcvtq_f32_s32(dot<bits>(vdupq_n_s32(0), codes, v[r])),
                          d * scales[r][b]);
      } else {
        for (int r = 0; r < R; ++r) sum[r][c] = dot<bits>(sum[r][c], codes, v[r]);
      }
    }
  };
  const std::size_t whole = w.k / kBlock;
  for (std::size_t b = 0; b < whole; ++b)
    add(b, [&](int c) {
      if constexpr (kGathered<F>) {
        BlockCodes<F> room;
        return load_codes<F>(block_codes<F>(w, n + std::size_t(c), b, room));
      } else {
        return load_codes<F>(from[c] + b * F::block);
      }
    });
  if constexpr (!F::per_group) {
    if (whole < blocks) {  // a copy of what there is of the last block, zeros behind it
      const std::size_t bytes = F::row(w.k) - whole * F::block;
      std::uint8_t last[C][kBlock] = {};
      for (int c = 0; c < C; ++c)
        for (std::size_t i = 0; i < bytes; ++i) last[c][i] = from[c][whole * F::block + i];
      add(whole, [&](int c) { return load_codes<F>(last[c]); });
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) {
      float& out = y[(m + std::size_t(r)) * w.n + n + std::size_t(c)];
      if constexpr (F::per_group)
        out = vaddvq_f32(result[r][c]);
      else
        out = float(vaddvq_s32(sum[r][c])) * (*scales[r] * F::scale(w, n + std::size_t(c), 0));
      if constexpr (kHasMinimum<typename F::Scale>) out -= less[r][c];
    }
}

template <class F, int C>
inline void columns(const Weights& w, const std::byte* workspace, const RowLayout& layout,
                    std::size_t m, std::size_t n, float* y) {
  std::size_t r = 0;
  for (; r + 4 <= m; r += 4) tile<F, 4, C>(w, workspace, layout, r, n, y);
  if (r + 2 <= m) {
    tile<F, 2, C>(w, workspace, layout, r, n, y);
    r += 2;
  }
  if (r < m) tile<F, 1, C>(w, workspace, layout, r, n, y);
}

template <class F>
void run(const Weights& w, const void*, const void*, const void* workspace, std::size_t m,
         std::size_t n0, std::size_t n1, void* y) {
  const RowLayout layout = row_layout(w.k, F::per_group);
  const auto* rows = static_cast<const std::byte*>(workspace);
  std::size_t n = n0;
  for (; n + 4 <= n1; n += 4) columns<F, 4>(w, rows, layout, m, n, static_cast<float*>(y));
  for (; n < n1; ++n) columns<F, 1>(w, rows, layout, m, n, static_cast<float*>(y));
}

template <class F>
constexpr Kernel kernel_of() {
  return {.n_step = 4,
          .packed_bytes = packed_bytes,
          .pack = nullptr,
          .unpack = nullptr,
          .workspace_bytes = workspace_bytes<F::per_group>,
          .m_step = 1,
          .prepare = prepare < F::per_group,
          F::Codes::bits == 4 && F::neighbours,
          kHasMinimum<typename F::Scale> >,
          .run = run<F>};
}

}  // namespace

constexpr Kernels matmul_a8_neon =
    every_quantized_format([](auto format) { return kernel_of<decltype(format)>(); });

}  // namespace qb::matmul
