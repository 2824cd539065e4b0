// SPDX-License-Identifier: Apache-2.0
// Float to bfloat16, NEON with the bf16 extension: BFCVTN rounds eight floats by two instructions.
// It obeys FPCR, though: where that flushes subnormals, makes every NaN the default one or rounds
// elsewhere than to nearest, it is set aside for the time of the call.
#include <arm_neon.h>

#include "convert/kernels.h"
#include "core/scalar_half.h"

#if !defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#error "compile with the flags of cmake/Isa.cmake for neon_bf16"
#endif

namespace qb::convert {
namespace {

/// FPCR without the bits that change what BFCVTN gives: FIZ, AH, rounding mode, FZ, DN.
class PlainArithmetic {
 public:
  PlainArithmetic() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(before_)::"memory");
    if (before_ & kBits) __asm__ volatile("msr fpcr, %0" ::"r"(before_ & ~kBits) : "memory");
  }
  PlainArithmetic(const PlainArithmetic&) = delete;
  PlainArithmetic& operator=(const PlainArithmetic&) = delete;
  ~PlainArithmetic() {
    if (before_ & kBits) __asm__ volatile("msr fpcr, %0" ::"r"(before_) : "memory");
  }

 private:
  static constexpr std::uint64_t kBits = 3u << 0 | 15u << 22;
  std::uint64_t before_;
};

inline void eight(const float* x, bf16* y) {
  const bfloat16x8_t low = vcvtq_low_bf16_f32(vld1q_f32(x));
  vst1q_u8(reinterpret_cast<std::uint8_t*>(y),
           vreinterpretq_u8_bf16(vcvtq_high_bf16_f32(low, vld1q_f32(x + 4))));
}

}  // namespace

void convert_f32_bf16_neon_bf16(const float* x, std::size_t n, bf16* y) {
  const PlainArithmetic in_this_scope;
  std::size_t i = 0;
  for (; i + 32 <= n; i += 32)
    for (std::size_t j = 0; j < 32; j += 8) eight(x + i + j, y + i + j);
  for (; i + 8 <= n; i += 8) eight(x + i, y + i);
  if (i == n) return;
  if (n >= 8) return eight(x + n - 8, y + n - 8);  // again what overlaps: the same
  for (; i < n; ++i) y[i] = f32_to_bf16(x[i]);
}

}  // namespace qb::convert
