// SPDX-License-Identifier: Apache-2.0
// quantbench-test: the tests of kernels for those that a shared library brings.
//
//   quantbench-test --kernels=./mine.so [--kernels=...] [GoogleTest's flags]
//
// All tests of variants are linked into it. They register themselves before main() with the kernels
// that QB_KERNELS names, so the program sets that and starts once more.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "core/printable.h"
#include "plugins/plugins.h"

namespace {

constexpr int kRefused = 2;
constexpr std::string_view kFlag = "--kernels=";

int refuse(const std::string& why) {
  std::fprintf(stderr, "quantbench-test: %s\n", qb::printable(why).c_str());
  return kRefused;
}

/// This program with the kernels in its environment. Returns only if that can't be.
int start_again(std::vector<std::string> args, const std::string& files) {
  setenv("QB_KERNELS", files.c_str(), 1);
  std::vector<char*> pointers;
  for (std::string& arg : args) pointers.push_back(arg.data());
  pointers.push_back(nullptr);
  execv("/proc/self/exe", pointers.data());
  return refuse("can't start itself once more; QB_KERNELS=" + files + " does the same");
}

/// The tests of loaded variants, by their names' ends.
std::string filter_of_loaded() {
  std::set<std::string> ends;
  for (const auto& loaded : qb::plugins::all()) ends.insert("*/" + std::string(loaded.name));
  std::string filter;
  for (const std::string& end : ends) filter += (filter.empty() ? "" : ":") + end;
  return filter;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> others;
  std::string files;
  for (int i = 0; i < argc; ++i) {
    const std::string arg = argv[i];
    if (i > 0 && arg.starts_with(kFlag))
      files += (files.empty() ? "" : ":") + arg.substr(kFlag.size());
    else
      others.push_back(arg);
  }
  if (!files.empty()) return start_again(others, files);
  testing::GTEST_FLAG(filter) = filter_of_loaded();
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1) return refuse("unknown argument '" + std::string(argv[1]) + "'");
  if (qb::plugins::all().empty() && !testing::GTEST_FLAG(list_tests))
    return refuse("--kernels=FILE names a shared library with kernels (quantbench/plugin.h)");
  const int status = RUN_ALL_TESTS();
  if (testing::UnitTest::GetInstance()->test_to_run_count() == 0)
    return refuse("there are no tests for these kernels");
  return status;
}
