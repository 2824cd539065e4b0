// QB_TUNING is read once per process, so each test decides in a child of its own (EXPECT_EXIT).
#include "core/tuning.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "absmax/absmax.h"
#include "core/isa.h"

namespace {

/// What quantbench-choose writes for this machine, preferring a variant that is never the default.
nlohmann::json good() {
  return {
      {"quantbench_tuning", 1},
      {"cpu", {{"name", qb::isa::cpu_name()}, {"isa_detected", qb::isa::detected().to_string()}}},
      {"variants", {{"absmax_f32", "scalar"}}}};
}

/// In a child: writes `text` to a file, points QB_TUNING at it, and exits with 0 if absmax_f32 goes
/// to `expected`, otherwise with 1. The child's standard error carries the refusal, if any.
[[noreturn]] void dispatch_with(const std::string& text, const std::string& expected) {
  const std::string path = testing::TempDir() + "tuning_" + std::to_string(getpid()) + ".json";
  std::ofstream(path) << text;
  setenv("QB_TUNING", path.c_str(), 1);
  const std::string got(qb::absmax::f32.best().name);
  std::remove(path.c_str());
  std::exit(got == expected ? 0 : 1);
}

/// The variant that the fixed order picks, without touching this process's tuning.
std::string default_variant() {
  std::string name;
  for (const qb::Variant* v : qb::absmax::f32.variants())
    if (v->refusal().empty()) name = v->name;
  return name;
}

void expect_refused(const nlohmann::json& json, const std::string& why) {
  EXPECT_EXIT(dispatch_with(json.dump(), default_variant()), testing::ExitedWithCode(0),
              "is refused, the default order stays: .*" + why);
}

TEST(Tuning, IsObeyed) {
  ASSERT_NE(default_variant(), "scalar");
  EXPECT_EXIT(dispatch_with(good().dump(), "scalar"), testing::ExitedWithCode(0), "^$");
}

TEST(Tuning, OtherOperationsKeepTheDefault) {
  auto json = good();
  json["variants"] = {{"absmax_f16", "scalar"}};
  EXPECT_EXIT(dispatch_with(json.dump(), default_variant()), testing::ExitedWithCode(0), "^$");
}

TEST(Tuning, BrokenFileIsRefused) {
  EXPECT_EXIT(dispatch_with("{\"quantbench_tuning\": 1, ", default_variant()),
              testing::ExitedWithCode(0), "is refused, the default order stays: .*parse error");
  expect_refused(nlohmann::json::array(), "");
  auto json = good();
  json.erase("cpu");
  expect_refused(json, "cpu");
  json = good();
  json["quantbench_tuning"] = 2;
  expect_refused(json, "version");
  json = good();
  json["variants"]["absmax_f32"] = 7;
  expect_refused(json, "string");
}

TEST(Tuning, ForeignFileIsRefused) {
  auto json = good();
  json["cpu"]["name"] = "Another CPU";
  expect_refused(json, "another machine: CPU 'Another CPU'");
  json = good();
  json["cpu"]["isa_detected"] = "avx1024";
  expect_refused(json, "another machine: instruction sets 'avx1024'");
}

TEST(Tuning, UnknownNamesAreRefused) {
  auto json = good();
  json["variants"] = {{"absmax_f32", "scalar"}, {"absmax_f64", "scalar"}};
  expect_refused(json, "no absmax_f64/scalar");
  json["variants"] = {{"absmax_f32", "abacus"}};
  expect_refused(json, "no absmax_f32/abacus");
}

/// In a child: points QB_TUNING at `path` and exits with 0 if the default order stays.
[[noreturn]] void expect_default_with(const std::string& path) {
  setenv("QB_TUNING", path.c_str(), 1);
  std::exit(qb::absmax::f32.best().name == default_variant() ? 0 : 1);
}

TEST(Tuning, WhatIsNoSmallFileIsRefused) {
  const std::string path = testing::TempDir() + "tuning_odd_" + std::to_string(getpid());
  const auto expect_refused = [&](const std::string& why) {
    EXPECT_EXIT(expect_default_with(path), testing::ExitedWithCode(0), "is refused.*: " + why);
    std::filesystem::remove(path);
  };
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);  // nobody ever writes to it
  expect_refused("it is no regular file");
  std::filesystem::create_directory(path);
  expect_refused("it is no regular file");
  std::ofstream(path) << good().dump();
  std::filesystem::resize_file(path, 100 << 20);
  expect_refused("it is larger than 1 MiB");
}

TEST(Tuning, TextOfTheFileDoesNotSteerTheTerminal) {
  auto json = good();
  json["cpu"]["name"] = "\x1b[2J\u202ekcah";
  expect_refused(json, "CPU '\\\\x1b.2J\\\\u202ekcah'");
}

TEST(Tuning, MissingFileIsRefused) {
  EXPECT_EXIT(
      {
        setenv("QB_TUNING", "/nonexistent/tuning.json", 1);
        std::exit(qb::absmax::f32.best().name == default_variant() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "'/nonexistent/tuning.json' is refused.*can't be opened");
}

}  // namespace
