// Products of int8 activations, NEON (armv8-a: no dot product instruction). On the canonical
// weights: a vector runs along K, and only the last sum is taken across lanes.
//
// smull/smlal multiply 8 bytes into int16, sadalp adds pairs of those to int32. 8-bit weights: two
// products fit int16 (2*127*128 = 32512), so one sadalp for 16 of K. 4-bit weights: a block's four
// products a lane fit (4*8*127), so one sadalp for 32. For s4, whose bytes hold neighbours,
// prepare() stores the activations of a block evens first and odds behind them.
#include <arm_neon.h>

#include "matmul/a8_neon.h"
#include "matmul/kernels.h"

namespace qb::matmul {
namespace {

// --- Activations -------------------------------------------------------------------------------

template <bool per_block, bool split>
void prepare(const void* x, std::size_t, std::size_t k, std::size_t, std::size_t m0, std::size_t m1,
             void* workspace) {
  const RowLayout layout = row_layout(k, per_block);
  for (std::size_t m = m0; m < m1; ++m) {
    const float* row = static_cast<const float*>(x) + m * k;
    auto* const out = static_cast<std::byte*>(workspace) + m * layout.stride;
    auto* const codes = reinterpret_cast<std::int8_t*>(out);
    auto* const scales = reinterpret_cast<float*>(out + layout.scales);
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

struct PerRow {
  static constexpr bool per_block = false;
};
struct PerBlock {
  static constexpr bool per_block = true;
  static float scale(const Weights& w, std::size_t n, std::size_t b) {
    return widened(static_cast<const f16*>(w.scales)[n * (w.k / w.group) + b * kBlock / w.group]);
  }
};

struct Bytes {
  static constexpr int bits = 8;
  static constexpr bool split = false;
  static int8x16x2_t load(const void* p) {
    const auto* codes = static_cast<const std::int8_t*>(p);
    return {{vld1q_s8(codes), vld1q_s8(codes + 16)}};
  }
};
/// Two's complement nibbles, low and high.
struct Nibbles {
  static constexpr int bits = 4;
  static constexpr bool split = true;
  static int8x16x2_t load(const void* p) {
    const int8x16_t v = vld1q_s8(static_cast<const std::int8_t*>(p));
    return {{vshrq_n_s8(vshlq_n_s8(v, 4), 4), vshrq_n_s8(v, 4)}};
  }
};
/// Nibbles stored +8, likewise.
struct RaisedNibbles {
  static constexpr int bits = 4;
  static constexpr bool split = false;
  static int8x16x2_t load(const void* p) {
    const uint8x16_t v = vld1q_u8(static_cast<const std::uint8_t*>(p));
    const int8x16_t offset = vdupq_n_s8(8);
    return {{vsubq_s8(vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15))), offset),
             vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(v, 4)), offset)}};
  }
};

/// Rows of codes alone: (k*bits+7)/8 bytes each, scales elsewhere.
template <class Codes, class Scales>
struct Plain : Codes, Scales {
  static constexpr std::size_t block = kBlock * Codes::bits / 8;
  static const std::uint8_t* row(const Weights& w, std::size_t n) {
    return static_cast<const std::uint8_t*>(w.values) + n * ((w.k * Codes::bits + 7) / 8);
  }
};
using S8 = Plain<Bytes, PerRow>;
using S4 = Plain<Nibbles, PerRow>;
using S8g = Plain<Bytes, PerBlock>;
using S4g = Plain<Nibbles, PerBlock>;

template <class Codes, class Block>
struct Blocks : Codes, PerBlock {
  static constexpr std::size_t block = sizeof(Block);
  static const std::uint8_t* row(const Weights& w, std::size_t n) {
    return static_cast<const std::uint8_t*>(w.values) + n * (w.k / kBlock) * block + sizeof(f16);
  }
  static float scale(const Weights& w, std::size_t n, std::size_t b) {
    return widened(static_cast<const Block*>(w.values)[n * (w.k / kBlock) + b].d);
  }
};
using Q8_0 = Blocks<Bytes, BlockQ8_0>;
using Q4_0 = Blocks<RaisedNibbles, BlockQ4_0>;

// --- Products ----------------------------------------------------------------------------------

/// sum + the products of a block, spread over four lanes.
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

/// y[m..m+R, n..n+C).
template <class F, int R, int C>
inline void tile(const Weights& w, const std::byte* workspace, const RowLayout& layout,
                 std::size_t m, std::size_t n, float* y) {
  const std::size_t blocks = blocks_of(w.k);
  const std::int8_t* x[R];
  const float* scales[R];
  const std::uint8_t* from[C];
  for (int r = 0; r < R; ++r) {
    const std::byte* row = workspace + (m + std::size_t(r)) * layout.stride;
    x[r] = reinterpret_cast<const std::int8_t*>(row);
    scales[r] = reinterpret_cast<const float*>(row + layout.scales);
  }
  for (int c = 0; c < C; ++c) from[c] = F::row(w, n + std::size_t(c));

  int32x4_t sum[R][C];
  float32x4_t result[R][C];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) sum[r][c] = vdupq_n_s32(0), result[r][c] = vdupq_n_f32(0);
  const auto add = [&](std::size_t b, const auto& weights) {
    int8x16x2_t v[R];
    for (int r = 0; r < R; ++r) v[r] = Bytes::load(x[r] + b * kBlock);
    for (int c = 0; c < C; ++c) {
      const int8x16x2_t codes = weights(c);
      if constexpr (F::per_block) {
        const float d = F::scale(w, n + std::size_t(c), b);
        for (int r = 0; r < R; ++r)
          result[r][c] =
              vfmaq_n_f32(result[r][c], vcvtq_f32_s32(dot<F::bits>(vdupq_n_s32(0), codes, v[r])),
                          d * scales[r][b]);
      } else {
        for (int r = 0; r < R; ++r) sum[r][c] = dot<F::bits>(sum[r][c], codes, v[r]);
      }
    }
  };
  const std::size_t whole = w.k / kBlock;
  for (std::size_t b = 0; b < whole; ++b)
    add(b, [&](int c) { return F::load(from[c] + b * F::block); });
  if constexpr (!F::per_block) {
    if (whole < blocks) {  // a copy of what there is of the last block, zeros behind it
      const std::size_t bytes = (w.k * F::bits + 7) / 8 - whole * F::block;
      std::uint8_t last[C][kBlock] = {};
      for (int c = 0; c < C; ++c)
        for (std::size_t i = 0; i < bytes; ++i) last[c][i] = from[c][whole * F::block + i];
      add(whole, [&](int c) { return F::load(last[c]); });
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) {
      float& out = y[(m + std::size_t(r)) * w.n + n + std::size_t(c)];
      if constexpr (F::per_block)
        out = vaddvq_f32(result[r][c]);
      else
        out = float(vaddvq_s32(sum[r][c])) *
              (*scales[r] * static_cast<const float*>(w.scales)[n + std::size_t(c)]);
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
  const RowLayout layout = row_layout(w.k, F::per_block);
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
          .workspace_bytes = workspace_bytes<F::per_block>,
          .m_step = 1,
          .prepare = prepare<F::per_block, F::split>,
          .run = run<F>};
}

}  // namespace

constexpr Kernel matmul_a8_s8_neon = kernel_of<S8>();
constexpr Kernel matmul_a8_s4_neon = kernel_of<S4>();
constexpr Kernel matmul_a8_s8g_neon = kernel_of<S8g>();
constexpr Kernel matmul_a8_s4g_neon = kernel_of<S4g>();
constexpr Kernel matmul_a8_q8_0_neon = kernel_of<Q8_0>();
constexpr Kernel matmul_a8_q4_0_neon = kernel_of<Q4_0>();

}  // namespace qb::matmul
