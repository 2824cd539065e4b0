// SPDX-License-Identifier: Apache-2.0
// What a quick run leaves out.
#include <gtest/gtest.h>

#include "suite.h"

namespace qb::bench {
namespace {

const int kCode = 0;

class Redundant : public testing::Test {
 protected:
  /// A row of a variant that runs here, or of one that no CPU of this architecture runs.
  void add(const char* op, const char* format, const char* variant, bool runs = true) {
    variants_.push_back({format, variant, Arch::any, {}, runs ? &kCode : nullptr});
    Case c;
    c.op = op;
    c.format = format;
    c.variant = &variants_.back();
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

TEST_F(Redundant, IsRepackingThatNobodyIsDispatchedTo) {
  for (const char* v : {"scalar", "xsimd_avx2", "avx2", "avx512"}) add("repack", "a32.s8", v);
  add("repack", "a32.s8", "amx", false);
  EXPECT_EQ(left(), (Names{"repack/a32.s8/scalar/n:1", "repack/a32.s8/avx512/n:1",
                           "repack/a32.s8/amx/n:1"}));
}

}  // namespace
}  // namespace qb::bench
