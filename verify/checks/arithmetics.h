// SPDX-License-Identifier: Apache-2.0
// The arithmetics of products: what each makes of activations and weights, and the rows of
// activations that are hard on it.
//
//   kArithmetic               as matmul::operation takes it
//   activations(m, k, seed)   m rows that are hard on it
//   factors(format, row)      a row of activations as the product multiplies it, exact in double
//   weights(view, n)          output n's weights as the product multiplies them, exact in double
//   magnitudes(view, n)       the magnitudes that their rounding errors are in proportion to
//   packed(value)             the value that an f32 or f16 weight has once it is packed
//   bound(x, w, product)      the largest permitted distance of a kernel's output from `product`
//   kLarge                    the largest factor by which activations may be scaled
//   kMany                     a product large enough to cross every level of blocking
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "matmul/matmul.h"
#include "oracle/matmul.h"
#include "oracle/matmul_a8.h"
#include "oracle/matmul_bf16.h"
#include "support/inputs.h"

namespace qb::test {

struct Shape {
  std::size_t n, k;
};
struct Many {
  std::size_t m;
  Shape any_k, grouped;  ///< grouped: the least k, rounded up to whole groups
};

/// The arithmetic that rounds nothing. The others derive from it and say where they differ.
struct Unrounded {
  static std::vector<double> factors(matmul::Format, std::span<const float> row) {
    return {row.begin(), row.end()};
  }
  static std::vector<double> weights(const matmul::WeightView& view, std::size_t n) {
    return oracle::weights_of_output(view, n);
  }
  /// The magnitude that a weight's rounding error is in proportion to, if not the weight's own.
  static std::vector<double> magnitudes(const matmul::WeightView&, std::size_t) { return {}; }
  static double packed(double value) { return value; }
  static double bound(const std::vector<double>& x, const std::vector<double>&,
                      const oracle::Product& product) {
    return oracle::bound(product, x.size());
  }
};

/// m rows of k, each of a kind in turn: row_of(kind, k, seed).
std::vector<float> rows_in_turn(std::size_t m, std::size_t k, std::uint32_t seed,
                                std::uint32_t kinds, const auto& row_of) {
  std::vector<float> x;
  for (std::uint32_t i = 0; i < m; ++i) {
    const std::vector<float> row = row_of((i + seed) % kinds, k, seed + i);
    x.insert(x.end(), row.begin(), row.end());
  }
  return x;
}

/// Activations are f32 and stay so.
struct A32 : Unrounded {
  static constexpr matmul::Arithmetic kArithmetic = matmul::Arithmetic::a32;
  static std::vector<float> activations(std::size_t m, std::size_t k, std::uint32_t seed) {
    return test::weights(m * k, seed + 1);
  }
  static constexpr float kLarge = 1e20f;
  static constexpr Many kMany{203, {163, 535}, {163, 640}};
};

/// Activations are quantized to int8 on the fly.
struct A8 : Unrounded {
  static constexpr matmul::Arithmetic kArithmetic = matmul::Arithmetic::a8;
  static std::vector<float> activations(std::size_t m, std::size_t k, std::uint32_t seed) {
    return rows_in_turn(m, k, seed, kKinds, row_of);
  }
  static std::vector<double> factors(matmul::Format format, std::span<const float> row) {
    return oracle::quantized_activations(format, row);
  }
  static std::vector<double> magnitudes(const matmul::WeightView& view, std::size_t n) {
    return oracle::magnitudes_of_output(view, n);
  }
  static constexpr float kLarge = 1.0f;
  static constexpr Many kMany{141, {37, 4097}, {37, 4096}};

  enum Kind { kTrained, kAtMost, kTies, kTiny, kZero, kHuge, kKinds };
  static std::vector<float> row_of(std::uint32_t kind, std::size_t k, std::uint32_t seed) {
    std::vector<float> x = test::weights(k, seed);
    for (std::size_t i = 0; i < k; ++i) switch (kind) {
        case kAtMost:  // every code +-127; one sign for long runs, so that sums grow
          x[i] = i / 40 % 2 ? -3.0f : 3.0f;
          break;
        case kTies:  // the scale is 1: halves must be rounded as the contract says
          x[i] = i % 32 == 0 ? 127.0f : float(int(i % 17) - 8) + 0.5f;
          break;
        case kTiny:  // absmax too small for a finite inverse, in some blocks just large enough
          x[i] = std::ldexp(x[i], i / 32 % 2 ? -127 : -140);
          break;
        case kZero:
          x[i] = i % 2 ? 0.0f : -0.0f;
          break;
        case kHuge:
          x[i] *= 1e5f;
          break;
        default:
          break;
      }
    return x;
  }
};

/// Activations and weights are rounded to bf16.
struct Abf16 : Unrounded {
  static constexpr matmul::Arithmetic kArithmetic = matmul::Arithmetic::abf16;
  static std::vector<float> activations(std::size_t m, std::size_t k, std::uint32_t seed) {
    return rows_in_turn(m, k, seed, kKinds, row_of);
  }
  static std::vector<double> factors(matmul::Format, std::span<const float> row) {
    return oracle::rounded_activations(row);
  }
  static std::vector<double> weights(const matmul::WeightView& view, std::size_t n) {
    return oracle::rounded_weights_of_output(view, n);
  }
  static double packed(double value) { return oracle::rounded_to_bf16(value); }
  static double bound(const std::vector<double>& x, const std::vector<double>& w,
                      const oracle::Product& product) {
    return oracle::bound_bf16(x, w, product);
  }
  static constexpr float kLarge = 1e20f;
  static constexpr Many kMany{203, {163, 1047}, {163, 1024}};

  enum Kind { kTrained, kTies, kCancelling, kTiny, kSubnormal, kLarger, kKinds };
  static std::vector<float> row_of(std::uint32_t kind, std::size_t k, std::uint32_t seed) {
    std::vector<float> x = test::weights(k, seed);
    for (std::size_t i = 0; i < k; ++i) switch (kind) {
        case kTies:  // nine significant bits, the last set: half way between two of bf16
          x[i] =
              std::ldexp(float(257 + 2 * (i * 37 % 128)), int(i % 5) - 9) * (i % 3 ? 1.0f : -1.0f);
          break;
        case kCancelling:  // neighbours nearly cancel: a rounded partial sum would show
          x[i] = i % 2 ? -x[i - 1] * 1.01f : x[i] * 1000.0f;
          break;
        case kTiny:  // products and sums about to underflow
          x[i] = std::ldexp(x[i], -117);
          break;
        case kSubnormal:
          x[i] = std::ldexp(x[i], i % 2 ? -130 : -138);
          break;
        case kLarger:
          x[i] *= 1e20f;
          break;
        default:
          break;
      }
    return x;
  }
};

}  // namespace qb::test
