// SPDX-License-Identifier: Apache-2.0
// How long one pass through a model's matrices takes: their products one after another, in the
// order given, as a decoder runs them. quantbench-formats --check holds its sums of single
// measurements to it.
//
//   model_pass M THREADS PASSES < LINES
//
// A line is a matrix: its arithmetic, its format, the length of its groups (0: none), N and K, as
// in "a8 s8g 32 4096 4096". Weights are random. If they are few, further copies are made, so that
// the passes go round more memory than caches hold and every pass finds its weights cold. Prints
// the median time of a pass in nanoseconds.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "quantbench/quantbench.h"

namespace {

constexpr std::size_t kColdBytes = std::size_t{256} << 20;

void check(quantbench_status status) {
  if (status == QUANTBENCH_OK) return;
  std::fprintf(stderr, "model_pass: %s\n", quantbench_last_error());
  std::exit(2);
}

struct Line {
  std::string arithmetic, format;
  std::size_t group = 0, n = 0, k = 0;
};

struct Free {
  void operator()(quantbench_weights* weights) const { quantbench_free(weights); }
};

/// A matrix' weights in its format.
struct Bytes {
  std::vector<std::byte> values, scales;
};

/// A matrix that is ready for products, and the bytes that it was made of, which it may read.
struct Matrix {
  Bytes bytes;
  std::unique_ptr<quantbench_weights, Free> packed;
};

Bytes random_weights(const Line& line, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> w(line.n * line.k);
  for (float& value : w) value = normal(random);
  std::size_t values = 0, scales = 0;
  const char* const format = line.format.c_str();
  check(quantbench_sizes(format, line.n, line.k, line.group, &values, &scales));
  Bytes bytes{std::vector<std::byte>(values), std::vector<std::byte>(scales)};
  check(quantbench_quantize(format, w.data(), line.n, line.k, line.group, bytes.values.data(),
                            values, bytes.scales.data(), scales));
  return bytes;
}

Matrix ready(const Line& line, const Bytes& bytes, std::size_t m, int threads) {
  Matrix matrix{bytes, nullptr};
  const Bytes& own = matrix.bytes;
  quantbench_weights* packed = nullptr;
  check(quantbench_pack(line.format.c_str(), own.values.data(), own.values.size(),
                        own.scales.data(), own.scales.size(), line.n, line.k, line.group,
                        line.arithmetic.c_str(), nullptr, threads, m, &packed));
  matrix.packed.reset(packed);
  return matrix;
}

double pass(const std::vector<Matrix>& model, const std::vector<float>& x, std::size_t m,
            std::vector<float>& y, int threads) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  for (const Matrix& matrix : model)
    check(quantbench_matmul(matrix.packed.get(), x.data(), m, y.data(), threads));
  return std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
}

}  // namespace

int main(int argc, char** argv) {
  const long m = argc == 4 ? std::atol(argv[1]) : 0, threads = argc == 4 ? std::atol(argv[2]) : 0;
  const long passes = argc == 4 ? std::atol(argv[3]) : 0;
  std::vector<Line> lines;
  for (Line line; std::cin >> line.arithmetic >> line.format >> line.group >> line.n >> line.k;)
    lines.push_back(line);
  if (m < 1 || threads < 1 || passes < 1 || lines.empty() || !std::cin.eof()) {
    std::fprintf(stderr,
                 "usage: model_pass M THREADS PASSES < lines 'arithmetic format group N K'\n");
    return 2;
  }
  std::mt19937 random(2135);
  std::vector<Bytes> originals;
  std::size_t widest = 0, longest = 0, bytes = 0;
  for (const Line& line : lines) {
    originals.push_back(random_weights(line, random));
    bytes += originals.back().values.size();
    widest = std::max(widest, line.k);
    longest = std::max(longest, line.n);
  }
  std::vector<std::vector<Matrix>> copies(kColdBytes / std::max(bytes, std::size_t{1}) + 1);
  for (std::vector<Matrix>& model : copies)
    for (std::size_t i = 0; i < lines.size(); ++i)
      model.push_back(ready(lines[i], originals[i], std::size_t(m), int(threads)));
  std::vector<float> x(std::size_t(m) * widest), y(std::size_t(m) * longest);
  std::normal_distribution<float> normal;
  for (float& value : x) value = normal(random);
  std::vector<double> times;
  for (const auto& model : copies) pass(model, x, std::size_t(m), y, int(threads));
  for (long i = 0; i < passes; ++i)
    times.push_back(
        pass(copies[std::size_t(i) % copies.size()], x, std::size_t(m), y, int(threads)));
  std::nth_element(times.begin(), times.begin() + std::ptrdiff_t(times.size() / 2), times.end());
  std::printf("%.0f\n", times[times.size() / 2]);
}
