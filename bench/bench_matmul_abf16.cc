// SPDX-License-Identifier: Apache-2.0
// matmul/abf16.*/<variant>/m:<m>/n:<n>/k:<k>[/cold] and repack/abf16.*/...
#include "matmul_case.h"
#include "oracle/matmul_bf16.h"

namespace qb::bench {
namespace {

using matmul::Format;

struct Rounded {
  static std::vector<double> activations(Format, std::span<const float> row) {
    return oracle::rounded_activations(row);
  }
  static double weight(double w) { return oracle::rounded_to_bf16(w); }
  static std::vector<double> magnitudes(const matmul::WeightView&, std::size_t) { return {}; }
  static double bound(std::span<const double> x, std::span<const double> w,
                      const oracle::Product& p) {
    return oracle::bound_bf16(x, w, p);
  }
};

}  // namespace

void add_matmul_abf16(const Plan& plan, Suite& suite) {
  auto formats =
      matmul_formats(plan, matmul::Arithmetic::abf16, "abf16", [](CodeKind) { return Peak::bf16; });
  for (MatmulFormat& f : formats)
    if (f.format == matmul::Format::f32) f.packed = oracle::rounded_to_bf16;
  for (const MatmulFormat& f : formats) add_matmul<float>(plan, f, Columns<Rounded>(), suite);
  for (const MatmulFormat& f : formats) add_repack(plan, f, suite);
}

}  // namespace qb::bench
