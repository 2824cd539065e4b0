// SPDX-License-Identifier: Apache-2.0
#include "support/variant_test.h"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>

#include "plugins/call.h"
#include "plugins/child.h"
#include "plugins/plugins.h"

namespace qb::test {
namespace {

/// The kernels of the files that QB_KERNELS names, loaded when first asked for. A file that can't
/// be loaded ends the program.
const std::deque<plugins::Loaded>& loaded_kernels() {
  [[maybe_unused]] static const bool once = [] {
    const char* const files = std::getenv("QB_KERNELS");
    std::stringstream list(files ? files : "");
    try {
      for (std::string file; std::getline(list, file, ':');) plugins::load(file);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "quantbench tests: %s\n", e.what());
      std::exit(2);
    }
    return true;
  }();
  return plugins::all();
}

}  // namespace

/// A test of a loaded variant, which runs in a child process.
class VariantTest::OfLoaded : public VariantTest {
 public:
  OfLoaded(VariantTest* test, const plugins::Loaded& loaded) : test_(test), loaded_(loaded) {
    variant_ = test_->variant_ = &loaded;
  }
  void TestBody() override {
    const std::string finding = plugins::in_child(
        [&]() -> std::string {
          plugins::trace(loaded_);
          test_->TestBody();
          return HasFailure() ? "failed as said above" : "";
        },
        {});
    if (!finding.empty()) FAIL() << finding;
  }

 private:
  std::unique_ptr<VariantTest> test_;
  const plugins::Loaded& loaded_;
};

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
  for (const plugins::Loaded& v : loaded_kernels()) {
    if (v.op != operation) continue;
    const std::string name = std::string(test) + '/' + std::string(v.name);
    testing::RegisterTest(suite, name.c_str(), nullptr, nullptr, file, line,
                          [create, &v]() -> VariantTest* { return new OfLoaded(create(), v); });
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
