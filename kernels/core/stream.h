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
/// Measured on Zen 3 with 32 MiB of L3, non-temporal over plain stores, one thread: expansion 1:2
/// 0.7 at 12 MiB, 1.2 at 24 MiB, 2.0 at 96 MiB and beyond; compression 2:1 1.0 at 12 MiB, 1.3 at
/// 24 MiB, 1.1 to 1.3 beyond; in L1 0.2. Larger last-level caches are shared by more cores, and
/// what one core gets of them is slow enough for the same limit.
inline constexpr std::size_t kStreamBytes = std::size_t{16} << 20;

}  // namespace qb
