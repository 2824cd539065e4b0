// SPDX-License-Identifier: Apache-2.0
// Tests that run once per variant of an operation.
//
//   QB_VARIANT_TEST_SUITE(AbsmaxF32, absmax::f32);
//   QB_VARIANT_TEST(AbsmaxF32, NanPropagates) { kernel()(x, 1, n, &y); ... }
//
// A variant that can't run here is skipped with the reason, or fails if QB_REQUIRE_ISA covers it.
//
// QB_KERNELS=FILE[:FILE...] adds the variants of shared libraries (quantbench/plugin.h), each test
// of which runs in a child process: QB_KERNELS=./mine.so test_absmax --gtest_filter='*/mine'.
//
// Registered by hand: TEST_P would have the compiler make GoogleTest's generators again for each
// suite, which took longer than all else in a test program.
#pragma once

#include <gtest/gtest.h>

#include <span>
#include <string_view>

#include "core/variant.h"

namespace qb::test {

class VariantTest : public testing::Test {
 public:
  using Create = VariantTest* (*)();

  /// Adds `<suite>.<test>/<variant>` for every row of the operation that this build compiled: those
  /// for other architectures are no gap in it. Throws if there is none.
  static bool add(const char* suite, const char* test, const char* file, int line,
                  std::string_view operation, std::span<const Variant> room, Create create);

  void TestBody() override = 0;  // public, for those that run a test within another

 protected:
  const Variant& variant() const { return *variant_; }
  void SetUp() override;

 private:
  class OfLoaded;

  const Variant* variant_ = nullptr;
};

}  // namespace qb::test

/// Defines fixture `Suite` with `kernel()`, the implementation of operation `operation` under test.
#define QB_VARIANT_TEST_SUITE(Suite, operation)                                           \
  class Suite : public ::qb::test::VariantTest {                                          \
   protected:                                                                             \
    auto* kernel() const { return (operation).kernel(variant()); }                        \
    static bool add_test(const char* test, const char* file, int line,                    \
                         ::qb::test::VariantTest::Create create) {                        \
      return add(#Suite, test, file, line, (operation).name, (operation).room(), create); \
    }                                                                                     \
  }

/// A test of that fixture, once per row of the operation's table.
#define QB_VARIANT_TEST(Suite, name)                                                           \
  class Suite##_##name##_Test : public Suite {                                                 \
    void TestBody() override;                                                                  \
    [[maybe_unused]] static const bool added_;                                                 \
  };                                                                                           \
  const bool Suite##_##name##_Test::added_ =                                                   \
      Suite::add_test(#name, __FILE__, __LINE__,                                               \
                      []() -> ::qb::test::VariantTest* { return new Suite##_##name##_Test; }); \
  void Suite##_##name##_Test::TestBody()
