// SPDX-License-Identifier: Apache-2.0
// Products of int8 activations in plain C++: `scalar` (vectorisation off), `autovec` and
// `autovec_avx2` (on). On the canonical weights: nothing is packed.
//
// The inner loops are dot products of bytes over whole blocks of 32, which compilers know how to
// widen (pmaddwd). Where bytes hold neighbours (s4), prepare() stores the activations of a block
// evens first and odds behind them, so that no shuffle is needed.
#include "core/scalar_half.h"
#include "core/unroll.h"
#include "matmul/a8/activations.h"
#include "matmul/source.h"

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

/// Up to 16 bytes of two codes: low nibbles times x[0..16), high nibbles times x[16..32).
template <class F>
inline std::int32_t dot_nibbles(const std::uint8_t* w, const std::int8_t* x, std::size_t count) {
  std::int32_t sum = 0;
  QB_ROLLED for (std::size_t i = 0; i < count; ++i) {
    const int low = F::Codes::value((w[i] & 15) ^ F::flip);
    const int high = F::Codes::value((w[i] >> 4) ^ F::flip);
    sum += low * x[i] + high * x[i + kBlock / 2];
  }
  return sum;
}

/// A block of 32.
template <class F>
inline std::int32_t dot_block(const std::uint8_t* w, const std::int8_t* x) {
  if constexpr (F::Codes::bits == 8)
    return dot_bytes(reinterpret_cast<const std::int8_t*>(w), x, kBlock);
  else
    return dot_nibbles<F>(w, x, kBlock / 2);
}

/// Half a block, where halves have sums of their own.
template <class F>
inline std::int32_t dot_half(const std::uint8_t* w, const std::int8_t* x, std::size_t half) {
  constexpr std::size_t count = kBlock / 2;
  x += half * count;
  if constexpr (F::Codes::bits == 8) {
    return dot_bytes(reinterpret_cast<const std::int8_t*>(w) + half * count, x, count);
  } else {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < count; ++i)
      sum += F::Codes::value((w[i] >> half * 4 & 15) ^ F::flip) * x[i];
    return sum;
  }
}

/// A whole row of codes.
template <class F>
inline std::int32_t dot_row(const std::uint8_t* w, const std::int8_t* x, std::size_t k) {
  if constexpr (F::Codes::bits == 8) {
    return dot_bytes(reinterpret_cast<const std::int8_t*>(w), x, k);
  } else {
    const std::size_t bytes = F::row(k), half = kBlock / 2;
    std::int32_t sum = 0;
    for (std::size_t at = 0; at < bytes; at += half)
      sum += dot_nibbles<F>(w + at, x + 2 * at, bytes - at < half ? bytes - at : half);
    return sum;
  }
}

/// Sum of a block's codes: what a minimum is multiplied with.
inline std::int32_t sum_of(const std::int8_t* x) {
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) sum += x[i];
  return sum;
}

/// Codes that are gathered, or whose groups of 32 have a minimum, times one row of activations.
template <class F>
inline float product_by_blocks(const Weights& w, std::size_t n, const std::int8_t* x,
                               const float* scales) {
  float sum = 0;
  for (std::size_t b = 0; b < w.k / kBlock; ++b, x += kBlock) {
    BlockCodes<F> room;
    const std::uint8_t* const codes = block_codes<F>(w, n, b, room);
    if constexpr (kUnitOf<typename F::Scale> == kBlock) {
      const auto scale = F::scale(w, n, b * kBlock / F::group(w));
      sum += float(dot_block<F>(codes, x)) * (to_f32(scale) * scales[b]);
      if constexpr (kHasMinimum<typename F::Scale>)
        sum -= scale.minimum * (float(sum_of(x)) * scales[b]);
    } else {
      for (std::size_t half = 0; half < 2; ++half)
        sum +=
            float(dot_half<F>(codes, x, half)) * (to_f32(F::scale(w, n, 2 * b + half)) * scales[b]);
    }
  }
  return sum;
}

/// Codes where they are, without minima.
template <class F>
inline float product_in_place(const Weights& w, std::size_t n, const std::int8_t* x,
                              const float* scales) {
  const std::uint8_t* codes = codes_at<F>(w, n, 0);
  if constexpr (!F::per_group) {
    return float(dot_row<F>(codes, x, w.k)) * (*scales * F::scale(w, n, 0));
  } else {
    const std::size_t group = F::group(w);
    float sum = 0;
    for (std::size_t g = 0, k = 0; k < w.k; ++g) {
      const float group_scale = to_f32(F::scale(w, n, g));
      for (const std::size_t end = k + group; k < end; k += kBlock, codes += F::block)
        sum += float(dot_block<F>(codes, x + k)) * (group_scale * scales[k / kBlock]);
    }
    return sum;
  }
}

/// One output's weights times one row of activations.
template <class F>
inline float product(const Weights& w, std::size_t n, const std::int8_t* x, const float* scales) {
  if constexpr (kGathered<F> || kHasMinimum<typename F::Scale>)
    return product_by_blocks<F>(w, n, x, scales);
  else
    return product_in_place<F>(w, n, x, scales);
}

template <class F>
void run(const Weights& w, const void*, const void*, const void* workspace, std::size_t m,
         std::size_t n0, std::size_t n1, void* y) {
  const RowLayout layout = row_layout(w.k, F::per_group);
  for (std::size_t n = n0; n < n1; ++n)
    for (std::size_t i = 0; i < m; ++i) {
      const auto* row = static_cast<const std::byte*>(workspace) + i * layout.stride;
      static_cast<float*>(y)[i * w.n + n] =
          product<F>(w, n, reinterpret_cast<const std::int8_t*>(row),
                     reinterpret_cast<const float*>(row + layout.scales));
    }
}

template <class F>
constexpr Kernel kernel_of() {
  return {.n_step = 1,
          .packed_bytes = packed_bytes,
          .pack = nullptr,
          .unpack = nullptr,
          .workspace_bytes = workspace_bytes<F::per_group>,
          .m_step = 1,
          .prepare = prepare < F::per_group,
          F::Codes::bits == 4 && F::neighbours >,
          .run = run<F>};
}

}  // namespace

constexpr Kernels QB_SYMBOL(matmul_a8) = every_quantized_format([](auto format) {
  return kernel_of<decltype(format)>();
});

}  // namespace qb::matmul
