// SPDX-License-Identifier: Apache-2.0
// What the machine counts besides time: hardware counters (through Google Benchmark, if that was
// built with libpfm) and energy (RAPL, through Linux's powercap). Both may be absent, and then say
// why.
#pragma once

#include <string>
#include <vector>

namespace qb::bench {

/// Empty if --benchmark_perf_counters works, else why it does not.
std::string perf_counters_refusal();

/// Energy of the CPU packages, which Linux counts in microjoules and from time to time from zero.
/// It is counted up about every millisecond, idle cores and whatever else runs included.
class Energy {
 public:
  /// Finds the packages' counters; QB_POWERCAP names another folder than /sys/class/powercap.
  Energy();

  /// "package-0, package-1", or why there is none.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool readable() const { return !zones_.empty(); }

  void start();
  /// Since start(), of all packages; negative if a counter could not be read.
  [[nodiscard]] double joules() const;
  /// Of each of the calls since start(), which took so long each; negative if it is not known, as
  /// for calls that were over within a few steps of the counter.
  [[nodiscard]] double joules_per_call(double calls, double seconds) const;

 private:
  struct Zone {
    std::string name, file;
    double range = 0;  ///< where it begins at zero again
    double begin = 0;
  };
  std::vector<Zone> zones_;
  std::string why_;
};

}  // namespace qb::bench
