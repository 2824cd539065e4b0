// SPDX-License-Identifier: Apache-2.0
// The dispatcher's rule, on tables of its own making and on the rooms'.
#include <gtest/gtest.h>

#include <vector>

#include "catalog.h"
#include "core/rows.h"
#include "core/variant.h"

namespace {

using qb::Rows;
using qb::Variant;

constexpr std::uint8_t bit(Rows rows) { return std::uint8_t(1u << int(rows)); }

/// Needs nothing, so that it runs everywhere.
Variant variant(std::string_view name, qb::GivesWay gives_way = {}) {
  static const int kernel = 0;
  return {"no_room_op", name, qb::Arch::any, {}, &kernel, gives_way};
}

std::string_view best(const std::vector<Variant>& table, Rows rows) {
  std::vector<const Variant*> variants;
  for (const Variant& v : table) variants.push_back(&v);
  const Variant* const v = qb::dispatched(variants, rows);
  return v ? v->name : "none";
}

TEST(Dispatch, TheLastThatRuns) {
  Variant not_compiled = variant("c");
  not_compiled.impl = nullptr;
  EXPECT_EQ(best({variant("a"), variant("b"), not_compiled}, Rows::any), "b");
  EXPECT_EQ(best({not_compiled}, Rows::any), "none");
  EXPECT_EQ(best({}, Rows::any), "none");
}

TEST(Dispatch, AVariantGivesWayForItsClassesOnly) {
  const std::vector<Variant> table = {variant("a"), variant("b", {bit(Rows::many), {}})};
  EXPECT_EQ(best(table, Rows::one), "b");
  EXPECT_EQ(best(table, Rows::few), "b");
  EXPECT_EQ(best(table, Rows::many), "a");
}

TEST(Dispatch, AVariantGivesWayOnItsCpusOnly) {
  constexpr qb::FeatureSet nowhere = qb::features(qb::Feature::avx2, qb::Feature::asimd);
  EXPECT_EQ(best({variant("a"), variant("b", {bit(Rows::many), nowhere})}, Rows::many), "b");
}

TEST(Dispatch, WhereAllGiveWayTheLastRuns) {
  const qb::GivesWay always{bit(Rows::one), {}};
  EXPECT_EQ(best({variant("a", always), variant("b", always)}, Rows::one), "b");
}

TEST(Dispatch, ClassesOfRows) {
  EXPECT_EQ(qb::rows_of(0), Rows::one);
  for (const Rows rows : qb::kRowClasses) EXPECT_EQ(qb::rows_of(qb::first_of(rows)), rows);
  EXPECT_EQ(qb::rows_of(qb::first_of(Rows::many) - 1), Rows::few);
  EXPECT_EQ(qb::rows_of(1 << 20), Rows::many);
}

/// Nothing in the rooms' tables leaves a class without a variant, and only products have classes.
TEST(Dispatch, EveryClassOfEveryOperationHasAVariant) {
  for (const Variant* const v : qb::all_variants()) {
    const auto classes = qb::row_classes(v->op);
    EXPECT_EQ(classes.size(), v->op.starts_with("matmul_") ? 3u : 1u) << v->op;
    for (const Rows rows : classes) EXPECT_NE(qb::dispatched(v->op, rows), nullptr) << v->op;
    EXPECT_TRUE(classes.size() == 3 || v->gives_way.rows == 0) << v->op;
  }
  EXPECT_TRUE(qb::row_classes("matmul_a32_f64").empty());
}

void expect_gives_way(std::string_view operations, std::string_view name, Rows rows,
                      qb::FeatureSet on) {
  bool met = false;
  for (const Variant* const v : qb::all_variants())
    met |= v->op.starts_with(operations) && v->name == name &&
           (v->gives_way.rows & bit(rows)) != 0 && v->gives_way.on == on;
  EXPECT_TRUE(met) << operations << "/" << name;
}

/// order.inc names operations and variants as text: each of its rows must meet one.
TEST(Dispatch, EveryRowThatGivesWayNamesAVariant) {
#define QB_GIVES_WAY(operations, name_, rows_, on_) \
  expect_gives_way(#operations, #name_, Rows::rows_, qb::isa::on_);
#include "matmul/order.inc"
#undef QB_GIVES_WAY
}

}  // namespace
