// SPDX-License-Identifier: Apache-2.0
// What kernels assume of caches, per instruction set: how many bytes they let stay in a level, how
// far ahead they prefetch, from where on they take data for far away. Tuning numbers only; how data
// is laid out and unrolled stands with the loops. What several instruction sets share stands with
// what they share: thresholds of non-temporal stores in core/stream.h, prefetch distances of few
// rows with f32 sums in matmul/a32/few_rows.h.
//
// x86's were set by timing, on a Zen 3 or a Zen 4 where nothing else is said; the commits that set
// them have the figures. AMX's, NEON's and SVE's follow from the sizes of caches alone: nobody has
// timed them on a CPU.
//
// For every instruction set's translation unit: constants in an anonymous namespace
// (docs/decisions/0002-odr.md).
#pragma once

#include <cstddef>

namespace qb {
namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * 1024;

struct X86Budget {
  /// convert: bytes read and written, at the most, as far as L2.
  static constexpr std::size_t kNear = 768 * kKiB;
};

struct XsimdBudget {
  static constexpr std::size_t kActivationsInL2 = 256 * kKiB;  ///< a32, abf16
};

struct Avx2Budget {
  static constexpr std::size_t kActivationsInL2 = 256 * kKiB;  ///< a32, abf16
  static constexpr std::size_t kInt8Ahead = 256;  ///< a8, one row: bytes prefetched ahead
};

struct Avx512Budget {
  static constexpr std::size_t kActivationsInL2 = 512 * kKiB;  ///< a32, abf16
};

/// avxvnni and avx512vnni, a8.
struct VnniBudget {
  static constexpr std::size_t kActivationsInL2 = 640 * kKiB;
  static constexpr std::size_t kRows = 128;  ///< whose sums wait for the next piece of K
};

struct Avx512Bf16Budget {
  static constexpr std::size_t kActivationsInL2 = 512 * kKiB;
  static constexpr std::size_t kDecoded = 16;  ///< blocks of K decoded at a time: 16 KiB, in L1
  static constexpr std::size_t kDepth = 128;   ///< blocks read at a time of what is not decoded
  /// Bytes that a panel's weights are prefetched ahead. One row waits for memory or the third
  /// cache, and prefetching farther ahead costs bandwidth on a Zen 4; more rows leave time for it.
  static constexpr std::size_t ahead(int rows) { return rows == 1 ? 256 : 1024; }
  /// The same for quads. With several rows, prefetch 8 KiB ahead into L2, since L1 has no room.
  /// While decoded weights are kept, prefetch the same part of the next quad.
  static constexpr std::size_t in_quads(int rows) { return rows == 1 ? 256 : 8 * kKiB; }
  /// Weights of fewer bytes are likely in cache, where an early prefetch costs more than it brings.
  static constexpr std::size_t kFar = 16 * kMiB;
};

struct AmxBudget {
  static constexpr std::size_t kActivationsInL2 = kMiB;  ///< a8, abf16
};

struct NeonBudget {
  static constexpr std::size_t kActivationsInL2 = 256 * kKiB;  ///< a32, a8, abf16
  static constexpr std::size_t kAhead = kKiB;                  ///< few rows: bytes prefetched ahead
  /// neon_bf16: activations that repay dequantizing.
  static constexpr std::size_t kBf16Activations = kMiB;
};

struct SveBudget {
  static constexpr std::size_t kActivationsInL2 = 256 * kKiB;  ///< a32
  static constexpr std::size_t kDecoded = 16 * kKiB;  ///< a32: bytes decoded at a time, in L1
};

}  // namespace
}  // namespace qb
