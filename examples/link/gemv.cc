// SPDX-License-Identifier: Apache-2.0
// A program on the installed library: a matrix of weights in q4_0 times a vector.
//
//   c++ -std=c++20 gemv.cc $(pkg-config --cflags --libs quantbench)
#include <quantbench/matmul.h>
#include <quantbench/quantize.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

int main() {
  constexpr std::size_t n = 4096, k = 4096;  // outputs, inputs
  std::vector<float> w(n * k), x(k), y(n);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = float(std::sin(0.37 * double(i)));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = w[i];  // like the first output's weights

  std::vector<qb::BlockQ4_0> blocks(w.size() / qb::kWeightsOf<qb::BlockQ4_0>);
  qb::quantize::quantize(w, blocks);
  qb::matmul::PackedWeights packed(qb::matmul::view_q4_0(blocks, n, k), qb::matmul::Arithmetic::a8);
  packed.run(x, 1, y);

  double exact = 0;
  for (std::size_t i = 0; i < k; ++i) exact += double(w[i]) * x[i];
  std::printf("y[0] is %g by %s, %g without quantization\n", y[0],
              std::string(packed.variant()).c_str(), exact);
}
