// SPDX-License-Identifier: Apache-2.0
#include "threads.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace {

namespace fs = std::filesystem;

/// A mount of cgroups and a process's membership, as files.
class Cgroups : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(root_); }
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& name, const std::string& text) {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }
  double quota() { return qb::bench::cpu_quota(root_, root_ / "membership"); }

  const fs::path root_ = fs::path(testing::TempDir()) / ("cgroups_" + std::to_string(getpid()));
};

TEST_F(Cgroups, NoneIsNoLimit) { EXPECT_EQ(quota(), 0); }

TEST_F(Cgroups, TheStrictestOfVersionTwoCounts) {
  write("membership", "0::/user/job\n");
  write("cpu.max", "max 100000\n");
  write("user/cpu.max", "150000 100000\n");
  EXPECT_DOUBLE_EQ(quota(), 1.5);
  write("user/job/cpu.max", "400000 100000\n");
  EXPECT_DOUBLE_EQ(quota(), 1.5);
  write("user/job/cpu.max", "50000 100000\n");
  EXPECT_DOUBLE_EQ(quota(), 0.5);
}

TEST_F(Cgroups, AContainersRootCounts) {
  write("membership", "0::/docker/4711\n");  // a path of the host
  write("cpu.max", "100000 100000\n");
  EXPECT_DOUBLE_EQ(quota(), 1);
}

TEST_F(Cgroups, VersionOneIsRead) {
  write("membership", "5:memory:/m\n2:cpu,cpuacct:/job\n");
  write("cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  write("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 0);
  write("cpu,cpuacct/job/cpu.cfs_quota_us", "200000\n");
  write("cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  EXPECT_DOUBLE_EQ(quota(), 2);
}

}  // namespace
