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
  static double bound(std::span<const double> x, std::span<const double>,
                      const oracle::Product& p) {
    return oracle::bound(p, x.size());
  }
};

}  // namespace

void add_matmul_a8(const Plan& plan, Suite& suite) {
  const MatmulFormat formats[] = {
      {"a8.s8", &matmul::a8_s8, Format::s8, 0, Peak::int8},
      {"a8.s8.g32", &matmul::a8_s8g, Format::s8g, 32, Peak::int8},
      {"a8.s8.g128", &matmul::a8_s8g, Format::s8g, 128, Peak::int8},
      {"a8.s4", &matmul::a8_s4, Format::s4, 0, Peak::int4},
      {"a8.s4.g32", &matmul::a8_s4g, Format::s4g, 32, Peak::int4},
      {"a8.s4.g128", &matmul::a8_s4g, Format::s4g, 128, Peak::int4},
      {"a8.q8_0", &matmul::a8_q8_0, Format::q8_0, 0, Peak::int8},
      {"a8.q4_0", &matmul::a8_q4_0, Format::q4_0, 0, Peak::int4},
  };
  for (const MatmulFormat& f : formats) add_matmul<float>(plan, f, Columns<Quantized>(), suite);
  for (const MatmulFormat& f : formats) add_repack(plan, f, suite);
}

}  // namespace qb::bench
