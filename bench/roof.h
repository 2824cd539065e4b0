// The machine's measured limits: what a row's speed is a share of (roof_pct).
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "bandwidth.h"
#include "core/isa.h"
#include "suite.h"

namespace qb::bench {

/// Measures on demand and remembers for a few seconds: clocks drift, so a limit must be near in
/// time to the row that it judges.
class Limits {
 public:
  /// Seconds that `work` must take at the least on `threads` threads with the instructions in
  /// `needs`: the larger of its passes at the bandwidth measured at its working set, and its
  /// operations at the measured peak.
  double seconds(const Work& work, FeatureSet needs, int threads);

  /// Bytes per second, read and written together, of the pattern nearest to `pass` over a working
  /// set of that many bytes: the best of all loops.
  double bandwidth(const Pass& pass, std::size_t working_set, int threads);

  /// Operations per second of the arithmetic unit, in the strongest of the instruction sets that
  /// `needs` contains and that have it; of f32 where none of them has bf16.
  double peak(Peak unit, FeatureSet needs, int threads);

  /// Makes the next question measure anew what the last one was answered by, every loop, and keep
  /// the better of the two answers: for a row that came out faster than its limit.
  void doubt();

  /// One line per limit measured so far, for the results' context.
  std::map<std::string, std::string> describe() const;

 private:
  struct Entry {
    double rate = 0, measured_at = 0;
    bool doubted = false;
  };
  template <class Measure>
  double recall(const std::string& label, Measure measure);
  Bandwidth bandwidth_;
  std::map<std::string, Entry> known_;
  std::vector<std::string> asked_;  ///< what the last seconds() was answered by
};

/// The core's real clock in GHz, from a chain of dependent integer multiplications (3 cycles each
/// on every x86-64 core since 2006); 0 on other architectures. Turbo makes it drift: a row carries
/// it.
double clock_ghz();

}  // namespace qb::bench
