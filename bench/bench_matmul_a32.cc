// SPDX-License-Identifier: Apache-2.0
// matmul/{a32.*,f16.f16}/<variant>/m:<m>/n:<n>/k:<k>[/cold] and repack/...
#include "matmul_case.h"

namespace qb::bench {
namespace {

using matmul::Format;

ExpectedColumn exact_column(std::span<const float> x, std::size_t m, const matmul::WeightView& w,
                            std::size_t n) {
  const std::vector<double> row = oracle::weights_of_output(w, n);
  ExpectedColumn column;
  for (std::size_t i = 0; i < m; ++i) {
    const oracle::Product p =
        oracle::product(x.subspan(i * row.size(), row.size()), std::span<const double>(row));
    column.value.push_back(p.value);
    column.exact.push_back(p.value);
    column.bound.push_back(oracle::bound(p, row.size()));
    column.magnitude.push_back(p.magnitude);
  }
  return column;
}

/// Bit-exact: the bound is zero.
ExpectedColumn f16_column(std::span<const f16> x, std::size_t m, const matmul::WeightView& w,
                          std::size_t n) {
  const std::size_t k = w.w.k;
  const std::vector<float> row =
      oracle::values_of({static_cast<const f16*>(w.w.values) + n * k, k});
  ExpectedColumn column;
  for (std::size_t i = 0; i < m; ++i) {
    const std::vector<float> xi = oracle::values_of(x.subspan(i * k, k));
    double exact = 0;
    for (std::size_t j = 0; j < k; ++j) exact += double(xi[j]) * double(row[j]);
    column.value.push_back(oracle::value(oracle::product_f16(xi, row)));
    column.exact.push_back(exact);
    column.bound.push_back(0);
  }
  return column;
}

}  // namespace

void add_matmul_a32(const Plan& plan, Suite& suite) {
  const auto a32 =
      matmul_formats(plan, matmul::Arithmetic::a32, "a32", [](CodeKind) { return Peak::f32; });
  const MatmulFormat f16_f16 = {"f16.f16", &matmul::f16_f16, Format::f16, 0, Peak::f32};
  for (const MatmulFormat& f : a32) add_matmul<float>(plan, f, exact_column, suite);
  add_matmul<f16>(plan, f16_f16, f16_column, suite);
  for (const MatmulFormat& f : a32) add_repack(plan, f, suite);
  add_repack(plan, f16_f16, suite);
}

}  // namespace qb::bench
