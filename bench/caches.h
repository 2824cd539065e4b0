// SPDX-License-Identifier: Apache-2.0
// The machine's cache levels, by timing.
#pragma once

#include <cstddef>
#include <span>
#include <string>
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

/// Finds the cache levels by the latency of a random pointer chase over growing working sets. That
/// is the share of each cache that this process gets; in a virtual machine it can be far less than
/// sysfs reports. Never empty.
std::vector<CacheLevel> measure_caches();

/// How fast a working set is read, in bytes per second.
struct ReadPoint {
  std::size_t bytes;
  double rate;
};

/// The smallest working set from which on all larger ones are read as fast as the last, within 15
/// %. 0 if only the last one qualifies, since no other set confirms it.
std::size_t memory_from(std::span<const ReadPoint> curve);

/// The working sets to read, smallest first: from twice the measured caches, by doubling, to four
/// times the larger of measured and reported ones. Empty if `most` bytes are not enough for that.
std::vector<std::size_t> sets_to_read(std::size_t measured, std::size_t reported, std::size_t most);

/// The working set from which on this process certainly reads memory, by the bandwidth of sets up
/// to several times the largest cache that the system reports; 0 if memory is too small to tell.
std::size_t measure_memory_from(const std::vector<CacheLevel>& caches);

/// The level that serves a working set: "L1", "L2", ..., "memory"; "L3/memory" for sizes between
/// the last measured cache and memory_from.
std::string served_by(std::size_t working_set, std::span<const CacheLevel> caches,
                      std::size_t memory_from);

}  // namespace qb::bench
