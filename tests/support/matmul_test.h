// SPDX-License-Identifier: Apache-2.0
// The tests that every product has to pass, as suites: the checks of verify/checks/matmul.h for
// each variant and group, and those of the checked entry.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "checks/matmul.h"
#include "core/check.h"
#include "matmul/matmul.h"
#include "support/variant_test.h"

namespace qb::test {

/// The error of long sums is no more than rounding makes it: the gate of the benchmark.
template <class A>
void check_long_rounding(const matmul::Kernel& kernel, matmul::Format format, std::size_t group) {
  for (const std::size_t k : {512, 4096, 11008})
    for (const std::size_t m : {1, 7}) check_rounding<A>(kernel, format, group, m, {24, k});
}

/// Every variant's product through the checked entry, on several threads.
template <class A>
void check_entry(matmul::Arithmetic arithmetic) {
  for (const FormatInfo& row : kFormats) {
    const matmul::Format format = row.format;
    if (!matmul::find_operation(arithmetic, format)) continue;
    for (const int threads : {1, 2, 3}) {
      const std::size_t m = 9, n = 45, k = 256;
      const TestWeights w(format, n, k, 64, 4);
      matmul::PackedWeights packed(w.view(), arithmetic, {}, threads);
      const std::vector<float> x = A::activations(m, k, 8);
      std::vector<float> y(m * n);
      packed.run(x, m, y, threads);
      expect_within_bound<A>(w.view(), x, m, y);
      // Fewer rows, then more: the workspace grows as needed.
      packed.run(std::span<const float>(x).first(k), 1, y, threads);
      packed.run(x, m, y, threads);
      expect_within_bound<A>(w.view(), x, m, y);
    }
  }
}

/// What a checked entry says when it refuses.
std::string refusal(const auto& call) {
  try {
    call();
  } catch (const BadArgument& e) {
    return e.what();
  }
  return "nothing refused";
}

}  // namespace qb::test

#define QB_TEST_EACH_GROUP(Suite, name, check, format, ...)                        \
  QB_VARIANT_TEST(Suite, name) {                                                   \
    for (const std::size_t group : {__VA_ARGS__}) check(*kernel(), format, group); \
  }

/// The suite of one operation: arithmetic A, the weights' format, the groups.
#define QB_MATMUL_TESTS(Suite, operation, A, format, ...)                                       \
  QB_VARIANT_TEST_SUITE(Suite, operation);                                                      \
  QB_TEST_EACH_GROUP(Suite, EveryShapeBetweenGuardPages, qb::test::check_shapes<A>, format,     \
                     __VA_ARGS__)                                                               \
  QB_TEST_EACH_GROUP(Suite, ManyRows, qb::test::check_many_rows<A>, format, __VA_ARGS__)        \
  QB_TEST_EACH_GROUP(Suite, EveryPlaceOfK, qb::test::check_places<A>, format, __VA_ARGS__)      \
  QB_TEST_EACH_GROUP(Suite, Empty, qb::test::check_empty<A>, format, __VA_ARGS__)               \
  QB_TEST_EACH_GROUP(Suite, NonFiniteStaysInside, qb::test::check_non_finite<A>, format,        \
                     __VA_ARGS__)                                                               \
  QB_TEST_EACH_GROUP(Suite, UnpackGivesBack, qb::test::check_repacking<A>, format, __VA_ARGS__) \
  QB_TEST_EACH_GROUP(Suite, NothingButRounding, qb::test::check_long_rounding<A>, format,       \
                     __VA_ARGS__)

// The lengths of groups that a format is tested with, by its kind of scales and the weights of a
// block; 1: k may be anything.
#define QB_GROUPS_OF_none(weights) 1
#define QB_GROUPS_OF_output(weights) 1
#define QB_GROUPS_OF_group(weights) 32, 64, 128
#define QB_GROUPS_OF_zeros(weights) 32, 64, 128
#define QB_GROUPS_OF_block(weights) weights
#define QB_GROUPS_OF_block32(weights) weights
#define QB_GROUPS_OF_block16(weights) weights

/// The same and what only quantized weights can be held to.
#define QB_MATMUL_QUANTIZED_TESTS(Suite, operation, A, format, ...)                              \
  QB_MATMUL_TESTS(Suite, operation, A, format, __VA_ARGS__)                                      \
  QB_TEST_EACH_GROUP(Suite, ExtremeCodes, qb::test::check_extreme_codes<A>, format, __VA_ARGS__) \
  QB_TEST_EACH_GROUP(Suite, ZeroCodesGiveZero, qb::test::check_zeros<A>, format, __VA_ARGS__)
