// SPDX-License-Identifier: Apache-2.0
// matmul/a8.*/<variant>/m:<m>/n:<n>/k:<k>[/cold] and repack/a8.*/...
#include "matmul_case.h"
#include "oracle/matmul_a8.h"

namespace qb::bench {
namespace {

using matmul::Format;

struct Quantized {
  static std::vector<double> activations(Format weights, std::span<const float> row) {
    return oracle::quantized_activations(weights, row);
  }
  static double weight(double w) { return w; }
  static std::vector<double> magnitudes(const matmul::WeightView& w, std::size_t n) {
    return oracle::magnitudes_of_output(w, n);
  }
  static double bound(std::span<const double> x, std::span<const double>,
                      const oracle::Product& p) {
    return oracle::bound(p, x.size());
  }
};

}  // namespace

void add_matmul_a8(const Plan& plan, Suite& suite) {
  // The values of a table are multiplied as bytes.
  const auto peak = [](CodeKind codes) {
    return codes == CodeKind::nibble ? Peak::int4 : Peak::int8;
  };
  const auto formats = matmul_formats(plan, matmul::Arithmetic::a8, "a8", peak);
  for (const MatmulFormat& f : formats) add_matmul<float>(plan, f, Columns<Quantized>(), suite);
  for (const MatmulFormat& f : formats) add_repack(plan, f, suite);
}

}  // namespace qb::bench
