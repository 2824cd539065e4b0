// SPDX-License-Identifier: Apache-2.0
#include "notebook.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iterator>
#include <span>
#include <stdexcept>

#include "core/scalar_half.h"
#include "numpy_random.h"

namespace qb::notebook {
namespace {

std::vector<f16> random_halves(numpy::RandomState& random, std::size_t n) {
  std::vector<f16> x(n);
  for (f16& v : x) v = numpy::to_float16(random.normal());
  return x;
}

std::vector<f16> transposed(const std::vector<f16>& x, std::size_t rows, std::size_t columns) {
  std::vector<f16> y(x.size());
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) y[j * rows + i] = x[i * columns + j];
  return y;
}

// ---------------------------------------------------------------- NumPy's way of printing

/// The shortest decimal that reads back as the same double; "7.0", not "7".
std::string text_of(double value) {
  char buffer[32];
  std::string text(buffer, std::to_chars(std::begin(buffer), std::end(buffer), value).ptr);
  if (text.find_first_of(".en") == text.npos) text += ".0";
  return text;
}

/// The shortest decimal that reads back as the same half; NumPy leaves "1." of 1 in arrays.
std::string text_of(f16 half) {
  const double value = f16_to_f32(half);
  char text[32];
  for (int digits = 1; digits <= 5; ++digits) {
    std::snprintf(text, sizeof text, "%.*e", digits - 1, value);
    double read = 0;
    std::sscanf(text, "%lf", &read);
    if (numpy::to_float16(read) != half) continue;
    std::string fixed(32, '\0');
    const auto end =
        std::to_chars(fixed.data(), fixed.data() + fixed.size(), read, std::chars_format::fixed);
    fixed.resize(std::size_t(end.ptr - fixed.data()));
    return fixed.find('.') == fixed.npos ? fixed + '.' : fixed;
  }
  return text;
}
std::string text_of(std::int32_t value) { return std::to_string(value); }
std::string text_of(std::int8_t value) { return std::to_string(value); }
std::string text_of(bool value) { return value ? " True" : "False"; }

/// "[ 1.    -0.5    0.25  -0.125]": columns aligned at the decimal point, or at the right.
template <class Range>
std::string array(const Range& values) {
  std::vector<std::string> texts;
  std::size_t before = 0, after = 0;
  const auto point = [](const std::string& text) { return std::min(text.find('.'), text.size()); };
  for (const auto& value : values) {
    texts.push_back(text_of(value));
    before = std::max(before, point(texts.back()));
    after = std::max(after, texts.back().size() - point(texts.back()));
  }
  std::string line = "[";
  for (const std::string& text : texts) {
    if (line.size() > 1) line += ' ';
    line.append(before - point(text), ' ').append(text);
    line.append(after - (text.size() - point(text)), ' ');
  }
  return line + "]";
}

std::string print(const std::string& type, const FourWeights& r) {
  return "Original FP16 Weights: " + array(r.weights) + "\n" + type +
         " Weights: " + array(r.quantized.codes) +
         "\nQuantization Constant: " + text_of(double(f16_to_f32(r.quantized.inv))) +
         "\nReconstructed FP16 Weights: " + array(r.quantized.restored) +
         "\nOriginal Output: " + text_of(r.output) +
         "\nQuantized Output: " + text_of(r.quantized_output) +
         "\nOutput Loss: " + text_of(r.loss) + "\n";
}

std::string compare(const std::string& name, const Prediction& original,
                    const Prediction& quantized) {
  std::vector<bool> same;
  for (std::size_t i = 0; i < original.labels.size(); ++i)
    same.push_back(original.labels[i] == quantized.labels[i]);
  return "FP16 Prediction: " + array(original.labels) + "\n" + name +
         " Prediction: " + array(quantized.labels) + "\n" + name +
         " Error: " + std::to_string(std::count(same.begin(), same.end(), false)) +
         ", Results: " + array(same) + "\n";
}

}  // namespace

Kernels Kernels::named(std::string_view variant) {
  Kernels k;
  k.absmax = &absmax::f16.named(variant);
  k.quantize_s8 = &quantize::quantize_f16_s8.named(variant);
  k.dequantize_s8 = &quantize::dequantize_s8_f16.named(variant);
  k.quantize_s4 = &quantize::quantize_f16_s4.named(variant);
  k.dequantize_s4 = &quantize::dequantize_s4_f16.named(variant);
  k.unpack_s4 = &quantize::unpack_s4.named(variant);
  k.product = &matmul::f16_f16.named(variant);
  k.output = &matmul::a32_f16.named(variant);
  return k;
}

std::array<const Variant*, 8> Kernels::all() const {
  return {absmax,        quantize_s8, dequantize_s8, quantize_s4,
          dequantize_s4, unpack_s4,   product,       output};
}

std::vector<std::string> common_variants() {
  std::vector<std::string> names;
  for (const Variant* v : absmax::f16.variants()) try {
      Kernels::named(v->name);
      names.emplace_back(v->name);
    } catch (const std::invalid_argument&) {  // some operation has no such variant here
    }
  return names;
}

Quantized quantize(const Kernels& kernels, Type type, const std::vector<f16>& weights) {
  const std::size_t n = weights.size();
  Quantized r;
  r.codes.resize(n);
  r.restored.resize(n);
  absmax::f16.kernel (*kernels.absmax)(weights.data(), 1, n, &r.absmax);
  if (type == Type::int8) {
    quantize::quantize_f16_s8.kernel (*kernels.quantize_s8)(weights.data(), 1, n, r.codes.data(),
                                                            &r.inv);
    quantize::dequantize_s8_f16.kernel (*kernels.dequantize_s8)(r.codes.data(), 1, n, &r.inv,
                                                                r.restored.data());
  } else {
    std::vector<std::uint8_t> packed((n + 1) / 2);
    quantize::quantize_f16_s4.kernel (*kernels.quantize_s4)(weights.data(), 1, n, packed.data(),
                                                            &r.inv);
    quantize::unpack_s4.kernel (*kernels.unpack_s4)(packed.data(), n, r.codes.data());
    quantize::dequantize_s4_f16.kernel (*kernels.dequantize_s4)(packed.data(), 1, n, &r.inv,
                                                                r.restored.data());
  }
  return r;
}

FourWeights four_weights(const Kernels& kernels, Type type) {
  FourWeights r;
  for (const double w : {1.0, -0.5, 0.25, -0.125}) r.weights.push_back(numpy::to_float16(w));
  r.quantized = quantize(kernels, type, r.weights);
  // NumPy's float64 product; here every partial sum is exact in f32 already, in any order.
  const std::vector<float> x = {1.0f, 0.25f, -0.5f, -1.0f};
  const auto output_of = [&](const std::vector<f16>& w) {
    std::vector<float> y(1);
    matmul::PackedWeights(matmul::view_f16(w, 1, w.size()), matmul::Arithmetic::a32,
                          kernels.output->name)
        .run(x, 1, y);
    return double(y[0]);
  };
  r.output = output_of(r.weights);
  r.quantized_output = output_of(r.quantized.restored);
  r.loss = r.output - r.quantized_output;
  return r;
}

Layer random_layer(std::uint32_t seed, const Layer::Sizes& sizes, std::size_t further_samples) {
  numpy::RandomState random(seed);
  const auto [samples, hidden, classes] = sizes;
  Layer layer;
  layer.sizes = sizes;
  layer.x = random_halves(random, samples * hidden);
  layer.weights = transposed(random_halves(random, hidden * hidden), hidden, hidden);
  layer.classifier = transposed(random_halves(random, hidden * classes), hidden, classes);
  layer.further = random_halves(random, further_samples * hidden);
  return layer;
}

namespace {

/// Weights [n, k], ready for the notebook's f16 @ f16 -> f16.
matmul::PackedWeights packed(const Kernels& kernels, const std::vector<f16>& w, std::size_t n,
                             std::size_t k) {
  return {matmul::view_f16(w, n, k), matmul::Arithmetic::f16, kernels.product->name};
}

/// argmax of each row of `classes` values.
std::vector<std::int32_t> largest(const std::vector<f16>& out, std::size_t classes) {
  std::vector<std::int32_t> found;
  for (auto row = out.begin(); row != out.end(); row += std::ptrdiff_t(classes)) {
    const auto at = std::max_element(row, row + std::ptrdiff_t(classes),
                                     [](f16 a, f16 b) { return f16_to_f32(a) < f16_to_f32(b); });
    found.push_back(std::int32_t(at - row));
  }
  return found;
}

}  // namespace

Prediction predict(const Kernels& kernels, const Layer& layer, const std::vector<f16>& weights) {
  const auto [samples, hidden, classes] = layer.sizes;
  Prediction r;
  r.hidden.resize(samples * hidden);
  packed(kernels, weights, hidden, hidden).run(layer.x, samples, r.hidden);
  r.out.resize(samples * classes);
  packed(kernels, layer.classifier, classes, hidden).run(r.hidden, samples, r.out);
  r.labels = largest(r.out, classes);
  return r;
}

std::vector<std::int32_t> labels(const Kernels& kernels, const Layer& layer,
                                 const std::vector<f16>& x, const std::vector<f16>& weights,
                                 int threads) {
  const auto [samples, hidden, classes] = layer.sizes;
  auto first = packed(kernels, weights, hidden, hidden);
  auto second = packed(kernels, layer.classifier, classes, hidden);
  constexpr std::size_t kMostValues = std::size_t{1} << 22;  // of the hidden layer, or outputs
  const std::size_t rows_at_a_time =
      std::clamp<std::size_t>(kMostValues / std::max(hidden, classes), 1, 512);
  std::vector<std::int32_t> found;
  std::vector<f16> y, out;
  for (std::size_t begin = 0, rows = x.size() / hidden; begin < rows; begin += rows_at_a_time) {
    const std::size_t m = std::min(rows_at_a_time, rows - begin);
    y.resize(m * hidden);
    out.resize(m * classes);
    first.run(std::span(x).subspan(begin * hidden, m * hidden), m, y, threads);
    second.run(y, m, out, threads);
    const std::vector<std::int32_t> part = largest(out, classes);
    found.insert(found.end(), part.begin(), part.end());
  }
  return found;
}

std::string transcript(const Kernels& kernels, const Layer& layer, Wording wording) {
  const auto restored = [&](Type type) { return quantize(kernels, type, layer.weights).restored; };
  const Prediction original = predict(kernels, layer, layer.weights);
  const Prediction int8 = predict(kernels, layer, restored(Type::int8));
  const Prediction int4 = predict(kernels, layer, restored(Type::int4));
  return "## Int8 Quantization\n" + print("Int8", four_weights(kernels, Type::int8)) +
         "\n## Int4 Quantization\n" +
         print(wording == Wording::verbatim ? "Int8" : "Int4", four_weights(kernels, Type::int4)) +
         "\n## Predictions\n" + compare("INT8", original, int8) + "\n" +
         compare("INT4", original, int4);
}

}  // namespace qb::notebook
