// SPDX-License-Identifier: Apache-2.0
// A matrix times a vector in q4_0 and q4_K by the installed library's C++ headers: near to what
// plain C++ makes of the weights that the library decodes. And one refusal.
#include <quantbench/absmax.h>
#include <quantbench/convert.h>
#include <quantbench/matmul.h>
#include <quantbench/quantbench.h>
#include <quantbench/quantize.h>
#include <quantbench/version.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kOutputs = 24, kInputs = 512;

int failures = 0;
void expect(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what.c_str());
  ++failures;
}

/// Products of weights that were quantized to blocks, under f32 and int8 activations.
template <class Block, class View>
void multiply(const char* format, View view, const std::vector<float>& w,
              const std::vector<float>& x) {
  std::vector<Block> blocks(w.size() / qb::kWeightsOf<Block>);
  std::vector<float> decoded(w.size()), y(kOutputs);
  qb::quantize::quantize(w, blocks);
  qb::quantize::dequantize(blocks, decoded);
  using qb::matmul::Arithmetic;
  for (const Arithmetic arithmetic : {Arithmetic::a32, Arithmetic::a8}) {
    qb::matmul::PackedWeights packed(view(blocks, kOutputs, kInputs), arithmetic);
    packed.run(x, 1, y);
    for (std::size_t n = 0; n < kOutputs; ++n) {
      double product = 0, magnitude = 0;
      for (std::size_t k = 0; k < kInputs; ++k) {
        product += double(x[k]) * decoded[n * kInputs + k];
        magnitude += std::fabs(double(x[k]) * decoded[n * kInputs + k]);
      }
      const double bound = (arithmetic == Arithmetic::a32 ? 1e-6 : 1e-2) * magnitude;
      expect(std::fabs(y[n] - product) <= bound, std::string(format) + ": y[" + std::to_string(n) +
                                                     "] is " + std::to_string(y[n]) + ", not " +
                                                     std::to_string(product));
    }
    std::printf("%s/%s\n", format, std::string(packed.variant()).c_str());
  }
}

}  // namespace

int main() {
  std::vector<float> w(kOutputs * kInputs), x(kInputs);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = float(std::sin(0.37 * double(i)));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(std::cos(0.11 * double(i)));
  const auto q4_0 = [](const auto&... a) { return qb::matmul::view_q4_0(a...); };
  const auto q4_K = [](const auto&... a) { return qb::matmul::view_q4_K(a...); };
  multiply<qb::BlockQ4_0>("q4_0", q4_0, w, x);
  multiply<qb::BlockQ4_K>("q4_K", q4_K, w, x);

  std::vector<qb::bf16> narrow(x.size());
  qb::convert::narrow(x, narrow);
  expect(narrow[0] == qb::bf16(0x3f80), "1 is not 0x3f80 in bf16");
  expect(qb::absmax::tensor(x) == 1, "the absmax of cosines from cos(0) on is not 1");
  expect(!std::strcmp(quantbench_version(), QUANTBENCH_VERSION),
         "the library is of another version");
  try {
    qb::absmax::groups(x, 7, w);
    expect(false, "groups of 7 in 512 were taken");
  } catch (const qb::BadArgument& refusal) {
    expect(std::strstr(refusal.what(), "'group' = 7") != nullptr, refusal.what());
  }
  return failures == 0 ? 0 : 1;
}
