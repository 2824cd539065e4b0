// SPDX-License-Identifier: Apache-2.0
// Flushing of subnormals, as a program may have it switched on around a kernel.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace qb::test {

/// While it lives, the floating-point unit flushes subnormal results and takes subnormal operands
/// for zero (x86: FTZ and DAZ; AArch64: FZ and FZ16).
class FlushSubnormals {
 public:
#if defined(__x86_64__)
  FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040u); }
  ~FlushSubnormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  FlushSubnormals() : before_(get()) { set(before_ | 1u << 24 | 1u << 19); }
  ~FlushSubnormals() { set(before_); }

 private:
  static std::uint64_t get() {
    std::uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr;
  }
  static void set(std::uint64_t fpcr) { __asm__ volatile("msr fpcr, %0" : : "r"(fpcr)); }
  std::uint64_t before_;
#endif
 public:
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;
};

}  // namespace qb::test
