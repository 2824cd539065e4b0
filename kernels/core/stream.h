// When a kernel writes past the caches. Included by every instruction set's translation unit:
// constants only.
#pragma once

#include <cstddef>

namespace qb {

/// A call that reads and writes this many bytes together, or more, stores with non-temporal stores
/// (then one sfence): its output would only push itself and its input out of the last cache, and a
/// plain store reads the line first. Below it they hurt, for the output is still in cache when the
/// consumer comes.
///
/// The crossover lay between 12 and 24 MiB on a Zen 3 with 32 MiB of L3. Larger last-level caches
/// are shared by more cores, and what one core gets of them is slow enough for the same threshold.
inline constexpr std::size_t kStreamBytes = std::size_t{16} << 20;

/// Runs shorter than this don't stream: where the plain stores of one run's ends meet the streamed
/// ones of its neighbour in a line, each waits for the other.
inline constexpr std::size_t kStreamRun = 4096;

}  // namespace qb
