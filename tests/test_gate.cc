// SPDX-License-Identifier: Apache-2.0
// The benchmark's verification of products: what its bound lets through, the gate on the mean
// squared error does not.
#include <gtest/gtest.h>

#include <string>

#include "matmul_case.h"
#include "oracle/matmul_a8.h"
#include "suite.h"

namespace {

using namespace qb::bench;
using qb::matmul::Format;
using qb::matmul::Kernel;
using qb::matmul::Weights;

const Kernel& scalar() { return *qb::matmul::a32_f32.kernel(qb::matmul::a32_f32.named("scalar")); }

/// Activations' scale off by 1e-4.
void is_off(const Weights& w, const void* packed, const void* x, const void* workspace,
            std::size_t m, std::size_t n0, std::size_t n1, void* y) {
  scalar().run(w, packed, x, workspace, m, n0, n1, y);
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t n = n0; n < n1; ++n) static_cast<float*>(y)[i * w.n + n] *= 1.0001f;
}

const Kernel kIsOff = [] {
  Kernel kernel = scalar();
  kernel.run = is_off;
  return kernel;
}();

std::span<const qb::Variant> room() {
  static const qb::Variant rows[] = {
      {"matmul_a32_f32", "scalar", qb::Arch::any, qb::isa::baseline, &scalar()},
      {"matmul_a32_f32", "is_off", qb::Arch::any, qb::isa::baseline, &kIsOff}};
  return rows;
}
constexpr qb::Op<const Kernel> kOp{"matmul_a32_f32", room};

struct Plain {
  static std::vector<double> activations(Format, std::span<const float> row) {
    return {row.begin(), row.end()};
  }
  static double weight(double w) { return w; }
  static std::vector<double> magnitudes(const qb::matmul::WeightView&, std::size_t) { return {}; }
  static double bound(std::span<const double> x, std::span<const double>,
                      const qb::oracle::Product& p) {
    return qb::oracle::bound(p, x.size());
  }
};

TEST(Gate, AScaleThatIsOffIsAMismatchOfTheRow) {
  Plan plan;
  plan.matmul = {{2, 40, 11008}};
  plan.threads = {1};
  Suite suite;
  add_matmul<float>(plan, {"a32.f32", &kOp, Format::f32, 0, Peak::f32}, Columns<Plain>(), suite);
  ASSERT_EQ(suite.size(), 2u);
  ProblemCache problems;
  for (const Case& c : suite) {
    const auto instance = c.make({problems, 1, 1, std::size_t{1} << 20});
    instance->run();
    const Error error = instance->verify(Verify::full);
    if (c.variant->name == "scalar") {
      EXPECT_EQ(error.mismatches, 0u) << error.first;
    } else {
      EXPECT_EQ(error.mismatches, 1u) << "the bound would have found more";
      EXPECT_EQ(error.first.substr(0, 5), "NMSE ") << error.first;
      EXPECT_LT(*error.of_bound, 1.0) << "the bound finds it by itself: no proof of the gate";
    }
  }
}

}  // namespace
