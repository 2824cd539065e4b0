// matmul/abf16.*/<variant>/m:<m>/n:<n>/k:<k>[/cold] and repack/abf16.*/...
#include "matmul_case.h"
#include "oracle/matmul_bf16.h"

namespace qb::bench {
namespace {

using matmul::Format;

ExpectedColumn rounded_column(std::span<const float> x, std::size_t m, const matmul::WeightView& w,
                              std::size_t n) {
  const std::vector<double> exact = oracle::weights_of_output(w, n);
  const std::vector<double> weights = oracle::rounded_weights_of_output(w, n);
  ExpectedColumn column;
  for (std::size_t i = 0; i < m; ++i) {
    const std::span<const float> row = x.subspan(i * weights.size(), weights.size());
    const std::vector<double> factors = oracle::rounded_activations(row);
    const auto p = oracle::product<double>(factors, weights);
    column.value.push_back(p.value);
    column.exact.push_back(oracle::product(row, std::span<const double>(exact)).value);
    column.bound.push_back(oracle::bound_bf16(factors, weights, p));
  }
  return column;
}

}  // namespace

void add_matmul_abf16(const Plan& plan, Suite& suite) {
  const MatmulFormat formats[] = {
      {"abf16.f32", &matmul::abf16_f32, Format::f32, 0, Peak::f32, oracle::rounded_to_bf16},
      {"abf16.s8", &matmul::abf16_s8, Format::s8, 0, Peak::f32},
      {"abf16.s8.g32", &matmul::abf16_s8g, Format::s8g, 32, Peak::f32},
      {"abf16.s8.g128", &matmul::abf16_s8g, Format::s8g, 128, Peak::f32},
      {"abf16.s4", &matmul::abf16_s4, Format::s4, 0, Peak::f32},
      {"abf16.s4.g32", &matmul::abf16_s4g, Format::s4g, 32, Peak::f32},
      {"abf16.s4.g128", &matmul::abf16_s4g, Format::s4g, 128, Peak::f32},
      {"abf16.q8_0", &matmul::abf16_q8_0, Format::q8_0, 0, Peak::f32},
      {"abf16.q4_0", &matmul::abf16_q4_0, Format::q4_0, 0, Peak::f32},
  };
  for (const MatmulFormat& f : formats) add_matmul<float>(plan, f, rounded_column, suite);
  for (const MatmulFormat& f : formats) add_repack(plan, f, suite);
}

}  // namespace qb::bench
