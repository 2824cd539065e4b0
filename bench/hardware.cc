// SPDX-License-Identifier: Apache-2.0
#include "hardware.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

// Google Benchmark has this constant in every version since 1.6, but not in a header that is
// installed. Weak: where a later version has none, its address is null.
extern "C" const bool qb_perf_counters_supported __asm__(
    "_ZN9benchmark8internal12PerfCounters10kSupportedE") __attribute__((weak));

namespace qb::bench {
namespace {

namespace fs = std::filesystem;

/// Five steps of the counter: known to a fifth. As long as a repetition of the quick profile.
constexpr double kLeastSeconds = 0.005;

/// The number in a file; negative if there is none to read.
double number_in(const std::string& path) {
  std::ifstream file(path);
  double value = -1;
  return file >> value ? value : -1;
}

std::string word_in(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

}  // namespace

std::string perf_counters_refusal() {
  const bool* const supported = &qb_perf_counters_supported;
  if (supported && *supported) return {};
  return "Google Benchmark was built without libpfm";
}

Energy::Energy() {
  const char* const named = std::getenv("QB_POWERCAP");
  const fs::path root = named && *named ? named : "/sys/class/powercap";
  std::error_code error;
  bool seen = false;
  for (const fs::directory_entry& entry : fs::directory_iterator(root, error)) {
    // Packages are intel-rapl:0, intel-rapl:1, on AMD's CPUs too; what is below them is part of
    // them.
    const std::string folder = entry.path().string();
    Zone zone{word_in(folder + "/name"), folder + "/energy_uj",
              number_in(folder + "/max_energy_range_uj"), 0};
    if (zone.name.rfind("package-", 0) != 0) continue;
    seen = true;
    if (number_in(zone.file) >= 0) zones_.push_back(zone);
  }
  if (zones_.empty())
    why_ = seen ? "its counters can't be read (they are root's)" : "no package in " + root.string();
  std::sort(zones_.begin(), zones_.end(),
            [](const Zone& a, const Zone& b) { return a.name < b.name; });
}

std::string Energy::text() const {
  if (zones_.empty()) return "not measured: " + why_;
  std::string names;
  for (const Zone& zone : zones_) names += (names.empty() ? "" : ", ") + zone.name;
  return names;
}

void Energy::start() {
  for (Zone& zone : zones_) zone.begin = number_in(zone.file);
}

double Energy::joules() const {
  double sum = 0;
  for (const Zone& zone : zones_) {
    const double end = number_in(zone.file);
    if (end < 0 || zone.begin < 0) return -1;
    const double passed = end - zone.begin;
    if (passed < 0 && zone.range <= 0) return -1;
    sum += passed >= 0 ? passed : passed + zone.range;
  }
  return sum * 1e-6;
}

double Energy::joules_per_call(double calls, double seconds) const {
  if (!readable() || calls < 1 || calls * seconds < kLeastSeconds) return -1;
  const double all = joules();
  return all < 0 ? -1 : all / calls;
}

}  // namespace qb::bench
