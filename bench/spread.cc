// SPDX-License-Identifier: Apache-2.0
#include "spread.h"

#include "benchmark_compat.h"
#include "figure.h"

namespace qb::bench {

using Run = benchmark::BenchmarkReporter::Run;

std::vector<Run> with_spread(std::vector<Run> runs) {
  const auto timed = [](const Run& run) {
    return run.run_type == Run::RT_Iteration && compat::error_of(run).empty();
  };
  std::vector<double> seconds;
  for (const Run& run : runs)
    if (timed(run)) seconds.push_back(run.GetAdjustedRealTime());
  if (seconds.size() < 2) return runs;
  const double percent = 100 * figure_of(seconds).spread;
  for (Run& run : runs)
    if (timed(run)) run.counters["spread_pct"] = benchmark::Counter(percent);
  return runs;
}

}  // namespace qb::bench
