// SPDX-License-Identifier: Apache-2.0
// What kernels assume of caches, per instruction set: how many bytes they let stay in a level, how
// far ahead they prefetch, from where on they take data for far away. Tuning numbers only; how data
// is laid out and unrolled stands with the loops, and so do the lengths from which another loop
// pays. The thresholds of non-temporal stores, which all share, stand in core/stream.h.
//
// x86's were set by timing, on a Zen 3 or a Zen 4 where nothing else is said
// (docs/decisions/0006-streams-and-prefetch.md); commits have the figures. To set one anew, compare
// two builds with `quantbench-compare --run`. AMX's, NEON's and SVE's follow from the sizes of
// caches alone: nobody has timed them on a CPU.
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

/// a32 of every instruction set that has panels.
struct F32SumsBudget {
  /// Bytes that few rows prefetch ahead: the hardware's own prefetching stops at every page. For
  /// one row, which memory binds, prefetching farther ahead costs bandwidth on a Zen 4
  /// (docs/decisions/0006); f32 is read so fast that less than 512 comes too late.
  static constexpr std::size_t ahead(std::size_t bits, int rows) {
    return rows > 1 ? 1024 : bits == 32 ? 512 : 256;
  }
  /// Weights that need no decoding, fewer than so many bytes and so likely in cache, are faster
  /// left to the hardware.
  static constexpr std::size_t kFar = 16 * kMiB;
  /// Rows and outputs whose sums wait in L2 for the next piece of K: 96 KiB.
  static constexpr std::size_t kRows = 192, kOutputs = 128;
};

struct XsimdBudget {
  static constexpr std::size_t kActivationsInL2 = 256 * kKiB;  ///< a32, abf16
};

struct Avx2Budget {
  static constexpr std::size_t kActivationsInL2 = 256 * kKiB;      ///< a32, abf16
  static constexpr std::size_t kInt8ActivationsInL2 = 512 * kKiB;  ///< a8
  static constexpr std::size_t kInt8Rows = 128;   ///< a8: whose sums wait for the next piece of K
  static constexpr std::size_t kInt8Depth = 32;   ///< a8: blocks of K in L1 at a time
  static constexpr std::size_t kInt8Ahead = 256;  ///< a8, one row: bytes prefetched ahead
};

struct Avx512Budget {
  static constexpr std::size_t kActivationsInL2 = 512 * kKiB;  ///< a32, abf16
  /// quantize, absmax: bytes that in_two_passes() prefetches ahead of its first pass. Two places of
  /// reading are too much for a Zen 4's own prefetching from L3; 256 and 1024 bytes gain less.
  static constexpr std::size_t kTwoPassesAhead = 512;
};

/// avxvnni and avx512vnni, a8.
struct VnniBudget {
  static constexpr std::size_t kActivationsInL2 = 640 * kKiB;
  static constexpr std::size_t kRows = 128;  ///< whose sums wait for the next piece of K
  static constexpr std::size_t kDepth = 64;  ///< blocks of K in L2 at a time; pairs of groups
  /// Bytes that few rows prefetch ahead in each stream.
  static constexpr std::size_t ahead(int bits, bool per_block) {
    return bits < 8 && per_block ? 320 : 128;
  }
};

struct Avx512Bf16Budget {
  static constexpr std::size_t kActivationsInL2 = 512 * kKiB;
  /// Rows and outputs whose sums wait in L2 for the next piece of K: 96 KiB.
  static constexpr std::size_t kRows = 192, kOutputs = 128;
  static constexpr std::size_t kDecoded = 16;  ///< blocks of K decoded at a time: 16 KiB, in L1
  static constexpr std::size_t kDecodedOfQuad = 32;  ///< the same of quads: 8 KiB
  static constexpr std::size_t kDepth = 128;  ///< blocks read at a time of what is not decoded
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
  static constexpr std::size_t kRows = 256;        ///< whose sums wait for the next block of K
  static constexpr std::size_t kSteps = 8;         ///< of 64 bytes of K: 16 KiB of weights in L1
  static constexpr std::size_t kStripBlocks = 32;  ///< a8: blocks of 16 outputs in L1: 16 KiB
};

struct NeonBudget {
  static constexpr std::size_t kActivationsInL2 = 256 * kKiB;  ///< a32, a8, abf16
  static constexpr std::size_t kAhead = kKiB;                  ///< few rows: bytes prefetched ahead
  static constexpr std::size_t kInt8Depth = 32;                ///< a8: blocks of K in L1 at a time
  static constexpr std::size_t kBf16Depth = 16;                ///< abf16: the same
  /// neon_bf16: activations that repay dequantizing.
  static constexpr std::size_t kBf16Activations = kMiB;
};

struct SveBudget {
  static constexpr std::size_t kActivationsInL2 = 256 * kKiB;  ///< a32
  static constexpr std::size_t kDecoded = 16 * kKiB;  ///< a32: bytes decoded at a time, in L1
};

}  // namespace
}  // namespace qb
