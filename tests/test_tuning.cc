// SPDX-License-Identifier: Apache-2.0
// QB_TUNING is read once per process, so each test decides in a child of its own (EXPECT_EXIT).
#include "tuning.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absmax/absmax.h"
#include "catalog.h"
#include "core/isa.h"
#include "matmul/matmul.h"

namespace {

/// What quantbench-choose writes for this machine, preferring a variant that is never the default.
nlohmann::json good() {
  return {
      {"quantbench_tuning", 2},
      {"cpu", {{"name", qb::isa::cpu_name()}, {"isa_detected", qb::isa::detected().to_string()}}},
      {"row_classes", {{"one", 1}, {"few", 2}, {"many", 4}}},
      {"variants", {{"absmax_f32", "scalar"}}}};
}

/// In a child: writes `text` to a file, points QB_TUNING at it, and exits with 0 if `holds` does,
/// otherwise with 1. The child's standard error carries the refusal, if any.
template <class Holds>
[[noreturn]] void with_tuning(const std::string& text, Holds holds) {
  const std::string path = testing::TempDir() + "tuning_" + std::to_string(getpid()) + ".json";
  std::ofstream(path) << text;
  setenv("QB_TUNING", path.c_str(), 1);
  const bool held = holds();
  std::remove(path.c_str());
  std::exit(held ? 0 : 1);
}

/// Of absmax_f32.
[[noreturn]] void dispatch_with(const std::string& text, const std::string& expected) {
  with_tuning(text, [&] { return qb::absmax::f32.best().name == expected; });
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
  json["quantbench_tuning"] = 1;
  expect_refused(json, "version is not 2");
  json = good();
  json["variants"]["absmax_f32"] = 7;
  expect_refused(json, "absmax_f32: it has no classes of rows, only a variant's name");
}

/// The product's default where no class of rows differs from the order of the table.
std::string default_product() {
  std::string name;
  for (const qb::Variant* v : qb::matmul::a32_f32.variants())
    if (v->refusal().empty()) name = v->name;
  return name;
}

/// In a child: exits with 0 if a product goes to these variants for one, few and many rows, and one
/// that the file does not name to the default.
[[noreturn]] void products_with(const nlohmann::json& json, const std::string& one,
                                const std::string& few, const std::string& many) {
  with_tuning(json.dump(), [&] {
    using qb::Rows;
    const auto& op = qb::matmul::a32_f32;
    return op.best(Rows::one).name == one && op.best(Rows::few).name == few &&
           op.best(Rows::many).name == many && qb::dispatched(op.name, Rows::few)->name == few &&
           qb::matmul::a32_s8.best(Rows::one).name == default_product();
  });
}

TEST(TuningByRows, ClassesAreObeyed) {
  const std::string usual = default_product();
  ASSERT_NE(usual, "scalar");
  auto json = good();
  json["variants"] = {{"matmul_a32_f32", {{"one", "scalar"}, {"many", "autovec"}}}};
  EXPECT_EXIT(products_with(json, "scalar", usual, "autovec"), testing::ExitedWithCode(0), "^$");
  json["variants"] = {{"matmul_a32_f32", {{"few", "scalar"}}}};
  EXPECT_EXIT(products_with(json, usual, "scalar", usual), testing::ExitedWithCode(0), "^$");
}

TEST(TuningByRows, OneNameHoldsForAllClasses) {
  auto json = good();
  json["variants"] = {{"matmul_a32_f32", "scalar"}};
  EXPECT_EXIT(products_with(json, "scalar", "scalar", "scalar"), testing::ExitedWithCode(0), "^$");
}

TEST(TuningByRows, WeightsArePackedForTheExpectedRows) {
  auto json = good();
  json["variants"] = {{"matmul_a32_f32", {{"one", "scalar"}, {"many", "autovec"}}}};
  EXPECT_EXIT(
      with_tuning(json.dump(),
                  [] {
                    using namespace qb::matmul;
                    const std::vector<float> w(4);
                    const auto packed_for = [&](std::size_t m) {
                      return PackedWeights(view_f32(w, 2, 2), Arithmetic::a32, {}, 1, m).variant();
                    };
                    return packed_for(1) == "scalar" && packed_for(4) == "autovec" &&
                           packed_for(512) == "autovec";
                  }),
      testing::ExitedWithCode(0), "^$");
}

TEST(TuningByRows, OtherClassesAreRefused) {
  auto json = good();
  const auto expect_refused_for = [&](const nlohmann::json& said, const std::string& why) {
    json["variants"] = {{"matmul_a32_f32", said}};
    expect_refused(json, why);
  };
  expect_refused_for({{"lots", "scalar"}},
                     "matmul_a32_f32: there is no class 'lots' of rows; there are: one, few, many");
  expect_refused_for({{"any", "scalar"}}, "no class 'any' of rows");
  expect_refused_for(nlohmann::json::object(), "neither a variant's name nor classes");
  expect_refused_for(nlohmann::json::array({"scalar"}), "neither a variant's name nor classes");
  expect_refused_for(7, "neither a variant's name nor classes");
  expect_refused_for({{"one", 7}}, "class 'one': no variant's name");
  expect_refused_for({{"one", {{"two", "scalar"}}}}, "class 'one': no variant's name");
  expect_refused_for({{"one", "scalar"}, {"many", "abacus"}}, "no matmul_a32_f32/abacus");
  json["variants"] = {{"absmax_f32", {{"one", "scalar"}}}};
  expect_refused(json, "absmax_f32: it has no classes of rows");
  json["variants"] = {{"matmul_a32_f64", {{"one", "scalar"}}}};
  expect_refused(json, "no operation matmul_a32_f64");
}

TEST(TuningByRows, ClassesThatBeginElsewhereAreRefused) {
  auto json = good();
  json["row_classes"]["many"] = 100;
  expect_refused(json, "its classes of rows are .*100.*, here ");
  json.erase("row_classes");
  expect_refused(json, "row_classes");
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
