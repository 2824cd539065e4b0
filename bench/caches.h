// The machine's cache levels, by timing.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace qb::bench {

/// One level of the data caches, as found by timing.
struct CacheLevel {
  std::size_t bytes;  ///< largest working set still served by this level
  double latency_ns;  ///< of a dependent load there
};

/// A dependent load over a working set.
struct LatencyPoint {
  std::size_t bytes;
  double ns;
};

/// The levels that a curve of growing working sets shows; never empty.
std::vector<CacheLevel> cache_levels(std::span<const LatencyPoint> curve);

/// Finds the cache levels by the latency of a random pointer chase over growing working sets: what
/// this process is given of them, which in a virtual machine can be far less than sysfs tells.
/// Never empty.
std::vector<CacheLevel> measure_caches();

}  // namespace qb::bench
