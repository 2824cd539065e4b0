// SPDX-License-Identifier: Apache-2.0
// Weights of the matmul benchmarks: normal random numbers, quantized into every canonical layout.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "data.h"
#include "matmul/matmul.h"
#include "oracle/matmul.h"
#include "quantbench/quantize.h"
#include "suite.h"

namespace qb::bench {

/// Weights of one format, quantized by the library.
class QuantizedWeights {
 public:
  /// group: 32, 64 or 128 for s8g, s4g and u4h, ignored otherwise. originals: n rows of k.
  QuantizedWeights(matmul::Format format, std::size_t n, std::size_t k, std::size_t group,
                   const Array<float>& originals)
      : format_(format),
        n_(n),
        k_(k),
        group_(group),
        values_(n * row_bytes(format, k)),
        scales_(info(format).scales_bytes(n, k, group)) {
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
            matmul::weights_at(format_, values, scales, n_, k_, group_),
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
    return n * row_bytes(format, k) + info(format).scales_bytes(n, k, group);
  }

  /// What Weights::group is for that format: `group` itself only for s8g and s4g.
  static std::size_t group_of(matmul::Format format, std::size_t k, std::size_t group) {
    return matmul::weights_at(format, nullptr, nullptr, 0, k, group).group;
  }

 private:
  using Format = matmul::Format;

  static std::size_t row_bytes(Format format, std::size_t k) { return info(format).row_bytes(k); }

  /// Row n by the dispatched kernels, behind their checks.
  void quantize_row(const float* originals, std::size_t n) {
    const FormatInfo& f = info(format_);
    const std::size_t values = f.row_bytes(k_);
    const std::size_t scales = f.scales_of_row(k_, group_) * f.scale_bytes();
    const std::size_t zeros = f.zeros_of_row(k_, group_);
    std::vector<std::byte> of_row(scales + zeros);
    quantize::quantize_rows(format_, {originals, k_}, 1, k_, group_,
                            {values_.data() + n * values, values}, of_row);
    std::copy_n(of_row.begin(), scales, scales_.data() + n * scales);
    std::copy_n(of_row.begin() + std::ptrdiff_t(scales), zeros,
                scales_.data() + n_ * scales + n * zeros);
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
