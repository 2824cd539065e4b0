// SPDX-License-Identifier: Apache-2.0
// Instruction-set detection, its two environment variables, and what must hold for every row of
// every room's table.
#include "core/isa.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>

#include "absmax/absmax.h"
#include "catalog.h"
#include "core/variant.h"

namespace {

using qb::Arch;
using qb::Feature;
using qb::FeatureSet;
using qb::Variant;
using testing::HasSubstr;
namespace isa = qb::isa;

/// Sets or removes an environment variable, and puts back what was there.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    value ? setenv(name, value, 1) : unsetenv(name);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

std::vector<isa::Level> host_levels() {
  std::vector<isa::Level> list;
  for (const isa::Level& level : isa::levels())
    if (level.arch == Arch::any || level.arch == qb::kHostArch) list.push_back(level);
  return list;
}

/// A feature of another architecture, which no CPU here can have.
constexpr Feature kForeign = qb::kHostArch == Arch::x86_64 ? Feature::sve : Feature::avx2;

std::string message_of(auto call) {
  try {
    call();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "no exception";
}

class Isa : public testing::Test {
  // The tests say themselves what is set.
  Environment isa_{"QB_ISA", nullptr};
  Environment required_{"QB_REQUIRE_ISA", nullptr};
};

TEST_F(Isa, EveryFeatureHasItsOwnName) {
  std::set<std::string_view> names;
  for (int f = 0; f < int(Feature::count); ++f) {
    EXPECT_FALSE(qb::feature_name(Feature(f)).empty()) << f;
    EXPECT_TRUE(names.insert(qb::feature_name(Feature(f))).second) << qb::feature_name(Feature(f));
  }
  EXPECT_EQ(FeatureSet{}.to_string(), "none");
  EXPECT_EQ(qb::features(Feature::fma, Feature::avx2).to_string(), "avx2+fma");
}

TEST_F(Isa, FeatureSets) {
  const FeatureSet a = qb::features(Feature::avx2, Feature::fma), b = qb::features(Feature::fma);
  EXPECT_TRUE(a.contains(b));
  EXPECT_FALSE(b.contains(a));
  EXPECT_TRUE(b.contains({}));
  EXPECT_EQ(a.minus(b), qb::features(Feature::avx2));
  EXPECT_EQ(a & b, b);
  EXPECT_EQ(b.with(Feature::avx2), a);
  EXPECT_TRUE(a.minus(a).empty());
}

TEST_F(Isa, LevelsStartAtTheBaselineAndHaveTheirOwnNames) {
  ASSERT_FALSE(isa::levels().empty());
  EXPECT_EQ(isa::levels()[0].name, "baseline");
  EXPECT_TRUE(isa::levels()[0].needs.empty());
  std::set<std::string_view> names;
  for (const isa::Level& level : isa::levels())
    EXPECT_TRUE(names.insert(level.name).second) << level.name;
}

TEST_F(Isa, DetectionIsConsistent) {
  const FeatureSet have = isa::detected();
  EXPECT_EQ(isa::enabled(), have);
  EXPECT_FALSE(have.has(kForeign));
  if (qb::kHostArch == Arch::aarch64) {
    EXPECT_TRUE(have.has(Feature::asimd));
  }
  // A CPU has every feature of the best level's, and no level beyond.
  std::string_view best;
  for (const isa::Level& level : host_levels())
    if (have.contains(level.needs)) best = level.name;
  EXPECT_EQ(isa::best_level(), best);
}

TEST_F(Isa, ACapAllowsItsLevelAndThoseBeforeIt) {
  FeatureSet up_to_here, before;
  for (const isa::Level& level : host_levels()) {
    const Environment cap("QB_ISA", std::string(level.name).c_str());
    up_to_here = up_to_here | level.needs;
    EXPECT_EQ(isa::enabled(), isa::detected() & up_to_here) << level.name;
    EXPECT_TRUE(isa::enabled().contains(before)) << level.name << " allows less than its precursor";
    before = isa::enabled();
  }
  EXPECT_EQ(before, isa::detected()) << "the last level is no cap";
}

TEST_F(Isa, TheBaselineCapAllowsNothing) {
  const Environment cap("QB_ISA", "baseline");
  EXPECT_TRUE(isa::enabled().empty());
  EXPECT_EQ(isa::best_level(), "baseline");
  EXPECT_EQ(isa::refusal(isa::baseline), "");
}

TEST_F(Isa, AnEmptyCapIsNone) {
  const Environment cap("QB_ISA", "");
  EXPECT_EQ(isa::enabled(), isa::detected());
}

TEST_F(Isa, UnknownNamesAreClearErrors) {
  const std::string foreign = qb::kHostArch == Arch::x86_64 ? "neon" : "avx2";
  for (const std::string& name : {std::string("avx3"), std::string("AVX2"), foreign}) {
    const Environment cap("QB_ISA", name.c_str()), required("QB_REQUIRE_ISA", name.c_str());
    const std::string capped = message_of(isa::enabled), wanted = message_of(isa::required);
    EXPECT_THAT(capped, HasSubstr("QB_ISA: no instruction set named '" + name + "'"));
    EXPECT_THAT(wanted, HasSubstr("QB_REQUIRE_ISA: no instruction set named '" + name + "'"));
    for (const isa::Level& level : host_levels())
      EXPECT_THAT(capped, HasSubstr(std::string(level.name))) << "lists what there is";
    EXPECT_THROW(isa::best_level(), std::invalid_argument);
  }
}

TEST_F(Isa, RefusalsSayWhy) {
  EXPECT_EQ(isa::refusal({}), "");
  EXPECT_EQ(isa::refusal(isa::detected()), "");
  EXPECT_EQ(isa::refusal(qb::features(kForeign)),
            "the CPU lacks " + std::string(qb::feature_name(kForeign)));
  // What is missing is named, not what is there.
  EXPECT_EQ(isa::refusal(isa::detected().with(kForeign)), isa::refusal(qb::features(kForeign)));

  const Environment cap("QB_ISA", "baseline");
  if (!isa::detected().empty()) {
    EXPECT_EQ(isa::refusal(isa::detected()), "capped by QB_ISA=baseline");
  }
  EXPECT_THAT(isa::refusal(qb::features(kForeign)), HasSubstr("the CPU lacks"))
      << "a cap does not hide that the CPU could not do it anyway";
}

TEST_F(Isa, RequiredIsTheUnionOfTheList) {
  EXPECT_TRUE(isa::required().empty());
  const std::vector<isa::Level> levels = host_levels();
  for (const isa::Level& level : levels) {
    const Environment one("QB_REQUIRE_ISA", std::string(level.name).c_str());
    EXPECT_EQ(isa::required(), level.needs) << level.name;
  }
  const isa::Level &first = levels.at(1), &last = levels.back();
  const std::string list = std::string(first.name) + ',' + std::string(last.name);
  const Environment both("QB_REQUIRE_ISA", list.c_str());
  EXPECT_EQ(isa::required(), first.needs | last.needs);
  EXPECT_EQ(isa::enabled(), isa::detected()) << "a requirement is no cap";
}

// ---------------------------------------------------------------- the tables

/// Operation -> its rows, from every room.
std::map<std::string_view, std::vector<const Variant*>> operations() {
  std::map<std::string_view, std::vector<const Variant*>> by_op;
  for (const Variant* v : qb::all_variants()) by_op[v->op].push_back(v);
  return by_op;
}

TEST_F(Isa, CatalogNamesAreUniquePerOperation) {
  EXPECT_FALSE(operations().empty());
  for (const auto& [op, rows] : operations()) {
    std::set<std::string_view> names;
    for (const Variant* v : rows) EXPECT_TRUE(names.insert(v->name).second) << op << '/' << v->name;
  }
}

TEST_F(Isa, EveryOperationHasAScalarVariantThatRunsAnywhere) {
  const Environment cap("QB_ISA", "baseline");
  for (const auto& [op, rows] : operations()) {
    const auto scalar =
        std::find_if(rows.begin(), rows.end(), [](auto* v) { return v->name == "scalar"; });
    ASSERT_NE(scalar, rows.end()) << op;
    EXPECT_EQ(*scalar, rows.front()) << op << ": scalar is what the others are compared with";
    EXPECT_EQ((*scalar)->arch, Arch::any) << op;
    EXPECT_TRUE((*scalar)->needs.empty()) << op;
    EXPECT_EQ((*scalar)->refusal(), "") << op;
  }
}

TEST_F(Isa, RowsAreCompiledWhereTheyBelong) {
  for (const Variant* v : qb::all_variants()) {
    const bool here = v->arch == Arch::any || v->arch == qb::kHostArch;
    EXPECT_EQ(v->impl != nullptr, here) << v->op << '/' << v->name;
    if (!here) {
      EXPECT_EQ(v->refusal(), "not compiled: it is for " + std::string(arch_name(v->arch)));
    }
  }
}

TEST_F(Isa, ARowNeedsWhatItsFileIsCompiledFor) {
  // cmake/Isa.cmake gives a file the flags of the level its name ends in. A row that asked for less
  // would send a CPU into instructions it lacks.
  for (const Variant* v : qb::all_variants()) {
    const isa::Level* compiled_for = &isa::levels()[0];
    std::size_t longest = 0;
    for (const isa::Level& level : isa::levels()) {
      std::string suffix(level.name);
      std::replace(suffix.begin(), suffix.end(), '.', '_');
      if (v->name.ends_with(suffix) && suffix.size() > longest) {
        compiled_for = &level;
        longest = suffix.size();
      }
    }
    EXPECT_EQ(v->needs, compiled_for->needs)
        << v->op << '/' << v->name << " needs " << v->needs.to_string() << ", is compiled for "
        << compiled_for->name;
    EXPECT_EQ(v->arch, compiled_for->arch) << v->op << '/' << v->name;
  }
}

TEST_F(Isa, DispatchObeysTheCap) {
  for (const isa::Level& level : host_levels()) {
    const Environment cap("QB_ISA", std::string(level.name).c_str());
    for (const auto& [op, rows] : operations()) {
      const Variant* best = nullptr;
      for (const Variant* v : rows)
        if (v->refusal().empty()) best = v;
      ASSERT_NE(best, nullptr) << op << " has nothing to run at " << level.name;
      EXPECT_TRUE(isa::enabled().contains(best->needs)) << op << " at " << level.name;
    }
    EXPECT_TRUE(isa::enabled().contains(qb::absmax::f32.best().needs)) << level.name;
  }
}

TEST_F(Isa, NamedVariantsAreFoundOrRefused) {
  EXPECT_EQ(qb::absmax::f32.named("scalar").name, "scalar");
  EXPECT_EQ(qb::absmax::f32.named("scalar").op, "absmax_f32");
  const std::string unknown = message_of([] { qb::absmax::f32.named("abacus"); });
  EXPECT_THAT(unknown, HasSubstr("absmax_f32: no variant 'abacus'; there are: scalar, autovec"));
  const std::string foreign = qb::kHostArch == Arch::x86_64 ? "neon" : "avx2";
  EXPECT_THAT(message_of([&] { qb::absmax::f32.named(foreign); }),
              HasSubstr("variant '" + foreign + "' can't run here: not compiled"));
  if (qb::kHostArch == Arch::any) return;
  const std::string own = qb::kHostArch == Arch::x86_64 ? "avx2" : "neon";
  const Environment cap("QB_ISA", "baseline");
  EXPECT_THAT(message_of([&] { qb::absmax::f32.named(own); }), HasSubstr("can't run here: "));
}

}  // namespace
