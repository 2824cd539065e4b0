// SPDX-License-Identifier: Apache-2.0
// What a quick run leaves out, and what products are given credit for.
#include <gtest/gtest.h>

#include <list>
#include <set>
#include <string>
#include <vector>

#include "matmul/matmul.h"
#include "suite.h"

namespace qb::bench {
namespace {

const int kCode = 0;

class Redundant : public testing::Test {
 protected:
  /// A row of a variant that runs here, or of one that no CPU of this architecture runs.
  void add(const char* op, const char* format, const char* variant, bool runs = true) {
    variants_.push_back({format, variant, Arch::any, {}, runs ? &kCode : nullptr});
    add(op, format, variants_.back());
  }
  void add(const char* op, const char* format, const Variant& variant) {
    Case c;
    c.op = op;
    c.format = format;
    c.variant = &variant;
    c.shape = "n:1";
    suite_.push_back(c);
  }
  std::vector<std::string> left() {
    leave_out_redundant(suite_);
    std::vector<std::string> names;
    for (const Case& c : suite_) names.push_back(c.name());
    return names;
  }

 private:
  std::list<Variant> variants_;
  Suite suite_;
};

using Names = std::vector<std::string>;

TEST_F(Redundant, AreWeakerLevelsOfPortableCode) {
  for (const char* v : {"scalar", "autovec", "autovec_avx2", "xsimd_sse4_2", "xsimd_avx2", "avx2"})
    add("absmax", "f32", v);
  add("absmax", "f32", "autovec_later", false);
  EXPECT_EQ(left(), (Names{"absmax/f32/scalar/n:1", "absmax/f32/autovec_avx2/n:1",
                           "absmax/f32/xsimd_avx2/n:1", "absmax/f32/avx2/n:1",
                           "absmax/f32/autovec_later/n:1"}));
}

TEST_F(Redundant, IsPortableCodeOfGroupsOf128) {
  for (const char* v : {"scalar", "autovec_avx2", "xsimd_avx2", "avx2", "avx512"})
    add("matmul", "a8.s4.g128", v);
  EXPECT_EQ(left(), (Names{"matmul/a8.s4.g128/scalar/n:1", "matmul/a8.s4.g128/avx2/n:1",
                           "matmul/a8.s4.g128/avx512/n:1"}));
}

// By the variants that there are, since dispatch knows no others.
TEST_F(Redundant, IsRepackingThatNobodyIsDispatchedTo) {
  const Op<const matmul::Kernel>& op = matmul::a32_s8;
  std::set<std::string> wanted = {"repack/a32.s8/scalar/n:1"};
  for (const Rows rows : kRowClasses)
    wanted.insert("repack/a32.s8/" + std::string(op.best(rows).name) + "/n:1");
  for (const Variant* const v : op.variants())
    if (v->refusal().empty()) add("repack", "a32.s8", *v);
  const std::vector<std::string> names = left();
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()), wanted);
}

// iq4_nl's codes and scales are of mxfp4's kind.
TEST_F(Redundant, IsAFormatThatFollowsInItsKindBesidesWhatIsDispatchedTo) {
  std::set<std::string> wanted, followers;
  const auto add_all = [&](const char* format, const auto& op) {
    for (const Variant* const v : op.variants())
      if (v->refusal().empty()) add("matmul", format, *v);
  };
  add_all("a8.mxfp4", matmul::a8_mxfp4);
  add_all("a8.iq4_nl", matmul::a8_iq4_nl);
  for (const Rows rows : kRowClasses)
    wanted.insert("matmul/a8.iq4_nl/" + std::string(matmul::a8_iq4_nl.best(rows).name) + "/n:1");
  bool scalar = false;
  for (const std::string& name : left()) {
    if (name.find("iq4_nl") != name.npos) followers.insert(name);
    scalar |= name == "matmul/a8.mxfp4/scalar/n:1";
  }
  EXPECT_EQ(followers, wanted);
  EXPECT_TRUE(scalar);
}

// Scalar code multiplies weights of 4 bits in a layout of floats: its limit is that of reading 4
// bits.
TEST(Products, AreGivenCreditForTheirFormatsBytesAlone) {
  Plan plan;
  plan.matmul = {{1, 64, 256, false}};
  plan.threads = {1};
  Suite suite;
  add_matmul_a32(plan, suite);
  add_matmul_a8(plan, suite);
  add_matmul_abf16(plan, suite);
  std::size_t blocks = 0;
  for (const Case& c : suite) {
    if (c.op != "matmul" || !c.format.ends_with(".q4_0")) continue;
    ++blocks;
    EXPECT_LE(c.work.passes.at(0).read, 64 * 256 / 32 * 18 + 256 * sizeof(float)) << c.name();
    EXPECT_GE(c.work.working_set, c.work.passes.at(0).read) << c.name();
  }
  EXPECT_GT(blocks, 6u);
}

}  // namespace
}  // namespace qb::bench
