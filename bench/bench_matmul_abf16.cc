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
  static double bound(std::span<const double> x, std::span<const double> w,
                      const oracle::Product& p) {
    return oracle::bound_bf16(x, w, p);
  }
};

}  // namespace

void add_matmul_abf16(const Plan& plan, Suite& suite) {
  const MatmulFormat formats[] = {
      {"abf16.f32", &matmul::abf16_f32, Format::f32, 0, Peak::bf16, oracle::rounded_to_bf16},
      {"abf16.s8", &matmul::abf16_s8, Format::s8, 0, Peak::bf16},
      {"abf16.s8.g32", &matmul::abf16_s8g, Format::s8g, 32, Peak::bf16},
      {"abf16.s8.g128", &matmul::abf16_s8g, Format::s8g, 128, Peak::bf16},
      {"abf16.s4", &matmul::abf16_s4, Format::s4, 0, Peak::bf16},
      {"abf16.s4.g32", &matmul::abf16_s4g, Format::s4g, 32, Peak::bf16},
      {"abf16.s4.g128", &matmul::abf16_s4g, Format::s4g, 128, Peak::bf16},
      {"abf16.q8_0", &matmul::abf16_q8_0, Format::q8_0, 0, Peak::bf16},
      {"abf16.q4_0", &matmul::abf16_q4_0, Format::q4_0, 0, Peak::bf16},
  };
  for (const MatmulFormat& f : formats) add_matmul<float>(plan, f, Columns<Rounded>(), suite);
  for (const MatmulFormat& f : formats) add_repack(plan, f, suite);
}

}  // namespace qb::bench
