// Tests that run once per variant of an operation.
//
//   QB_VARIANT_TEST_SUITE(AbsmaxF32, absmax::f32);
//   TEST_P(AbsmaxF32, NanPropagates) { kernel()(x, 1, n, &y); ... }
//
// A variant that can't run here is skipped with the reason, or fails if QB_REQUIRE_ISA covers it.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/variant.h"

namespace qb::test {

template <class OpType>
class VariantTest : public testing::TestWithParam<const Variant*> {
 protected:
  void SetUp() override {
    const Variant& v = *GetParam();
    const std::string why = v.refusal();
    if (why.empty()) return;
    const FeatureSet required = isa::required();
    if (!required.empty() && required.contains(v.needs))
      FAIL() << v.op << '/' << v.name << " is required by QB_REQUIRE_ISA but " << why;
    GTEST_SKIP() << v.op << '/' << v.name << ": " << why;
  }
};

/// The rows that this build compiled: those for other architectures are no gap in it.
template <class Impl>
std::vector<const Variant*> compiled(const Op<Impl>& operation) {
  std::vector<const Variant*> rows = operation.variants();
  std::erase_if(rows, [](const Variant* v) { return !v->impl; });
  return rows;
}

inline std::string variant_test_name(const testing::TestParamInfo<const Variant*>& info) {
  return std::string(info.param->name);
}

}  // namespace qb::test

/// Defines fixture `Suite` with `kernel()`, the implementation of operation `operation` under test,
/// instantiated for every row of its table.
#define QB_VARIANT_TEST_SUITE(Suite, operation)                                           \
  class Suite : public ::qb::test::VariantTest<decltype(operation)> {                     \
   protected:                                                                             \
    auto* kernel() const { return (operation).kernel(*GetParam()); }                      \
  };                                                                                      \
  INSTANTIATE_TEST_SUITE_P(, Suite, ::testing::ValuesIn(::qb::test::compiled(operation)), \
                           ::qb::test::variant_test_name)
