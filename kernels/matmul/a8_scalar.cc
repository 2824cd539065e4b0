// Products of int8 activations in plain C++: `scalar` (vectorisation off), `autovec` and
// `autovec_avx2` (on). On the canonical weights: nothing is packed.
//
// The inner loops are dot products of bytes over whole blocks of 32, which compilers know how to
// widen (pmaddwd). For s4, whose bytes hold neighbours, prepare() stores the activations of a block
// evens first and odds behind them, so that no shuffle is needed.
#include "core/scalar_half.h"
#include "core/unroll.h"
#include "matmul/a8_activations.h"
#include "matmul/kernels.h"

namespace qb::matmul {
namespace {

/// Codes of `count` values in activation-block order; count <= 32, zeros behind.
/// split: evens in the first half, odds in the second.
template <bool split, bool half_away>
inline void quantize_block(const float* x, std::size_t count, float inverse, std::int8_t* codes) {
  std::int8_t rounded[kBlock] = {};
  for (std::size_t i = 0; i < count; ++i) {
    float v = x[i] * inverse;
    v = v > -127.0f ? v : -127.0f;  // not max(): NaN must become a number here
    v = v < 127.0f ? v : 127.0f;
    if constexpr (half_away)  // the float below a half: what lies just below a tie stays below
      rounded[i] = static_cast<std::int8_t>(v + (v < 0 ? -0.49999997f : 0.49999997f));
    else  // adding 1.5*2^23 leaves the nearest integer, ties to even, in the low bits
      rounded[i] = static_cast<std::int8_t>(bits_of(v + 12582912.0f));
  }
  for (std::size_t i = 0; i < kBlock; ++i)
    codes[i] = split ? rounded[i < kBlock / 2 ? 2 * i : 2 * i - (kBlock - 1)] : rounded[i];
}

inline float absmax(const float* x, std::size_t count) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t magnitude = bits_of(x[i]) & 0x7fffffffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  return float_of(largest);
}

template <bool per_block, bool split>
void prepare(const void* x, std::size_t, std::size_t k, std::size_t, std::size_t m0, std::size_t m1,
             void* workspace) {
  const RowLayout layout = row_layout(k, per_block);
  for (std::size_t m = m0; m < m1; ++m) {
    const float* row = static_cast<const float*>(x) + m * k;
    auto* const out = static_cast<std::byte*>(workspace) + m * layout.stride;
    auto* const codes = reinterpret_cast<std::int8_t*>(out);
    auto* const scales = reinterpret_cast<float*>(out + layout.scales);
    Scaling scaling{};
    if constexpr (!per_block) {
      scaling = row_scaling(absmax(row, k));
      scales[0] = scaling.scale;
    }
    for (std::size_t b = 0; b < blocks_of(k); ++b) {
      const float* from = row + b * kBlock;
      const std::size_t count = k - b * kBlock < kBlock ? k - b * kBlock : kBlock;
      if constexpr (per_block) {
        scaling = block_scaling(absmax(from, count));
        scales[b] = f16_to_f32(f32_to_f16(scaling.scale));
      }
      quantize_block<split, per_block>(from, count, scaling.inverse, codes + b * kBlock);
    }
  }
}

template <bool per_block>
std::size_t workspace_bytes(std::size_t m, std::size_t, std::size_t k, std::size_t) {
  return m * row_layout(k, per_block).stride;
}

std::size_t packed_bytes(std::size_t, std::size_t, std::size_t) { return 0; }

inline std::int32_t dot_bytes(const std::int8_t* w, const std::int8_t* x, std::size_t count) {
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += w[i] * x[i];
  return sum;
}

/// Up to 16 bytes of two codes: low nibbles times x[0..16), high nibbles times x[16..32). Codes are
/// two's complement; flip is 8 where they are stored +8.
template <int flip>
inline std::int32_t dot_nibbles(const std::uint8_t* w, const std::int8_t* x, std::size_t count) {
  std::int32_t sum = 0;
  QB_ROLLED for (std::size_t i = 0; i < count; ++i) {
    const int low = ((w[i] & 15) ^ (8 - flip)) - 8, high = ((w[i] >> 4) ^ (8 - flip)) - 8;
    sum += low * x[i] + high * x[i + kBlock / 2];
  }
  return sum;
}

// What a format is to the loop over outputs: one output's weights against one row.

struct PerRow {
  static constexpr bool per_block = false;
};

struct PerBlock {
  static constexpr bool per_block = true;
};

struct S8 : PerRow {
  static constexpr bool split = false;
  static float product(const Weights& w, std::size_t n, const std::int8_t* x, const float* scale) {
    const auto* codes = static_cast<const std::int8_t*>(w.values) + n * w.k;
    return float(dot_bytes(codes, x, w.k)) * (*scale * static_cast<const float*>(w.scales)[n]);
  }
};

struct S4 : PerRow {
  static constexpr bool split = true;
  static float product(const Weights& w, std::size_t n, const std::int8_t* x, const float* scale) {
    const std::size_t bytes = (w.k + 1) / 2, half = kBlock / 2;
    const auto* codes = static_cast<const std::uint8_t*>(w.values) + n * bytes;
    std::int32_t sum = 0;
    for (std::size_t at = 0; at < bytes; at += half)
      sum += dot_nibbles<0>(codes + at, x + 2 * at, bytes - at < half ? bytes - at : half);
    return float(sum) * (*scale * static_cast<const float*>(w.scales)[n]);
  }
};

struct S8g : PerBlock {
  static constexpr bool split = false;
  static float product(const Weights& w, std::size_t n, const std::int8_t* x, const float* scales) {
    const auto* codes = static_cast<const std::int8_t*>(w.values) + n * w.k;
    const auto* group_scales = static_cast<const f16*>(w.scales) + n * (w.k / w.group);
    float sum = 0;
    for (std::size_t g = 0, k = 0; k < w.k; ++g) {
      const float group_scale = f16_to_f32(group_scales[g]);
      for (const std::size_t end = k + w.group; k < end; k += kBlock)
        sum += float(dot_bytes(codes + k, x + k, kBlock)) * (group_scale * scales[k / kBlock]);
    }
    return sum;
  }
};

struct S4g : PerBlock {
  static constexpr bool split = true;
  static float product(const Weights& w, std::size_t n, const std::int8_t* x, const float* scales) {
    const auto* codes = static_cast<const std::uint8_t*>(w.values) + n * (w.k / 2);
    const auto* group_scales = static_cast<const f16*>(w.scales) + n * (w.k / w.group);
    float sum = 0;
    for (std::size_t g = 0, k = 0; k < w.k; ++g) {
      const float group_scale = f16_to_f32(group_scales[g]);
      for (const std::size_t end = k + w.group; k < end; k += kBlock)
        sum += float(dot_nibbles<0>(codes + k / 2, x + k, kBlock / 2)) *
               (group_scale * scales[k / kBlock]);
    }
    return sum;
  }
};

struct Q8_0 : PerBlock {
  static constexpr bool split = false;
  static float product(const Weights& w, std::size_t n, const std::int8_t* x, const float* scales) {
    const auto* blocks = static_cast<const BlockQ8_0*>(w.values) + n * (w.k / kBlock);
    float sum = 0;
    for (std::size_t b = 0; b < w.k / kBlock; ++b)
      sum += float(dot_bytes(blocks[b].qs, x + b * kBlock, kBlock)) *
             (f16_to_f32(blocks[b].d) * scales[b]);
    return sum;
  }
};

struct Q4_0 : PerBlock {
  static constexpr bool split = false;
  static float product(const Weights& w, std::size_t n, const std::int8_t* x, const float* scales) {
    const auto* blocks = static_cast<const BlockQ4_0*>(w.values) + n * (w.k / kBlock);
    float sum = 0;
    for (std::size_t b = 0; b < w.k / kBlock; ++b)
      sum += float(dot_nibbles<8>(blocks[b].qs, x + b * kBlock, kBlock / 2)) *
             (f16_to_f32(blocks[b].d) * scales[b]);
    return sum;
  }
};

template <class Format>
void run(const Weights& w, const void*, const void*, const void* workspace, std::size_t m,
         std::size_t n0, std::size_t n1, void* y) {
  const RowLayout layout = row_layout(w.k, Format::per_block);
  for (std::size_t n = n0; n < n1; ++n)
    for (std::size_t i = 0; i < m; ++i) {
      const auto* row = static_cast<const std::byte*>(workspace) + i * layout.stride;
      static_cast<float*>(y)[i * w.n + n] =
          Format::product(w, n, reinterpret_cast<const std::int8_t*>(row),
                          reinterpret_cast<const float*>(row + layout.scales));
    }
}

template <class Format>
constexpr Kernel kernel_of() {
  return {.n_step = 1,
          .packed_bytes = packed_bytes,
          .pack = nullptr,
          .unpack = nullptr,
          .workspace_bytes = workspace_bytes<Format::per_block>,
          .m_step = 1,
          .prepare = prepare<Format::per_block, Format::split>,
          .run = run<Format>};
}

}  // namespace

constexpr Kernel QB_SYMBOL(matmul_a8_s8) = kernel_of<S8>();
constexpr Kernel QB_SYMBOL(matmul_a8_s4) = kernel_of<S4>();
constexpr Kernel QB_SYMBOL(matmul_a8_s8g) = kernel_of<S8g>();
constexpr Kernel QB_SYMBOL(matmul_a8_s4g) = kernel_of<S4g>();
constexpr Kernel QB_SYMBOL(matmul_a8_q8_0) = kernel_of<Q8_0>();
constexpr Kernel QB_SYMBOL(matmul_a8_q4_0) = kernel_of<Q4_0>();

}  // namespace qb::matmul
