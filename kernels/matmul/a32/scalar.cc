// SPDX-License-Identifier: Apache-2.0
// Matmul with f32 and with bf16 activations in plain C++: `scalar` (vectorisation off), `autovec`
// and `autovec_avx2` (on). Runs on the canonical weights: a run of one output's weights is decoded
// once into a buffer that stays in L1, and every row of x is multiplied with it.
#include "core/scalar_half.h"
#include "core/unroll.h"
#include "matmul/source.h"

namespace qb::matmul {
namespace {

constexpr std::size_t kRun = 256;  // a multiple of every group size
constexpr std::size_t kLanes = 8;  // independent sums: what a vector loop and a pipeline both need

template <class F>
inline int low_code(std::uint8_t byte) {
  if constexpr (F::flip)  // two's complement
    return static_cast<std::int8_t>(static_cast<std::int8_t>(byte << 4) >> 4);
  else
    return F::Codes::value(byte & 15);
}
template <class F>
inline int high_code(std::uint8_t byte) {
  if constexpr (F::flip)
    return static_cast<std::int8_t>(byte) >> 4;
  else
    return F::Codes::value(byte >> 4);
}

/// `len` weights from their codes and scale. Where a byte holds codes j and j+16, these are a block
/// of 32, and its second half has the scale `second`.
template <class F>
inline void decode_run(const std::uint8_t* from, float scale, std::size_t len, float* out,
                       float second) {
  if constexpr (__is_same(typename F::Codes, Bytes)) {
    const auto* q = reinterpret_cast<const std::int8_t*>(from);
    for (std::size_t i = 0; i < len; ++i) out[i] = float(q[i]) * scale;
  } else if constexpr (F::neighbours) {
    for (std::size_t i = 0; i < len / 2; ++i) {
      out[2 * i] = float(low_code<F>(from[i])) * scale;
      out[2 * i + 1] = float(high_code<F>(from[i])) * scale;
    }
    if (len % 2) out[len - 1] = float(low_code<F>(from[len / 2])) * scale;
  } else {
    QB_ROLLED for (std::size_t j = 0; j < kBlock / 2; ++j) {
      out[j] = float(low_code<F>(from[j])) * scale;
      out[j + kBlock / 2] = float(high_code<F>(from[j])) * second;
    }
  }
}

template <class F>
inline void decode_run(const std::uint8_t* from, float scale, std::size_t len, float* out) {
  decode_run<F>(from, scale, len, out, scale);
}

/// The same of codes that are gathered or have minima, a block at a time.
template <class F>
inline void decode_blocks(const Weights& w, std::size_t n, std::size_t k, std::size_t len,
                          float* out) {
  for (std::size_t i = 0; i < len; i += kBlock) {
    BlockCodes<F> room;
    const std::uint8_t* const codes = block_codes<F>(w, n, (k + i) / kBlock, room);
    constexpr std::size_t unit = kUnitOf<typename F::Scale>;
    if constexpr (unit != kBlock && F::Codes::bits == 4) {
      const std::size_t g = (k + i) / unit;
      decode_run<F>(codes, to_f32(F::scale(w, n, g)), kBlock, out + i,
                    to_f32(F::scale(w, n, g + 1)));
    } else {
      for (std::size_t j = 0; j < kBlock; j += unit) {
        const auto scale = F::scale(w, n, (k + i + j) / F::group(w));
        decode_run<F>(codes + j, to_f32(scale), unit, out + i + j);
        if constexpr (kHasMinimum<typename F::Scale>)
          for (std::size_t at = i; at < i + unit; ++at) out[at] -= scale.minimum;
      }
    }
  }
}

/// Weights [k, k+len) of output n, k a multiple of kRun, as f32.
template <class F>
inline void decode(const Weights& w, std::size_t n, std::size_t k, std::size_t len, float* out) {
  constexpr bool by_blocks = kGathered<F> || kHasMinimum<typename F::Scale>;
  const std::uint8_t* from = nullptr;
  if constexpr (!by_blocks) from = codes_at<F>(w, n, k / kBlock);
  if constexpr (by_blocks) {
    decode_blocks<F>(w, n, k, len, out);
  } else if constexpr (__is_same(F, source::f32)) {
    const auto* values = reinterpret_cast<const float*>(from);
    for (std::size_t i = 0; i < len; ++i) out[i] = values[i];
  } else if constexpr (__is_same(F, source::f16)) {
    const auto* values = reinterpret_cast<const f16*>(from);
    for (std::size_t i = 0; i < len; ++i) out[i] = f16_to_f32(values[i]);
  } else if constexpr (F::per_group) {
    const std::size_t group = F::group(w);
    for (std::size_t i = 0; i < len; i += group, from += group / kBlock * F::block)
      decode_run<F>(from, to_f32(F::scale(w, n, (k + i) / group)), group, out + i);
  } else {
    decode_run<F>(from, F::scale(w, n, 0), len, out);
  }
}

// bf16 as the f32 it stands for.
inline void round_bf16(const float* x, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = bf16_to_f32(f32_to_bf16(x[i]));
}

inline float dot(const float* x, const float* w, std::size_t len) {
  float lane[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= len; i += kLanes)
    for (std::size_t j = 0; j < kLanes; ++j) lane[j] += x[i + j] * w[i + j];
  float tail = 0;
  for (; i < len; ++i) tail += x[i] * w[i];
  return (((lane[0] + lane[4]) + (lane[2] + lane[6])) +
          ((lane[1] + lane[5]) + (lane[3] + lane[7]))) +
         tail;
}

std::size_t no_bytes(std::size_t, std::size_t, std::size_t) { return 0; }
std::size_t no_workspace(std::size_t, std::size_t, std::size_t, std::size_t) { return 0; }

std::size_t bf16_workspace(std::size_t m, std::size_t, std::size_t k, std::size_t) {
  return m * k * sizeof(float);
}

void prepare_bf16(const void* x, std::size_t, std::size_t k, std::size_t, std::size_t m0,
                  std::size_t m1, void* workspace) {
  round_bf16(static_cast<const float*>(x) + m0 * k, (m1 - m0) * k,
             static_cast<float*>(workspace) + m0 * k);
}

/// rounds: to bf16. Activations were rounded by prepare, and weights are rounded here.
template <class F, bool rounds>
void run(const Weights& w, const void*, const void* activations, const void* workspace,
         std::size_t m, std::size_t n0, std::size_t n1, void* out) {
  const auto* x = static_cast<const float*>(rounds ? workspace : activations);
  auto* y = static_cast<float*>(out);
  float decoded[kRun];
  for (std::size_t n = n0; n < n1; ++n) {
    for (std::size_t i = 0; i < m; ++i) y[i * w.n + n] = 0;
    for (std::size_t k = 0; k < w.k; k += kRun) {
      const std::size_t len = w.k - k < kRun ? w.k - k : kRun;
      decode<F>(w, n, k, len, decoded);
      if constexpr (rounds) round_bf16(decoded, len, decoded);
      for (std::size_t i = 0; i < m; ++i) y[i * w.n + n] += dot(x + i * w.k + k, decoded, len);
    }
  }
}

// The notebook's product adds in k order, so lanes can only be outputs: eight at a time, their
// weights turned so that one k's stand side by side.
void run_f16(const Weights& w, const void*, const void* activations, const void*, std::size_t m,
             std::size_t n0, std::size_t n1, void* out) {
  const auto* x = static_cast<const f16*>(activations);
  const auto* values = static_cast<const f16*>(w.values);
  auto* y = static_cast<f16*>(out);
  constexpr std::size_t rows = 16;  // whose sums are kept while the runs of k pass by
  float turned[kRun][kLanes] = {};
  for (std::size_t n = n0; n < n1; n += kLanes) {
    const std::size_t lanes = n1 - n < kLanes ? n1 - n : kLanes;
    for (std::size_t i0 = 0; i0 < m; i0 += rows) {
      const std::size_t i1 = m - i0 < rows ? m : i0 + rows;
      float sum[rows][kLanes] = {};
      for (std::size_t k = 0; k < w.k; k += kRun) {
        const std::size_t len = w.k - k < kRun ? w.k - k : kRun;
        for (std::size_t j = 0; j < lanes; ++j)
          for (std::size_t i = 0; i < len; ++i)
            turned[i][j] = f16_to_f32(values[(n + j) * w.k + k + i]);
        for (std::size_t row = i0; row < i1; ++row) {
          float lane[kLanes];
          for (std::size_t j = 0; j < kLanes; ++j) lane[j] = sum[row - i0][j];
          for (std::size_t i = 0; i < len; ++i) {
            const float xi = f16_to_f32(x[row * w.k + k + i]);
            for (std::size_t j = 0; j < kLanes; ++j) lane[j] += xi * turned[i][j];
          }
          for (std::size_t j = 0; j < kLanes; ++j) sum[row - i0][j] = lane[j];
        }
      }
      for (std::size_t row = i0; row < i1; ++row)
        for (std::size_t j = 0; j < lanes; ++j) y[row * w.n + n + j] = f32_to_f16(sum[row - i0][j]);
    }
  }
}

template <class F>
constexpr Kernel kernel_a32() {
  return {1, no_bytes, nullptr, nullptr, no_workspace, 1, nullptr, run<F, false>};
}
template <class F>
constexpr Kernel kernel_abf16() {
  if constexpr (__is_same(F, source::f16)) return {};
  return {1, no_bytes, nullptr, nullptr, bf16_workspace, 1, prepare_bf16, run<F, true>};
}

}  // namespace

constexpr Kernels QB_SYMBOL(matmul_a32) = every_format([](auto format) {
  return kernel_a32<decltype(format)>();
});
constexpr Kernels QB_SYMBOL(matmul_abf16) = every_format([](auto format) {
  return kernel_abf16<decltype(format)>();
});
constexpr Kernels QB_SYMBOL(matmul_f16) = {
    .f16 = {kLanes, no_bytes, nullptr, nullptr, no_workspace, 1, nullptr, run_f16}};

}  // namespace qb::matmul
