// Products of int8 activations, portable. xsimd has no multiplication that widens or adds
// neighbours, so codes are widened to int16 by shifts and multiplied there: two products of 8-bit
// codes fit (2*127*128 = 32512), sixteen of 4-bit codes (16*8*127), before two shifts and an
// addition take them to int32.
//
// Panels of as many outputs as a vector has int32 lanes; a lane holds 4 of K (4-bit: K+0..3 in the
// low nibbles, K+16..19 in the high ones) for one output, and four activations, broadcast, meet
// them in all lanes. Behind the codes of each group, or of all blocks, the panel's scales as f32.
#include "core/xsimd.h"

#include "core/scalar_half.h"
#include "matmul/a8_activations.h"
#include "matmul/kernels.h"

namespace qb::matmul {
namespace {

using I16 = batch<std::int16_t>;
using I32 = batch<std::int32_t>;
using F32 = batch<float>;
constexpr std::size_t kPanel = I32::size;  // outputs
constexpr std::size_t kScales = kPanel * sizeof(float);

// --- Formats: how canonical weights are read, once, when they are packed -------------------------

struct PerRow {
  static constexpr bool per_block = false;
  static float scale(const Weights& w, std::size_t n, std::size_t) {
    return static_cast<const float*>(w.scales)[n];
  }
};
struct PerBlock {
  static constexpr bool per_block = true;
  static float scale(const Weights& w, std::size_t n, std::size_t g) {
    return f16_to_f32(static_cast<const f16*>(w.scales)[n * (w.k / w.group) + g]);
  }
};
template <class Scales>
struct Bytes : Scales {
  static constexpr int bits = 8;
  static int code(const Weights& w, std::size_t n, std::size_t k) {
    return static_cast<const std::int8_t*>(w.values)[n * w.k + k];
  }
};
template <class Scales>
struct Nibbles : Scales {
  static constexpr int bits = 4;
  static int code(const Weights& w, std::size_t n, std::size_t k) {
    const int byte = static_cast<const std::uint8_t*>(w.values)[n * ((w.k + 1) / 2) + k / 2];
    return ((k % 2 ? byte >> 4 : byte & 15) ^ 8) - 8;
  }
};
using S8 = Bytes<PerRow>;
using S4 = Nibbles<PerRow>;
using S8g = Bytes<PerBlock>;
using S4g = Nibbles<PerBlock>;
struct Q8_0 : PerBlock {
  static constexpr int bits = 8;
  static const BlockQ8_0& block(const Weights& w, std::size_t n, std::size_t b) {
    return static_cast<const BlockQ8_0*>(w.values)[n * (w.k / kBlock) + b];
  }
  static int code(const Weights& w, std::size_t n, std::size_t k) {
    return block(w, n, k / kBlock).qs[k % kBlock];
  }
  static float scale(const Weights& w, std::size_t n, std::size_t g) {
    return f16_to_f32(block(w, n, g).d);
  }
};
struct Q4_0 : PerBlock {
  static constexpr int bits = 4;
  static const BlockQ4_0& block(const Weights& w, std::size_t n, std::size_t b) {
    return static_cast<const BlockQ4_0*>(w.values)[n * (w.k / kBlock) + b];
  }
  static int code(const Weights& w, std::size_t n, std::size_t k) {
    const std::size_t j = k % kBlock, half = kBlock / 2;
    const int byte = block(w, n, k / kBlock).qs[j % half];
    return (j < half ? byte & 15 : byte >> 4) - 8;
  }
  static float scale(const Weights& w, std::size_t n, std::size_t g) {
    return f16_to_f32(block(w, n, g).d);
  }
};

// --- Packing -----------------------------------------------------------------------------------

template <class F>
struct Panel {
  static constexpr std::size_t block = kBlock * F::bits / 8 * kPanel;  ///< bytes of a block's codes

  static std::size_t group_blocks(std::size_t k, std::size_t group) {
    return F::per_block ? group / kBlock : blocks_of(k);
  }
  static std::size_t bytes(std::size_t k, std::size_t group) {
    return F::per_block ? k / group * (group / kBlock * block + kScales)
                        : blocks_of(k) * block + kScales;
  }
  /// Byte of code k of output `column`, from the start of the panel.
  static std::size_t at(std::size_t k, std::size_t group, std::size_t column) {
    const std::size_t b = k / kBlock, within = k % (F::bits == 8 ? kBlock : kBlock / 2);
    return b * block + (F::per_block ? k / group * kScales : 0) + within / 4 * (4 * kPanel) +
           4 * column + within % 4;
  }
  static bool is_high(std::size_t k) { return F::bits == 4 && k % kBlock >= kBlock / 2; }
};

template <class F>
std::size_t packed_bytes(std::size_t n, std::size_t k, std::size_t group) {
  return (n + kPanel - 1) / kPanel * Panel<F>::bytes(k, group);
}

template <class F>
void pack(const Weights& w, std::size_t n0, std::size_t n1, void* packed) {
  using P = Panel<F>;
  const std::size_t bytes = P::bytes(w.k, w.group);
  const std::size_t group_blocks = P::group_blocks(w.k, w.group);
  const std::size_t groups = F::per_block ? w.k / w.group : 1;
  for (std::size_t n = n0; n < n1; n += kPanel) {
    auto* const panel = static_cast<std::uint8_t*>(packed) + n / kPanel * bytes;
    for (std::size_t i = 0; i < bytes; ++i) panel[i] = 0;
    for (std::size_t c = 0; c < kPanel && n + c < n1; ++c) {
      for (std::size_t k = 0; k < w.k; ++k) {
        std::uint8_t& byte = panel[P::at(k, w.group, c)];
        const int code = F::code(w, n + c, k);
        if constexpr (F::bits == 8)
          byte = static_cast<std::uint8_t>(code);
        else
          byte = static_cast<std::uint8_t>(byte | (code & 15) << (P::is_high(k) ? 4 : 0));
      }
      for (std::size_t g = 0; g < groups; ++g) {
        const float scale = F::scale(w, n + c, g);
        __builtin_memcpy(panel + (g + 1) * group_blocks * P::block + g * kScales + c * sizeof scale,
                         &scale, sizeof scale);
      }
    }
  }
}

template <class F>
void unpack(const void* packed, std::size_t, std::size_t k, std::size_t group, std::size_t n0,
            std::size_t n1, void* codes) {
  using P = Panel<F>;
  for (std::size_t n = n0; n < n1; ++n)
    for (std::size_t i = 0; i < k; ++i) {
      const int byte = static_cast<const std::uint8_t*>(
          packed)[n / kPanel * P::bytes(k, group) + P::at(i, group, n % kPanel)];
      const int nibble = ((P::is_high(i) ? byte >> 4 : byte & 15) ^ 8) - 8;
      static_cast<std::int8_t*>(codes)[n * k + i] =
          static_cast<std::int8_t>(F::bits == 8 ? byte : nibble);
    }
}

// --- Activations -------------------------------------------------------------------------------

/// A row: int16 codes, padded with zeros to whole blocks, each four as 0 2 1 3, the order in which
/// shifts find the codes of weights; then one f32 scale, or one per block.
struct Rows {
  std::size_t scales, stride;
};
template <bool per_block>
constexpr Rows rows_of(std::size_t k) {
  const std::size_t codes = blocks_of(k) * kBlock * sizeof(std::int16_t);
  const std::size_t scales = (per_block ? blocks_of(k) : 1) * sizeof(float);
  return {codes, (codes + scales + 63) / 64 * 64};
}

template <bool per_block>
std::size_t workspace_bytes(std::size_t m, std::size_t, std::size_t k, std::size_t) {
  return m * rows_of<per_block>(k).stride;
}

/// The 32 values at x, or as many as there are and zeros, in a buffer if need be.
inline const float* whole_block(const float* x, std::size_t count, float (&padded)[kBlock]) {
  if (count >= kBlock) return x;
  for (std::size_t i = 0; i < kBlock; ++i) padded[i] = i < count ? x[i] : 0.0f;
  return padded;
}

inline F32 magnitudes(const float* x) {
  F32 largest = xsimd::abs(F32::load_unaligned(x));
  for (std::size_t i = F32::size; i < kBlock; i += F32::size)
    largest = xsimd::max(largest, xsimd::abs(F32::load_unaligned(x + i)));
  return largest;
}

/// half_away: a tie goes away from zero (adding the float below one half, then cutting off);
/// otherwise to even.
template <bool half_away>
inline void quantize_block(const float* x, float inverse, std::int16_t* codes) {
  std::int32_t q[kBlock];
  for (std::size_t i = 0; i < kBlock; i += F32::size) {
    const F32 v = F32::load_unaligned(x + i) * F32(inverse);
    const F32 whole =
        half_away ? v + (xsimd::bitofsign(v) | F32(0.49999997f)) : xsimd::nearbyint(v);
    xsimd::to_int(whole).store_unaligned(q + i);
  }
  for (std::size_t i = 0; i < kBlock; i += 4) {
    codes[i] = static_cast<std::int16_t>(q[i]);
    codes[i + 1] = static_cast<std::int16_t>(q[i + 2]);
    codes[i + 2] = static_cast<std::int16_t>(q[i + 1]);
    codes[i + 3] = static_cast<std::int16_t>(q[i + 3]);
  }
}

template <bool per_block>
void prepare(const void* x, std::size_t, std::size_t k, std::size_t, std::size_t m0, std::size_t m1,
             void* workspace) {
  const Rows layout = rows_of<per_block>(k);
  float padded[kBlock];
  for (std::size_t m = m0; m < m1; ++m) {
    const float* row = static_cast<const float*>(x) + m * k;
    auto* const out = static_cast<std::byte*>(workspace) + m * layout.stride;
    auto* const codes = reinterpret_cast<std::int16_t*>(out);
    auto* const scales = reinterpret_cast<float*>(out + layout.scales);
    Scaling scaling{};
    if constexpr (!per_block) {
      F32 largest(0.0f);
      for (std::size_t i = 0; i < k; i += kBlock)
        largest = xsimd::max(largest, magnitudes(whole_block(row + i, k - i, padded)));
      scaling = row_scaling(reduce_max(largest));
      scales[0] = scaling.scale;
    }
    for (std::size_t i = 0; i < k; i += kBlock) {
      const float* const block = whole_block(row + i, k - i, padded);
      if constexpr (per_block) {
        scaling = block_scaling(reduce_max(magnitudes(block)));
        scales[i / kBlock] = f16_to_f32(f32_to_f16(scaling.scale));
      }
      quantize_block<per_block>(block, scaling.inverse, codes + i);
    }
  }
}

/// Picks an overload by the width of a code.
template <int bits>
struct PanelBits {};

// --- Products ----------------------------------------------------------------------------------

inline I32 load(const void* p) { return I32::load_unaligned(static_cast<const std::int32_t*>(p)); }

/// Two activations in every output's pair of lanes.
inline I16 broadcast(const std::int16_t* x) {
  std::int32_t pair;
  __builtin_memcpy(&pair, x, sizeof pair);
  return bitwise<std::int16_t>(I32(pair));
}

/// Adds an output's two int16 lanes to its int32 lane.
inline I32 add_pairs(const I32& sum, const I16& pairs) {
  const I32 v = bitwise<std::int32_t>(pairs);
  return sum + (v >> 16) + ((v << 16) >> 16);
}

/// sum + a block of 32 of K: codes at w, R rows of activations `stride` int16 apart.
template <int R>
inline void add_block(const std::uint8_t* w, const std::int16_t* x, std::size_t stride,
                      I32 (&sum)[R], PanelBits<8>) {
  for (std::size_t j = 0; j < kBlock; j += 4, w += 4 * kPanel) {
    const I16 v = bitwise<std::int16_t>(load(w));
    const I16 even = (v << 8) >> 8, odd = v >> 8;
    for (int r = 0; r < R; ++r) {
      const std::int16_t* const at = x + std::size_t(r) * stride + j;
      sum[r] = add_pairs(sum[r], even * broadcast(at) + odd * broadcast(at + 2));
    }
  }
}

template <int R>
inline void add_block(const std::uint8_t* w, const std::int16_t* x, std::size_t stride,
                      I32 (&sum)[R], PanelBits<4>) {
  I16 part[R];
  for (int r = 0; r < R; ++r) part[r] = I16(std::int16_t{0});
  for (std::size_t j = 0; j < kBlock / 2; j += 4, w += 4 * kPanel) {
    const I16 v = bitwise<std::int16_t>(load(w));
    const I16 even = (v << 12) >> 12, even_high = (v << 8) >> 12, odd = (v << 4) >> 12,
              odd_high = v >> 12;
    for (int r = 0; r < R; ++r) {
      const std::int16_t* const at = x + std::size_t(r) * stride + j;
      part[r] =
          part[r] + (even * broadcast(at) + odd * broadcast(at + 2)) +
          (even_high * broadcast(at + kBlock / 2) + odd_high * broadcast(at + kBlock / 2 + 2));
    }
  }
  for (int r = 0; r < R; ++r) sum[r] = add_pairs(sum[r], part[r]);
}

/// R rows from m on times one panel.
template <class F, int R>
inline void tile(const Weights& w, const std::uint8_t* panel, const std::byte* workspace,
                 std::size_t m, std::size_t n, std::size_t n1, float* y) {
  using P = Panel<F>;
  const Rows layout = rows_of<F::per_block>(w.k);
  const std::size_t stride = layout.stride / sizeof(std::int16_t);
  const std::size_t group_blocks = P::group_blocks(w.k, w.group);
  const std::byte* const row = workspace + m * layout.stride;
  const auto* x = reinterpret_cast<const std::int16_t*>(row);
  const auto* scales = reinterpret_cast<const float*>(row + layout.scales);
  const std::size_t scale_stride = layout.stride / sizeof(float);
  F32 result[R];
  I32 sum[R];
  for (int r = 0; r < R; ++r) result[r] = F32(0.0f), sum[r] = I32(0);
  const auto weight_scales = [&] {
    return F32::load_unaligned(reinterpret_cast<const float*>(panel + group_blocks * P::block));
  };
  if constexpr (F::per_block) {
    for (std::size_t b = 0; b < w.k / kBlock; panel += group_blocks * P::block + kScales) {
      const F32 d = weight_scales();
      for (std::size_t i = 0; i < group_blocks; ++i, ++b, x += kBlock) {
        for (int r = 0; r < R; ++r) sum[r] = I32(0);
        add_block<R>(panel + i * P::block, x, stride, sum, PanelBits<F::bits>{});
        for (int r = 0; r < R; ++r)
          result[r] = xsimd::fma(xsimd::to_float(sum[r]),
                                 d * F32(scales[std::size_t(r) * scale_stride + b]), result[r]);
      }
    }
  } else {
    for (std::size_t b = 0; b < group_blocks; ++b, x += kBlock)
      add_block<R>(panel + b * P::block, x, stride, sum, PanelBits<F::bits>{});
    const F32 d = weight_scales();
    for (int r = 0; r < R; ++r)
      result[r] = xsimd::to_float(sum[r]) * (d * F32(scales[std::size_t(r) * scale_stride]));
  }
  for (int r = 0; r < R; ++r) {
    float* const out = y + (m + std::size_t(r)) * w.n + n;
    if (n + kPanel <= n1) {
      result[r].store_unaligned(out);
    } else {
      float lanes[kPanel];
      result[r].store_unaligned(lanes);
      for (std::size_t c = 0; n + c < n1; ++c) out[c] = lanes[c];
    }
  }
}

template <class F>
void run(const Weights& w, const void* packed, const void*, const void* workspace, std::size_t m,
         std::size_t n0, std::size_t n1, void* y) {
  const std::size_t bytes = Panel<F>::bytes(w.k, w.group);
  const auto* rows = static_cast<const std::byte*>(workspace);
  auto* const out = static_cast<float*>(y);
  for (std::size_t n = n0; n < n1; n += kPanel) {
    const auto* panel = static_cast<const std::uint8_t*>(packed) + n / kPanel * bytes;
    std::size_t r = 0;
    for (; r + 4 <= m; r += 4) tile<F, 4>(w, panel, rows, r, n, n1, out);
    for (; r < m; ++r) tile<F, 1>(w, panel, rows, r, n, n1, out);
  }
}

template <class F>
constexpr Kernel kernel_of() {
  return {.n_step = kPanel,
          .packed_bytes = packed_bytes<F>,
          .pack = pack<F>,
          .unpack = unpack<F>,
          .workspace_bytes = workspace_bytes<F::per_block>,
          .m_step = 1,
          .prepare = prepare<F::per_block>,
          .run = run<F>};
}

}  // namespace

constexpr Kernel QB_SYMBOL(matmul_a8_s8) = kernel_of<S8>();
constexpr Kernel QB_SYMBOL(matmul_a8_s4) = kernel_of<S4>();
constexpr Kernel QB_SYMBOL(matmul_a8_s8g) = kernel_of<S8g>();
constexpr Kernel QB_SYMBOL(matmul_a8_s4g) = kernel_of<S4g>();
constexpr Kernel QB_SYMBOL(matmul_a8_q8_0) = kernel_of<Q8_0>();
constexpr Kernel QB_SYMBOL(matmul_a8_q4_0) = kernel_of<Q4_0>();

}  // namespace qb::matmul
