// SPDX-License-Identifier: Apache-2.0
// Three lists name the instruction sets: cmake/Isa.cmake (the flags that compile each), core/isa.h
// (the CPU features that each needs) and .ci/run (which of them a machine's /proc/cpuinfo
// promises). They must say the same, for every architecture and on any machine.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "core/isa.h"
#include "isa_flags.h"

namespace {

using qb::Arch;
using qb::Feature;
using qb::FeatureSet;
namespace isa = qb::isa;

/// "avx512_vnni", "amx-int8" and "sse4.2" as one list spells them and another does not.
std::string plain(std::string name) {
  std::erase_if(name, [](char c) { return c == '_' || c == '-' || c == '.'; });
  return name;
}

/// The feature of that name, with the names that compilers and kernels have for some.
FeatureSet feature(const std::string& name) {
  static const std::map<std::string, std::string> other_names = {
      {"fp16", "fphp"}, {"asimdhp", "fphp"}, {"asimddp", "dotprod"}};
  const auto other = other_names.find(plain(name));
  const std::string wanted = other == other_names.end() ? plain(name) : other->second;
  for (int f = 0; f < int(Feature::count); ++f)
    if (plain(std::string(qb::feature_name(Feature(f)))) == wanted) return qb::features(Feature(f));
  ADD_FAILURE() << "no feature is named '" << name << "'";
  return {};
}

/// The features that a compiler's flags switch on.
FeatureSet features_of_flags(const std::string& flags, const std::string& arch) {
  FeatureSet set = arch == "aarch64" ? isa::neon : FeatureSet{};  // AArch64 always has it
  std::istringstream words(flags);
  for (std::string flag; words >> flag;) {
    if (flag.rfind("-march=armv8.2-a", 0) == 0) {
      std::istringstream extensions(flag);
      std::string extension;
      std::getline(extensions, extension, '+');
      while (std::getline(extensions, extension, '+')) set = set | feature(extension);
    } else if (flag.find('=') == flag.npos) {
      set = set | feature(flag.substr(2));  // -m<feature>; -m<option>=<value> switches nothing on
    }
  }
  return set;
}

const isa::Level* level_named(const std::string& name) {
  for (const isa::Level& level : isa::levels())
    if (plain(std::string(level.name)) == plain(name)) return &level;
  return nullptr;
}

TEST(IsaFlags, FlagsAreTheFeaturesOfTheirLevel) {
  for (const LevelOfBuild& built : kLevelsOfBuild) {
    const isa::Level* level = level_named(built.name);
    ASSERT_NE(level, nullptr) << "core/isa.h has no level " << built.name;
    EXPECT_EQ(features_of_flags(built.flags, built.arch).to_string(), level->needs.to_string())
        << built.name << ": cmake/Isa.cmake's flags beside core/isa.h's features";
    EXPECT_EQ(std::string(built.arch), level->arch == Arch::x86_64 ? "x86_64" : "aarch64")
        << built.name;
  }
}

TEST(IsaFlags, EveryLevelIsBuiltInTheSameOrder) {
  std::vector<std::string> built, levels;
  for (const LevelOfBuild& level : kLevelsOfBuild) built.push_back(plain(level.name));
  for (const isa::Level& level : isa::levels())
    if (level.arch != Arch::any) levels.push_back(plain(std::string(level.name)));
  EXPECT_EQ(built, levels);
}

TEST(IsaFlags, ContinuousIntegrationRequiresTheSameFeatures) {
  std::ifstream script(QB_CI_SCRIPT);
  ASSERT_TRUE(script) << QB_CI_SCRIPT;
  std::string line;
  while (std::getline(script, line) && line.find("<<'LEVELS'") == line.npos) {
  }
  std::set<std::string> seen;
  while (std::getline(script, line) && line != "LEVELS") {
    std::istringstream words(line);
    std::string name, word;
    words >> name;
    const isa::Level* level = level_named(name);
    ASSERT_NE(level, nullptr) << ".ci/run: no level " << name;
    FeatureSet set;
    while (words >> word) set = set | feature(word);
    EXPECT_EQ(set.to_string(), level->needs.to_string()) << ".ci/run: " << name;
    seen.insert(name);
  }
  for (const isa::Level& level : isa::levels()) {
    if (level.arch == Arch::any) continue;
    EXPECT_EQ(seen.count(std::string(level.name)), 1u) << ".ci/run leaves out " << level.name;
  }
}

}  // namespace
