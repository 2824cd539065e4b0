// SPDX-License-Identifier: Apache-2.0
// Energy, from a folder that looks like Linux's powercap, and what is said where there is none.
#include "hardware.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

namespace fs = std::filesystem;

class EnergyTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / ("powercap." + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
    ::setenv("QB_POWERCAP", root_.c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("QB_POWERCAP");
    fs::remove_all(root_);
  }
  void zone(const std::string& folder, const std::string& name, const std::string& microjoules) {
    fs::create_directories(root_ / folder);
    std::ofstream(root_ / folder / "name") << name << "\n";
    std::ofstream(root_ / folder / "max_energy_range_uj") << 1000000 << "\n";
    std::ofstream(root_ / folder / "energy_uj") << microjoules << "\n";
  }

  fs::path root_;
};

TEST_F(EnergyTest, IsThatOfThePackagesAlone) {
  zone("intel-rapl:0", "package-0", "100");
  zone("intel-rapl:1", "package-1", "200");
  zone("intel-rapl:0:0", "core", "300");  // a part of the package
  qb::bench::Energy energy;
  EXPECT_TRUE(energy.readable());
  EXPECT_EQ(energy.text(), "package-0, package-1");
  energy.start();
  zone("intel-rapl:0", "package-0", "250100");
  zone("intel-rapl:1", "package-1", "250200");
  zone("intel-rapl:0:0", "core", "999999");
  EXPECT_DOUBLE_EQ(energy.joules(), 0.5);
}

TEST_F(EnergyTest, BeginsAtZeroAgain) {
  zone("intel-rapl:0", "package-0", "900000");
  qb::bench::Energy energy;
  energy.start();
  zone("intel-rapl:0", "package-0", "150000");
  EXPECT_DOUBLE_EQ(energy.joules(), 0.25);
}

TEST_F(EnergyTest, OfACallIsKnownAfterAFewMilliseconds) {
  zone("intel-rapl:0", "package-0", "0");
  qb::bench::Energy energy;
  energy.start();
  zone("intel-rapl:0", "package-0", "100000");
  EXPECT_DOUBLE_EQ(energy.joules_per_call(10, 0.001), 0.01);
  EXPECT_LT(energy.joules_per_call(10, 0.0001), 0);
}

TEST_F(EnergyTest, ThatIsGoneInMidRunIsNoEnergy) {
  zone("intel-rapl:0", "package-0", "1");
  qb::bench::Energy energy;
  energy.start();
  fs::remove_all(root_ / "intel-rapl:0");
  EXPECT_LT(energy.joules(), 0);
}

TEST_F(EnergyTest, SaysWhyThereIsNone) {
  EXPECT_FALSE(qb::bench::Energy().readable());
  EXPECT_LT(qb::bench::Energy().joules_per_call(10, 1), 0);
  EXPECT_NE(qb::bench::Energy().text().find("no package in"), std::string::npos);
  zone("intel-rapl:0", "package-0", "");  // as for a reader who may not
  EXPECT_NE(qb::bench::Energy().text().find("can't be read"), std::string::npos);
}

}  // namespace
