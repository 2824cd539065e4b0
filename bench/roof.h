// SPDX-License-Identifier: Apache-2.0
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

/// Measures a limit when it is asked for and keeps it for a few seconds. The clock drifts, so that
/// a row must be judged by a limit from about the same time.
class Limits {
 public:
  /// The least time in seconds that `work` takes on `threads` threads with the instruction sets in
  /// `needs`. It is the larger of two times: of its passes over memory at the bandwidth measured
  /// for its working set, and of its operations at the measured peak.
  double seconds(const Work& work, FeatureSet needs, int threads);

  /// Bytes per second, read and written together, of the pattern nearest to `pass` over a working
  /// set of that many bytes: the best of all loops.
  double bandwidth(const Pass& pass, std::size_t working_set, int threads);

  /// Operations per second of an arithmetic unit, measured with the strongest instruction set in
  /// `needs` that has such a unit. If none has bf16, the peak of f32 is returned for it.
  double peak(Peak unit, FeatureSet needs, int threads);

  /// For a row that was faster than its limit. Marks the limits that the last seconds() used: the
  /// next question for them measures again, with every loop, and the larger rate counts.
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
  std::vector<std::string> asked_;  ///< labels of the limits that the last seconds() used
};

/// The core's real clock in GHz, from a chain of dependent integer multiplications (3 cycles each
/// on every x86-64 core since 2006); 0 on other architectures. Turbo changes it from row to row, so
/// every row records it.
double clock_ghz();

}  // namespace qb::bench
