// SPDX-License-Identifier: Apache-2.0
// From which size on kernels write with non-temporal stores. Included by every instruction set's
// translation unit: constants, and a function in an anonymous namespace
// (docs/decisions/0002-odr.md).
#pragma once

#include <cstddef>

namespace qb {

/// A call that reads and writes at least this many bytes in all uses non-temporal stores and one
/// sfence at its end. Ordinary stores would read each line before they write it, and push input and
/// output out of the last-level cache. Smaller calls use ordinary stores, so that the consumer
/// finds the output in cache.
///
/// If a call reads more than it writes, streaming keeps the last-level cache for the input, and so
/// gains before that is full: from 12 to 20 MiB on, on a Zen 3 and a Zen 4 with 32 MiB of L3. If it
/// writes more, nearly all its traffic goes to memory with streaming: that gains from 28 to 36 MiB
/// on (Zen 4). Larger last-level caches are shared by more cores, and are slow enough for the same
/// thresholds.
inline constexpr std::size_t kStreamBytes = std::size_t{16} << 20;
inline constexpr std::size_t kStreamBytesWriting = std::size_t{32} << 20;

namespace {
[[maybe_unused]] constexpr bool past_caches(std::size_t read, std::size_t written) {
  return read + written >= (written > read ? kStreamBytesWriting : kStreamBytes);
}
}  // namespace

/// Runs of fewer bytes don't stream. At the ends of a run ordinary stores share a cache line with
/// non-temporal ones of the neighbouring run, and each waits for the other.
inline constexpr std::size_t kStreamRun = 4096;

}  // namespace qb
