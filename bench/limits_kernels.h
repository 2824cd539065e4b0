// SPDX-License-Identifier: Apache-2.0
// Loops that find out what the machine can do; one copy per instruction set (limits_<isa>.cc).
#pragma once

#include <cstddef>

namespace qb::limits {

/// Moves `steps` steps of a pattern from src to dst, and all of that `repeats` times.
using StreamFn = void(const void* src, void* dst, std::size_t steps, std::size_t repeats);

/// A streaming pattern: `reads` vectors loaded and `writes` vectors stored per step. Steps are a
/// multiple of 16; src and dst are aligned to 64 bytes.
struct StreamLoop {
  int reads, writes;
  /// For sets that a cache holds: ordinary stores, the addresses in order. Null ends the list.
  StreamFn* cached[3];
  /// For larger sets, beside those above: non-temporal stores, several places of the arrays in
  /// turn, prefetch. Which of them is best differs from CPU to CPU. Null ends the list.
  StreamFn* streaming[10];
};

/// Runs `rounds` rounds of independent multiply-adds in registers; returns the operations of one
/// round (a multiply and an add count two).
using PeakFn = double(std::size_t rounds);

/// What one instruction set adds: null or empty where a lower level has nothing slower.
struct LimitKernels {
  const char* isa;
  std::size_t step_bytes = 0;  ///< bytes of one vector
  const StreamLoop* loops = nullptr;
  std::size_t loop_count = 0;
  PeakFn* f32_peak = nullptr;
  PeakFn* bf16_peak = nullptr;  ///< products of bf16, summed in f32
  PeakFn* int8_peak = nullptr;  ///< 8-bit times 8-bit, summed in 32 bits
  /// 4-bit times 8-bit: eight products fit a 16-bit sum before it must be widened. The function of
  /// int8_peak where nibbles cost what bytes cost.
  PeakFn* int4_peak = nullptr;
};

extern const LimitKernels limits_baseline;
#if defined(__x86_64__)
extern const LimitKernels limits_sse4_2;
extern const LimitKernels limits_avx2;
extern const LimitKernels limits_avxvnni;
extern const LimitKernels limits_avx512;
extern const LimitKernels limits_avx512vnni;
extern const LimitKernels limits_avx512bf16;
extern const LimitKernels limits_amx;
#elif defined(__aarch64__)
extern const LimitKernels limits_neon_dotprod;
extern const LimitKernels limits_neon_i8mm;
extern const LimitKernels limits_neon_bf16;
extern const LimitKernels limits_sve;
#endif

}  // namespace qb::limits
