// Matmul with f32 and with bf16 activations in plain C++: `scalar` (vectorisation off), `autovec`
// and `autovec_avx2` (on). Runs on the canonical weights: a run of one output's weights is decoded
// once into a buffer that stays in L1, and every row of x is multiplied with it.
#include "core/scalar_half.h"
#include "core/unroll.h"
#include "matmul/kernels.h"

namespace qb::matmul {
namespace {

constexpr std::size_t kRun = 256;  // a multiple of every group size
constexpr std::size_t kLanes = 8;  // independent sums: what a vector loop and a pipeline both need

inline std::int8_t low_nibble(std::uint8_t byte) {
  return static_cast<std::int8_t>(static_cast<std::int8_t>(byte << 4) >> 4);
}
inline std::int8_t high_nibble(std::uint8_t byte) {
  return static_cast<std::int8_t>(static_cast<std::int8_t>(byte) >> 4);
}

// decode: weights [k, k+len) of output n, k a multiple of kRun, as f32.

struct F32 {
  static void decode(const Weights& w, std::size_t n, std::size_t k, std::size_t len, float* out) {
    const float* v = static_cast<const float*>(w.values) + n * w.k + k;
    for (std::size_t i = 0; i < len; ++i) out[i] = v[i];
  }
};

struct F16 {
  static void decode(const Weights& w, std::size_t n, std::size_t k, std::size_t len, float* out) {
    const f16* v = static_cast<const f16*>(w.values) + n * w.k + k;
    for (std::size_t i = 0; i < len; ++i) out[i] = f16_to_f32(v[i]);
  }
};

inline void decode_s8(const std::int8_t* q, float scale, std::size_t len, float* out) {
  for (std::size_t i = 0; i < len; ++i) out[i] = float(q[i]) * scale;
}

inline void decode_s4(const std::uint8_t* q, float scale, std::size_t len, float* out) {
  for (std::size_t i = 0; i < len / 2; ++i) {
    out[2 * i] = float(low_nibble(q[i])) * scale;
    out[2 * i + 1] = float(high_nibble(q[i])) * scale;
  }
  if (len % 2) out[len - 1] = float(low_nibble(q[len / 2])) * scale;
}

struct S8 {
  static void decode(const Weights& w, std::size_t n, std::size_t k, std::size_t len, float* out) {
    decode_s8(static_cast<const std::int8_t*>(w.values) + n * w.k + k,
              static_cast<const float*>(w.scales)[n], len, out);
  }
};

struct S4 {
  static void decode(const Weights& w, std::size_t n, std::size_t k, std::size_t len, float* out) {
    decode_s4(static_cast<const std::uint8_t*>(w.values) + n * ((w.k + 1) / 2) + k / 2,
              static_cast<const float*>(w.scales)[n], len, out);
  }
};

struct S8g {
  static void decode(const Weights& w, std::size_t n, std::size_t k, std::size_t len, float* out) {
    const std::int8_t* q = static_cast<const std::int8_t*>(w.values) + n * w.k + k;
    const f16* scale = static_cast<const f16*>(w.scales) + (n * w.k + k) / w.group;
    for (std::size_t i = 0; i < len; i += w.group)
      decode_s8(q + i, f16_to_f32(*scale++), w.group, out + i);
  }
};

struct S4g {
  static void decode(const Weights& w, std::size_t n, std::size_t k, std::size_t len, float* out) {
    const std::uint8_t* q = static_cast<const std::uint8_t*>(w.values) + (n * w.k + k) / 2;
    const f16* scale = static_cast<const f16*>(w.scales) + (n * w.k + k) / w.group;
    for (std::size_t i = 0; i < len; i += w.group)
      decode_s4(q + i / 2, f16_to_f32(*scale++), w.group, out + i);
  }
};

struct Q8_0 {
  static void decode(const Weights& w, std::size_t n, std::size_t k, std::size_t len, float* out) {
    const BlockQ8_0* block = static_cast<const BlockQ8_0*>(w.values) + (n * w.k + k) / kBlock;
    for (std::size_t i = 0; i < len; i += kBlock, ++block)
      decode_s8(block->qs, f16_to_f32(block->d), kBlock, out + i);
  }
};

struct Q4_0 {
  static void decode(const Weights& w, std::size_t n, std::size_t k, std::size_t len, float* out) {
    const BlockQ4_0* block = static_cast<const BlockQ4_0*>(w.values) + (n * w.k + k) / kBlock;
    for (std::size_t i = 0; i < len; i += kBlock, ++block) {
      const float d = f16_to_f32(block->d);
      QB_ROLLED for (std::size_t j = 0; j < kBlock / 2; ++j) {
        out[i + j] = float((block->qs[j] & 15) - 8) * d;
        out[i + j + kBlock / 2] = float((block->qs[j] >> 4) - 8) * d;
      }
    }
  }
};

// bf16 as the f32 it stands for.
inline void round_bf16(const float* x, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = bf16_to_f32(f32_to_bf16(x[i]));
}

template <class Format>
struct Rounded {
  static void decode(const Weights& w, std::size_t n, std::size_t k, std::size_t len, float* out) {
    Format::decode(w, n, k, len, out);
    round_bf16(out, len, out);
  }
};

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

template <class Format, bool prepared = false>
void run(const Weights& w, const void*, const void* activations, const void* workspace,
         std::size_t m, std::size_t n0, std::size_t n1, void* out) {
  const auto* x = static_cast<const float*>(prepared ? workspace : activations);
  auto* y = static_cast<float*>(out);
  float decoded[kRun];
  for (std::size_t n = n0; n < n1; ++n) {
    for (std::size_t i = 0; i < m; ++i) y[i * w.n + n] = 0;
    for (std::size_t k = 0; k < w.k; k += kRun) {
      const std::size_t len = w.k - k < kRun ? w.k - k : kRun;
      Format::decode(w, n, k, len, decoded);
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

}  // namespace

#define QB_KERNEL(op, run) \
  const Kernel QB_SYMBOL(op) { 1, no_bytes, nullptr, nullptr, no_workspace, 1, nullptr, run }

QB_KERNEL(matmul_a32_f32, run<F32>);
QB_KERNEL(matmul_a32_f16, run<F16>);
QB_KERNEL(matmul_a32_s8, run<S8>);
QB_KERNEL(matmul_a32_s4, run<S4>);
QB_KERNEL(matmul_a32_s8g, run<S8g>);
QB_KERNEL(matmul_a32_s4g, run<S4g>);
QB_KERNEL(matmul_a32_q8_0, run<Q8_0>);
QB_KERNEL(matmul_a32_q4_0, run<Q4_0>);

#define QB_KERNEL_BF16(op, format)                                                             \
  const Kernel QB_SYMBOL(op) {                                                                 \
    1, no_bytes, nullptr, nullptr, bf16_workspace, 1, prepare_bf16, run<Rounded<format>, true> \
  }

QB_KERNEL_BF16(matmul_abf16_f32, F32);
QB_KERNEL_BF16(matmul_abf16_s8, S8);
QB_KERNEL_BF16(matmul_abf16_s4, S4);
QB_KERNEL_BF16(matmul_abf16_s8g, S8g);
QB_KERNEL_BF16(matmul_abf16_s4g, S4g);
QB_KERNEL_BF16(matmul_abf16_q8_0, Q8_0);
QB_KERNEL_BF16(matmul_abf16_q4_0, Q4_0);

const Kernel QB_SYMBOL(matmul_f16_f16){kLanes,       no_bytes, nullptr, nullptr,
                                       no_workspace, 1,        nullptr, run_f16};

}  // namespace qb::matmul
