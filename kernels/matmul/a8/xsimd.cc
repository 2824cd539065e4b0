// SPDX-License-Identifier: Apache-2.0
// Products of int8 activations, portable. xsimd has no multiplication that widens or adds
// neighbours, so codes are widened to int16 by shifts and multiplied there: two products of 8-bit
// codes fit (2*127*128 = 32512), sixteen of 4-bit codes (16*15*127), before two shifts and an
// addition take them to int32.
//
// Panels of as many outputs as a vector has int32 lanes; a lane holds a word of one output's
// canonical row, 4 codes or 8, so that packing moves words and nothing in them. Shifts take the
// codes of all lanes out in pairs; activations lie in the order of these pairs, and a pair of
// them, broadcast, meets every output. Behind the codes of each group, or of all blocks, the
// panel's scales as f32, and the minima of formats that have them, or the scales of the second 16
// codes of a block.
#include "core/xsimd.h"
#include "core/scalar_half.h"
#include "core/unroll.h"
#include "matmul/a8/activations.h"
#include "matmul/source.h"

namespace qb::matmul {
namespace {

using I16 = batch<std::int16_t>;
using I32 = batch<std::int32_t>;
using F32 = batch<float>;
constexpr std::size_t kPanel = I32::size;  // outputs

// --- Packing -----------------------------------------------------------------------------------

/// Where things stand in a panel. Bytes.
template <int bits_, bool per_block_, bool minimum_, bool halves_>
struct Panel {
  static constexpr int bits = bits_;
  static constexpr bool per_block = per_block_;
  static constexpr bool minimum = minimum_;  ///< and codes that are not negative
  static constexpr bool halves = halves_;    ///< whether scales are of half a block each
  static constexpr std::size_t scales = (minimum || halves ? 2 : 1) * kPanel * sizeof(float);
  static constexpr std::size_t words = bits;       ///< of a block of 32 codes
  static constexpr std::size_t codes = 32 / bits;  ///< of a word
  static constexpr std::size_t row = 4 * kPanel;   ///< a word of every output
  static constexpr std::size_t block = words * row;

  /// Blocks that share scales.
  static std::size_t group_blocks(std::size_t k, std::size_t group) {
    return halves ? 1 : per_block ? group / kBlock : blocks_of(k);
  }
  static std::size_t groups(std::size_t k, std::size_t group) {
    return per_block ? blocks_of(k) / group_blocks(k, group) : 1;
  }
  static std::size_t bytes(std::size_t k, std::size_t group) {
    return blocks_of(k) * block + groups(k, group) * scales;
  }
};
template <class F>
constexpr bool kLooksUp = kIsTable<typename F::Codes> && !kIsUnsigned<typename F::Codes>;
template <class F>
using PanelOf = Panel<kLooksUp<F> ? 8 : F::Codes::bits, F::per_group,
                      kHasMinimum<typename F::Scale>, kUnitOf<typename F::Scale> != kBlock>;

/// Which code of a block is the i'th, from the lowest bits, of its word j.
template <class F>
constexpr std::size_t code_at(std::size_t j, std::size_t i) {
  constexpr bool halves =
      PanelOf<F>::bits == 4 && !F::neighbours;  // of the block, in a byte's nibbles
  return halves ? 4 * j + i / 2 + i % 2 * (kBlock / 2) : PanelOf<F>::codes * j + i;
}

/// Nibbles of integers, as F stores them.
template <class F>
inline void to_twos_complement(std::uint32_t (&word)[PanelOf<F>::words]) {
  if constexpr (F::Codes::bits == 4 && !kIsUnsigned<typename F::Codes>)
    for (std::uint32_t& v : word) v ^= 0x11111111u * (F::flip ^ 8);
}

/// The words of block b of output n, nibbles in two's complement or unsigned. Indices of a table
/// are packed as the bytes that they stand for: xsimd 8 looks no bytes up.
template <class F>
inline void words_of(const Weights& w, std::size_t n, std::size_t b,
                     std::uint32_t (&word)[PanelOf<F>::words]) {
  if constexpr (kLooksUp<F>) {
    std::int8_t codes[kBlock];
    copy_values<F>(w, n, b * kBlock, kBlock, codes);
    __builtin_memcpy(word, codes, sizeof word);
  } else if constexpr (kGathered<F>) {
    BlockCodes<F> room;
    __builtin_memcpy(word, block_codes<F>(w, n, b, room), sizeof word);
    to_twos_complement<F>(word);
  } else {
    const std::size_t left = F::row(w.k) - (b * F::block + F::codes);
    const std::uint8_t* const from = codes_at<F>(w, n, b);
    if (left >= sizeof word)
      __builtin_memcpy(word, from, sizeof word);
    else
      __builtin_memcpy(word, from, left);
    to_twos_complement<F>(word);
  }
}

template <class F>
std::size_t packed_bytes(std::size_t n, std::size_t k, std::size_t group) {
  return (n + kPanel - 1) / kPanel * PanelOf<F>::bytes(k, group);
}

template <class F>
void pack(const Weights& weights, std::size_t n0, std::size_t n1, void* packed) {
  using P = PanelOf<F>;
  const Weights w = weights;  // a copy: bytes that are stored may not be it
  const std::size_t bytes = P::bytes(w.k, w.group);
  const std::size_t group_blocks = P::group_blocks(w.k, w.group);
  const std::size_t groups = P::groups(w.k, w.group);
  for (std::size_t n = n0; n < n1; n += kPanel) {
    auto* out = static_cast<std::uint8_t*>(packed) + n / kPanel * bytes;
    for (std::size_t g = 0; g < groups; ++g) {
      for (std::size_t b = g * group_blocks; b < (g + 1) * group_blocks; ++b, out += P::block)
        for (std::size_t c = 0; c < kPanel; ++c) {
          std::uint32_t word[P::words] = {};
          if (n + c < n1) words_of<F>(w, n + c, b, word);
          for (std::size_t j = 0; j < P::words; ++j)
            __builtin_memcpy(out + j * P::row + 4 * c, &word[j], sizeof word[j]);
        }
      for (std::size_t c = 0; c < kPanel; ++c, out += sizeof(float)) {
        const std::size_t first = P::halves ? 2 * g : g;
        const auto scale = n + c < n1 ? F::scale(w, n + c, first) : typename F::Scale{};
        const float factor = to_f32(scale);
        __builtin_memcpy(out, &factor, sizeof factor);
        if constexpr (P::minimum)
          __builtin_memcpy(out + P::scales / 2, &scale.minimum, sizeof scale.minimum);
        if constexpr (P::halves) {
          const float second = n + c < n1 ? to_f32(F::scale(w, n + c, first + 1)) : 0.0f;
          __builtin_memcpy(out + P::scales / 2, &second, sizeof second);
        }
      }
      out += P::scales - kPanel * sizeof(float);
    }
  }
}

template <class F>
void unpack(const void* packed, std::size_t, std::size_t k, std::size_t group, std::size_t n0,
            std::size_t n1, void* codes) {
  using P = PanelOf<F>;
  const std::size_t group_blocks = P::group_blocks(k, group);
  for (std::size_t n = n0; n < n1; ++n) {
    const auto* const panel =
        static_cast<const std::uint8_t*>(packed) + n / kPanel * P::bytes(k, group);
    auto* const to = static_cast<std::int8_t*>(codes) + n * k;
    for (std::size_t b = 0; b < blocks_of(k); ++b)
      for (std::size_t j = 0; j < P::words; ++j) {
        std::uint32_t word;
        __builtin_memcpy(&word,
                         panel + b * P::block + b / group_blocks * P::scales + j * P::row +
                             n % kPanel * sizeof word,
                         sizeof word);
        for (std::size_t i = 0; i < P::codes; ++i, word >>= P::bits) {
          const std::size_t at = b * kBlock + code_at<F>(j, i);
          constexpr int unused = 8 - P::bits;
          if (at < k)
            to[at] =
                P::minimum && P::bits == 4
                    ? static_cast<std::int8_t>(word & 15)
                    : static_cast<std::int8_t>(static_cast<std::int8_t>(word << unused) >> unused);
        }
      }
  }
}

// --- Activations -------------------------------------------------------------------------------

/// A row: int16 codes, padded with zeros to whole blocks, in pairs that meet the codes of weights
/// in the two halves of a word; then one f32 scale, or one per block, and as many floats that
/// minima are multiplied with: sums of codes times their scale.
struct Rows {
  std::size_t scales, sums, stride;
};
template <bool per_block>
constexpr Rows rows_of(std::size_t k) {
  const std::size_t codes = blocks_of(k) * kBlock * sizeof(std::int16_t);
  const std::size_t scales = (per_block ? blocks_of(k) : 1) * sizeof(float);
  return {codes, codes + scales, (codes + 2 * scales + 63) / 64 * 64};
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

/// Per block a tie goes away from zero (adding the float below one half, then cutting off);
/// otherwise to even.
template <class F>
inline void quantize_block(const float* x, float inverse, std::int16_t* codes) {
  std::int32_t q[kBlock];
  for (std::size_t i = 0; i < kBlock; i += F32::size) {
    const F32 v = F32::load_unaligned(x + i) * F32(inverse);
    const F32 whole =
        F::per_group ? v + (xsimd::bitofsign(v) | F32(0.49999997f)) : xsimd::nearbyint(v);
    xsimd::to_int(whole).store_unaligned(q + i);
  }
  constexpr std::size_t pairs = PanelOf<F>::codes / 2;
  for (std::size_t j = 0; j < PanelOf<F>::words; ++j)
    QB_UNROLL for (std::size_t i = 0; i < pairs; ++i, codes += 2) {
      codes[0] = static_cast<std::int16_t>(q[code_at<F>(j, i)]);
      codes[1] = static_cast<std::int16_t>(q[code_at<F>(j, i + pairs)]);
    }
}

template <class F>
void prepare(const void* x, std::size_t, std::size_t k, std::size_t, std::size_t m0, std::size_t m1,
             void* workspace) {
  const Rows layout = rows_of<F::per_group>(k);
  float padded[kBlock];
  for (std::size_t m = m0; m < m1; ++m) {
    const float* row = static_cast<const float*>(x) + m * k;
    auto* const out = static_cast<std::byte*>(workspace) + m * layout.stride;
    auto* const codes = reinterpret_cast<std::int16_t*>(out);
    auto* const scales = reinterpret_cast<float*>(out + layout.scales);
    [[maybe_unused]] auto* const sums = reinterpret_cast<float*>(out + layout.sums);
    Scaling scaling{};
    if constexpr (!F::per_group) {
      F32 largest(0.0f);
      for (std::size_t i = 0; i < k; i += kBlock)
        largest = xsimd::max(largest, magnitudes(whole_block(row + i, k - i, padded)));
      scaling = row_scaling(reduce_max(largest));
      scales[0] = scaling.scale;
    }
    for (std::size_t i = 0; i < k; i += kBlock) {
      const float* const block = whole_block(row + i, k - i, padded);
      if constexpr (F::per_group) {
        scaling = block_scaling(reduce_max(magnitudes(block)));
        scales[i / kBlock] = f16_to_f32(f32_to_f16(scaling.scale));
      }
      quantize_block<F>(block, scaling.inverse, codes + i);
      if constexpr (kHasMinimum<typename F::Scale>) {
        std::int32_t sum = 0;
        for (std::size_t j = 0; j < kBlock; ++j) sum += codes[i + j];
        sums[i / kBlock] = float(sum) * scales[i / kBlock];
      }
    }
  }
}

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

/// sum + a block of 32 of K, or `count` codes of 8 bits: codes at w, R rows of activations `stride`
/// int16 apart.
template <class P, std::size_t count = kBlock, int R>
inline void add_block(const std::uint8_t* w, const std::int16_t* x, std::size_t stride,
                      I32 (&sum)[R]) {
  if constexpr (P::bits == 8) {
    for (std::size_t j = 0; j < count; j += 4, w += 4 * kPanel) {
      const I16 v = bitwise<std::int16_t>(load(w));
      const I16 even = (v << 8) >> 8, odd = v >> 8;
      for (int r = 0; r < R; ++r) {
        const std::int16_t* const at = x + std::size_t(r) * stride + j;
        sum[r] = add_pairs(sum[r], even * broadcast(at) + odd * broadcast(at + 2));
      }
    }
  } else {
    I16 part[R];
    for (int r = 0; r < R; ++r) part[r] = I16(std::int16_t{0});
    for (std::size_t j = 0; j < kBlock; j += 8, w += 4 * kPanel) {
      const I16 v = bitwise<std::int16_t>(load(w));
      const auto nibble = [&](int i) {
        return P::minimum ? (v >> 4 * i) & I16(std::int16_t{15}) : (v << (12 - 4 * i)) >> 12;
      };
      const I16 first = nibble(0), second = nibble(1), third = nibble(2), fourth = nibble(3);
      for (int r = 0; r < R; ++r) {
        const std::int16_t* const at = x + std::size_t(r) * stride + j;
        part[r] = part[r] + (first * broadcast(at) + second * broadcast(at + 2)) +
                  (third * broadcast(at + 4) + fourth * broadcast(at + 6));
      }
    }
    for (int r = 0; r < R; ++r) sum[r] = add_pairs(sum[r], part[r]);
  }
}

/// R rows from m on times one panel.
template <class P, int R>
inline void tile(const Weights& w, const std::uint8_t* panel, const std::byte* workspace,
                 std::size_t m, std::size_t n, std::size_t n1, float* y) {
  const Rows layout = rows_of<P::per_block>(w.k);
  const std::size_t stride = layout.stride / sizeof(std::int16_t);
  const std::size_t group_blocks = P::group_blocks(w.k, w.group);
  const std::byte* const row = workspace + m * layout.stride;
  const auto* x = reinterpret_cast<const std::int16_t*>(row);
  const auto* scales = reinterpret_cast<const float*>(row + layout.scales);
  const float* const sums = scales + (layout.sums - layout.scales) / sizeof(float);
  const std::size_t scale_stride = layout.stride / sizeof(float);
  F32 result[R];
  I32 sum[R];
  for (int r = 0; r < R; ++r) result[r] = F32(0.0f), sum[r] = I32(0);
  const auto weight_scales = [&] {
    return F32::load_unaligned(reinterpret_cast<const float*>(panel + group_blocks * P::block));
  };
  if constexpr (P::per_block) {
    for (std::size_t b = 0; b < w.k / kBlock; panel += group_blocks * P::block + P::scales) {
      const F32 d = weight_scales();
      const float* const behind =  // minima, or scales of second halves
          reinterpret_cast<const float*>(panel + group_blocks * P::block) + kPanel;
      if constexpr (P::halves) {
        for (std::size_t half = 0; half < 2; ++half, x += kBlock / 2) {
          for (int r = 0; r < R; ++r) sum[r] = I32(0);
          add_block<P, kBlock / 2>(panel + half * P::block / 2, x, stride, sum);
          const F32 by = half ? F32::load_unaligned(behind) : d;
          for (int r = 0; r < R; ++r)
            result[r] = xsimd::fma(xsimd::to_float(sum[r]),
                                   by * F32(scales[std::size_t(r) * scale_stride + b]), result[r]);
        }
        ++b;
        continue;
      }
      for (std::size_t i = 0; i < group_blocks; ++i, ++b, x += kBlock) {
        for (int r = 0; r < R; ++r) sum[r] = I32(0);
        add_block<P>(panel + i * P::block, x, stride, sum);
        for (int r = 0; r < R; ++r)
          result[r] = xsimd::fma(xsimd::to_float(sum[r]),
                                 d * F32(scales[std::size_t(r) * scale_stride + b]), result[r]);
        if constexpr (P::minimum)
          for (int r = 0; r < R; ++r)
            result[r] = xsimd::fnma(F32::load_unaligned(behind),
                                    F32(sums[std::size_t(r) * scale_stride + b]), result[r]);
      }
    }
  } else {
    for (std::size_t b = 0; b < group_blocks; ++b, x += kBlock)
      add_block<P>(panel + b * P::block, x, stride, sum);
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

template <class P>
void run(const Weights& w, const void* packed, const void*, const void* workspace, std::size_t m,
         std::size_t n0, std::size_t n1, void* y) {
  const std::size_t bytes = P::bytes(w.k, w.group);
  const auto* rows = static_cast<const std::byte*>(workspace);
  auto* const out = static_cast<float*>(y);
  for (std::size_t n = n0; n < n1; n += kPanel) {
    const auto* panel = static_cast<const std::uint8_t*>(packed) + n / kPanel * bytes;
    std::size_t r = 0;
    for (; r + 4 <= m; r += 4) tile<P, 4>(w, panel, rows, r, n, n1, out);
    for (; r < m; ++r) tile<P, 1>(w, panel, rows, r, n, n1, out);
  }
}

template <class F>
constexpr Kernel kernel_of() {
  return {.n_step = kPanel,
          .packed_bytes = packed_bytes<F>,
          .pack = pack<F>,
          .unpack = unpack<F>,
          .workspace_bytes = workspace_bytes<F::per_group>,
          .m_step = 1,
          .prepare = prepare<F>,
          .run = run<PanelOf<F>>};
}

}  // namespace

constexpr Kernels QB_SYMBOL(matmul_a8) = every_quantized_format([](auto format) {
  return kernel_of<decltype(format)>();
});

}  // namespace qb::matmul
