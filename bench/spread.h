// SPDX-License-Identifier: Apache-2.0
// The spread of a row's repetitions as a counter of each of them.
#pragma once

#include <benchmark/benchmark.h>

#include <vector>

namespace qb::bench {

/// The same runs; repetitions of a row that was timed more than once carry `spread_pct`.
std::vector<benchmark::BenchmarkReporter::Run> with_spread(
    std::vector<benchmark::BenchmarkReporter::Run> runs);

}  // namespace qb::bench
