// When a kernel writes past the caches. Included by every instruction set's translation unit:
// constants, and a function in an anonymous namespace (docs/decisions/0002-odr.md).
#pragma once

#include <cstddef>

namespace qb {

/// A call that reads and writes this many bytes together, or more, stores with non-temporal stores
/// (then one sfence): its output would only push itself and its input out of the last cache, and a
/// plain store reads the line first. Below it they hurt, for the output is still in cache when the
/// consumer comes.
///
/// Where reading dominates, streaming leaves the last cache to the input and so gains before it is
/// full: the crossover lay between 12 and 20 MiB on a Zen 3 and a Zen 4 with 32 MiB of L3. Where
/// writing does, nearly all the traffic would go to memory: between 28 and 36 MiB on the Zen 4.
/// Larger last-level caches are shared by more cores, and what one core gets of them is slow enough
/// for the same thresholds.
inline constexpr std::size_t kStreamBytes = std::size_t{16} << 20;
inline constexpr std::size_t kStreamBytesWriting = std::size_t{32} << 20;

namespace {
[[maybe_unused]] constexpr bool past_caches(std::size_t read, std::size_t written) {
  return read + written >= (written > read ? kStreamBytesWriting : kStreamBytes);
}
}  // namespace

/// Runs shorter than this don't stream: where the plain stores of one run's ends meet the streamed
/// ones of its neighbour in a line, each waits for the other.
inline constexpr std::size_t kStreamRun = 4096;

}  // namespace qb
