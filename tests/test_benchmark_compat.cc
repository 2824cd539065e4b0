// SPDX-License-Identifier: Apache-2.0
// What differs between releases of Google Benchmark, without either release: rows of both forms.
#include "benchmark_compat.h"

#include <gmock/gmock.h>

#include <stdexcept>
#include <string>

namespace {

namespace compat = qb::bench::compat;
using testing::HasSubstr;

/// A row as up to 1.7.1.
struct RunWithError {
  bool error_occurred = false;
  std::string error_message;
};

/// A row as from 1.8 on.
struct RunWithSkip {
  enum Skipped : unsigned { NotSkipped = 0, SkippedWithMessage, SkippedWithError };
  Skipped skipped = NotSkipped;
  std::string skip_message;
};

TEST(BenchmarkCompat, AFailedRowSaysWhyInBothForms) {
  EXPECT_EQ(compat::error_of(RunWithError{true, "3 mismatches"}), "3 mismatches");
  EXPECT_EQ(compat::error_of(RunWithSkip{RunWithSkip::SkippedWithError, "3 mismatches"}),
            "3 mismatches");
  EXPECT_EQ(compat::error_of(RunWithSkip{RunWithSkip::SkippedWithMessage, "not now"}), "not now");
}

TEST(BenchmarkCompat, ATimedRowHasNoError) {
  EXPECT_EQ(compat::error_of(RunWithError{}), "");
  EXPECT_EQ(compat::error_of(RunWithSkip{}), "");
  EXPECT_EQ(compat::error_of(benchmark::BenchmarkReporter::Run{}), "");
}

TEST(BenchmarkCompat, SecondsAreAcceptedWithAndWithoutTheSuffix) {
  const std::string here =
      compat::kSince1_8 ? "--benchmark_min_time=0.5s" : "--benchmark_min_time=0.5";
  EXPECT_EQ(compat::flag("--benchmark_min_time=0.5"), here);
  EXPECT_EQ(compat::flag("--benchmark_min_time=0.5s"), here);
}

TEST(BenchmarkCompat, WhatIsNoTimeIsRefusedByName) {
  for (const std::string value : {"", "s", "soon", "nan", "inf", "-1", "0.5ms", "1e999"}) {
    const std::string argument = "--benchmark_min_time=" + value;
    try {
      compat::flag(argument);
      FAIL() << argument << " is accepted";
    } catch (const std::invalid_argument& e) {
      EXPECT_THAT(e.what(), HasSubstr(argument + ": expected seconds"));
    }
  }
}

TEST(BenchmarkCompat, OtherFlagsStayAsTheyAre) {
  for (const std::string argument :
       {"quantbench", "--benchmark_filter=s", "--benchmark_min_warmup_time=1"})
    EXPECT_EQ(compat::flag(argument), argument);
}

}  // namespace
