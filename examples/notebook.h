// SPDX-License-Identifier: Apache-2.0
// The notebook's demonstration on the suite's kernels: four weights through int8 and int4, then a
// layer and a classifier whose predictions are compared before and after quantization.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absmax/absmax.h"
#include "matmul/matmul.h"
#include "quantize/quantize.h"

namespace qb::notebook {

/// The variant of each operation that the notebook runs on.
struct Kernels {
  const Variant* absmax = &absmax::f16.best();
  const Variant* quantize_s8 = &quantize::quantize_f16_s8.best();
  const Variant* dequantize_s8 = &quantize::dequantize_s8_f16.best();
  const Variant* quantize_s4 = &quantize::quantize_f16_s4.best();
  const Variant* dequantize_s4 = &quantize::dequantize_s4_f16.best();
  const Variant* unpack_s4 = &quantize::unpack_s4.best();
  /// f16 @ f16 -> f16.
  const Variant* product = &matmul::f16_f16.best();
  /// The four weights' products: x is float64 there, which the notebook's sum needs no bit of
  /// beyond f32.
  const Variant* output = &matmul::a32_f16.best();

  /// The variant of that name of every operation. Throws std::invalid_argument, listing the names
  /// there are, if an operation has none or it can't run here.
  static Kernels named(std::string_view variant);
  /// The fields above, for those who go through them.
  std::array<const Variant*, 8> all() const;
};

/// Names that every operation of the notebook has a variant of that runs here.
std::vector<std::string> common_variants();

enum class Type { int8, int4 };

/// A tensor quantized and restored.
struct Quantized {
  float absmax;
  f16 inv;  ///< the notebook's "Quantization Constant"
  std::vector<std::int8_t> codes;
  std::vector<f16> restored;
};
Quantized quantize(const Kernels& kernels, Type type, const std::vector<f16>& weights);

/// Parts one and two: four weights.
struct FourWeights {
  std::vector<f16> weights;
  Quantized quantized;
  double output, quantized_output, loss;
};
FourWeights four_weights(const Kernels& kernels, Type type);

/// Part three: np.random.seed(seed) and three calls of randn; the defaults are the notebook's.
/// Weights are [outputs, inputs], the transpose of the notebook's.
struct Layer {
  static constexpr std::size_t kSamples = 12, kHidden = 512, kClasses = 4096;
  static constexpr std::uint32_t kSeed = 2135;
  struct Sizes {
    std::size_t samples = kSamples, hidden = kHidden, classes = kClasses;
  };
  Sizes sizes;
  std::vector<f16> x, weights, classifier;
  /// Inputs of a fourth call: more than the notebook has.
  std::vector<f16> further;
};
Layer random_layer(std::uint32_t seed = Layer::kSeed, const Layer::Sizes& sizes = {},
                   std::size_t further_samples = 0);

struct Prediction {
  std::vector<f16> hidden, out;
  std::vector<std::int32_t> labels;
};
/// argmax(x @ weights @ classifier); `weights` instead of the layer's own.
Prediction predict(const Kernels& kernels, const Layer& layer, const std::vector<f16>& weights);
/// The labels alone, of any inputs: layer.x, or layer.further.
std::vector<std::int32_t> labels(const Kernels& kernels, const Layer& layer,
                                 const std::vector<f16>& x, const std::vector<f16>& weights,
                                 int threads);

/// Whether the part about int4 calls its weights "Int8 Weights", as the notebook's print does by
/// mistake.
enum class Wording { corrected, verbatim };

/// Everything that the notebook prints, in its words and NumPy's format of numbers.
std::string transcript(const Kernels& kernels, const Layer& layer, Wording wording);

}  // namespace qb::notebook
