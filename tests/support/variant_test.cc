// SPDX-License-Identifier: Apache-2.0
#include "support/variant_test.h"

#include <stdexcept>
#include <string>

namespace qb::test {

bool VariantTest::add(const char* suite, const char* test, const char* file, int line,
                      std::string_view operation, std::span<const Variant> room, Create create) {
  bool any = false;
  for (const Variant& v : room) {
    if (v.op != operation || !v.impl) continue;
    any = true;
    const std::string name = std::string(test) + '/' + std::string(v.name);
    testing::RegisterTest(suite, name.c_str(), nullptr, nullptr, file, line,
                          [create, &v]() -> VariantTest* {
                            VariantTest* made = create();
                            made->variant_ = &v;
                            return made;
                          });
  }
  if (!any) throw std::logic_error(std::string(operation) + ": no variant to test");
  return any;
}

void VariantTest::SetUp() {
  const Variant& v = variant();
  const std::string why = v.refusal();
  if (why.empty()) return;
  const FeatureSet required = isa::required();
  if (!required.empty() && required.contains(v.needs))
    FAIL() << v.op << '/' << v.name << " is required by QB_REQUIRE_ISA but " << why;
  GTEST_SKIP() << v.op << '/' << v.name << ": " << why;
}

}  // namespace qb::test
