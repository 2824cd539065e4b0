// Loops that find out what the machine can do; one copy per instruction set (limits_<isa>.cc).
#pragma once

#include <cstddef>

namespace qb::limits {

/// A streaming pattern: `reads` vectors loaded and `writes` vectors stored per step. Bytes of src
/// and dst are multiples of 8 KiB times reads and writes; both 64-byte aligned.
struct StreamLoop {
  int reads, writes;
  /// Ordinary stores (or none at all).
  void (*plain)(const void* src, void* dst, std::size_t steps);
  /// For large sets: non-temporal stores (if any) and, where reading dominates, several interleaved
  /// streams with and without prefetch; null where there is nothing to try.
  void (*streaming[3])(const void* src, void* dst, std::size_t steps);
};

struct LimitKernels {
  const char* isa;
  std::size_t step_bytes;  ///< bytes of one vector
  const StreamLoop* loops;
  std::size_t loop_count;
  /// Runs `rounds` rounds of independent multiply-adds in registers; returns the operations of one
  /// round (a multiply and an add count two). Of a level that has products of bf16: those, summed
  /// in f32.
  double (*f32_peak)(std::size_t rounds);
  /// 8-bit times 8-bit, summed in 32 bits.
  double (*int8_peak)(std::size_t rounds);
  /// 4-bit times 8-bit: eight products fit a 16-bit sum before it must be widened.
  double (*int4_peak)(std::size_t rounds);
};

extern const LimitKernels limits_baseline;
#if defined(__x86_64__)
extern const LimitKernels limits_sse4_2;
extern const LimitKernels limits_avx2;
extern const LimitKernels limits_avxvnni;
extern const LimitKernels limits_avx512;
extern const LimitKernels limits_avx512vnni;
extern const LimitKernels limits_avx512bf16;  // no integer peaks
extern const LimitKernels limits_amx;         // no loops
#elif defined(__aarch64__)
extern const LimitKernels limits_neon_dotprod;
extern const LimitKernels limits_neon_i8mm;
extern const LimitKernels limits_neon_bf16;  // no integer peaks
extern const LimitKernels limits_sve;
#endif

}  // namespace qb::limits
