// Weights of the matmul benchmarks: normal random numbers, quantized into every canonical layout.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "core/scalar_half.h"
#include "data.h"
#include "matmul/matmul.h"
#include "oracle/matmul.h"
#include "suite.h"

namespace qb::bench {

/// Weights of one format. Quantized as the contract's section 3 says; the tests hold the kernels to
/// it, here only realistic codes matter.
class QuantizedWeights {
 public:
  /// group: 32, 64 or 128 for s8g and s4g, ignored otherwise. originals: n rows of k.
  QuantizedWeights(matmul::Format format, std::size_t n, std::size_t k, std::size_t group,
                   const Array<float>& originals)
      : format_(format),
        n_(n),
        k_(k),
        group_(group_of(format, k, group)),
        values_(n * row_bytes(format, k)),
        scales_(n * scale_bytes_of_row(format, k, group)) {
    std::vector<double> lost(n), square(n);
    parallel_ranges(omp_get_max_threads(), n, 16, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const float* const row = originals.data() + i * k;
        quantize_row(row, i);
        const std::vector<double> back = oracle::weights_of_output(view(), i);
        for (std::size_t j = 0; j < k; ++j) {
          const double x = row[j];
          lost[i] += (back[j] - x) * (back[j] - x);
          square[i] += x * x;
        }
      }
    });
    nmse_ = std::reduce(lost.begin(), lost.end()) / std::reduce(square.begin(), square.end());
  }

  matmul::WeightView view() const { return view_of(values_.data(), scales_.data()); }

  /// The same weights in other memory, for rotations: values then scales are bytes() long in all.
  matmul::WeightView view_of(const std::byte* values, const std::byte* scales) const {
    return {format_,
            {values, scales, n_, k_, group_},
            {values, values_.size()},
            {scales, scales_.size()}};
  }
  const Bytes& values() const { return values_; }
  const Bytes& scales() const { return scales_; }
  std::size_t bytes() const { return values_.size() + scales_.size(); }

  /// What quantization lost: sum (w - w')^2 / sum w^2, with w' dequantized.
  double nmse() const { return nmse_; }

  /// Canonical bytes of n x k weights, without making them.
  static std::size_t bytes_of(matmul::Format format, std::size_t n, std::size_t k,
                              std::size_t group) {
    return n * (row_bytes(format, k) + scale_bytes_of_row(format, k, group));
  }

  /// What Weights::group is for that format: `group` itself only for s8g and s4g.
  static std::size_t group_of(matmul::Format format, std::size_t k, std::size_t group) {
    return info(format).group_of(k, group);
  }

 private:
  using Format = matmul::Format;

  static std::size_t row_bytes(Format format, std::size_t k) { return info(format).row_bytes(k); }
  static std::size_t scale_bytes_of_row(Format format, std::size_t k, std::size_t group) {
    return info(format).scales_of_row(k, group) * info(format).scale_bytes();
  }

  static float absmax(const float* x, std::size_t len) {
    float largest = 0;
    for (std::size_t i = 0; i < len; ++i) largest = std::fmax(largest, std::fabs(x[i]));
    return largest;
  }
  static int code(float x, float inverse, int qmax) {
    const float q = std::nearbyint(x * inverse);
    return int(std::fmin(std::fmax(q, float(-qmax)), float(qmax)));
  }
  /// Codes of [0, len) of x into row q, two a byte if qmax is 7.
  static void codes(const float* x, std::size_t len, int qmax, std::byte* q) {
    const float largest = absmax(x, len);
    const float inverse = largest > 0 ? float(qmax) / largest : 0;
    if (qmax == 7) std::memset(q, 0, (len + 1) / 2);
    for (std::size_t i = 0; i < len; ++i) {
      const int c = code(x[i], inverse, qmax);
      if (qmax == 127)
        q[i] = std::byte(c);
      else
        q[i / 2] |= std::byte((c & 15) << (i % 2 * 4));
    }
  }

  void quantize_row(const float* x, std::size_t n) {
    std::byte* const row = values_.data() + n * row_bytes(format_, k_);
    switch (format_) {
      case Format::f32:
        std::memcpy(row, x, k_ * sizeof(float));
        break;
      case Format::f16:
        for (std::size_t i = 0; i < k_; ++i) reinterpret_cast<f16*>(row)[i] = f32_to_f16(x[i]);
        break;
      case Format::s8:
      case Format::s4: {
        const int qmax = format_ == Format::s8 ? 127 : 7;
        codes(x, k_, qmax, row);
        reinterpret_cast<float*>(scales_.data())[n] = absmax(x, k_) / float(qmax);
        break;
      }
      case Format::s8g:
      case Format::s4g: {
        const int qmax = format_ == Format::s8g ? 127 : 7;
        f16* scale = reinterpret_cast<f16*>(scales_.data()) + n * (k_ / group_);
        for (std::size_t i = 0; i < k_; i += group_) {
          codes(x + i, group_, qmax, row + (qmax == 7 ? i / 2 : i));
          *scale++ = f32_to_f16(absmax(x + i, group_) / float(qmax));
        }
        break;
      }
      case Format::q8_0: {
        auto* block = reinterpret_cast<BlockQ8_0*>(row);
        for (std::size_t i = 0; i < k_; i += kBlock, ++block) {
          const float d = absmax(x + i, kBlock) / 127;
          block->d = f32_to_f16(d);
          for (std::size_t j = 0; j < kBlock; ++j)
            block->qs[j] = std::int8_t(d > 0 ? std::round(x[i + j] * (1 / d)) : 0);
        }
        break;
      }
      case Format::q4_0: {
        auto* block = reinterpret_cast<BlockQ4_0*>(row);
        for (std::size_t i = 0; i < k_; i += kBlock, ++block) {
          float most = 0;
          for (std::size_t j = 0; j < kBlock; ++j)
            if (std::fabs(x[i + j]) > std::fabs(most)) most = x[i + j];
          const float d = most / -8, id = d != 0 ? 1 / d : 0;
          block->d = f32_to_f16(d);
          const auto nibble = [&](float v) { return std::min(15, int(v * id + 8.5f)); };
          for (std::size_t j = 0; j < kBlock / 2; ++j)
            block->qs[j] = std::uint8_t(nibble(x[i + j]) | nibble(x[i + j + kBlock / 2]) << 4);
        }
        break;
      }
    }
  }

  Format format_;
  std::size_t n_, k_, group_;
  Bytes values_, scales_;
  double nmse_ = 0;
};

/// The weights of that format, made once for all the arithmetics and rows that take them.
inline std::shared_ptr<const QuantizedWeights> quantized_weights(const Setup& setup,
                                                                 matmul::Format format,
                                                                 std::size_t n, std::size_t k,
                                                                 std::size_t group) {
  const std::string size = std::to_string(n) + "x" + std::to_string(k);
  const std::string key = std::string(info(format).name) + "." + std::to_string(group);
  const std::size_t bytes = QuantizedWeights::bytes_of(format, n, k, group);
  return setup.problems.share<QuantizedWeights>("weights/" + key + "/" + size, bytes, [&] {
    const auto originals =
        setup.problems.share<Array<float>>("originals/" + size, n * k * sizeof(float), [&] {
          auto made = std::make_shared<Array<float>>(n * k);
          parallel_ranges(omp_get_max_threads(), n, 16, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i)
              fill_normal(made->span().subspan(i * k, k), setup.seed, 1 + i);
          });
          return made;
        });
    return std::make_shared<QuantizedWeights>(format, n, k, group, *originals);
  });
}

}  // namespace qb::bench
