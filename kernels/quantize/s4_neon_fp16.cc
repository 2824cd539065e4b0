// SPDX-License-Identifier: Apache-2.0
// s4 of f16, NEON with half arithmetic (armv8.2-a+fp16): eight elements a vector and no conversion.
// The products are the notebook's f16(x*inv) as they come; FADD of 1536 leaves no fraction and the
// code in the low nibble; UZP1, UZP2 and SLI pack.
#include "core/neon.h"

#include "quantize/groups_neon.h"
#include "quantize/kernels.h"

#if !defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
#error "compile with the flags of cmake/Isa.cmake for neon_fp16"
#endif

namespace qb::quantize {
namespace {

constexpr std::size_t kStep = 32;  // elements of one step: 16 bytes of codes

inline uint8x16_t codes16(const f16* x, float16x8_t inv) {
  const auto eight = [=](const f16* at) {
    const float16x8_t v = vreinterpretq_f16_u8(vld1q_u8(bytes(at)));
    return vreinterpretq_u8_f16(vaddq_f16(vmulq_f16(v, inv), vdupq_n_f16(1536)));
  };
  return vuzp1q_u8(eight(x), eight(x + 8));
}

/// SLI keeps the low four bits of its destination, so neither input needs a mask.
inline void codes32(const f16* x, float16x8_t inv, std::uint8_t* q) {
  const uint8x16_t a = codes16(x, inv), b = codes16(x + 16, inv);
  vst1q_u8(q, vsliq_n_u8(vuzp1q_u8(a, b), vuzp2q_u8(a, b), 4));
}

inline void encode(const f16* x, std::size_t len, f16 factor, std::uint8_t* q) {
  const float16x8_t inv = vreinterpretq_f16_u16(vdupq_n_u16(std::uint16_t(factor)));
  std::size_t j = 0;
  for (; j + 2 * kStep <= len; j += 2 * kStep) {
    codes32(x + j, inv, q + j / 2);
    codes32(x + j + kStep, inv, q + j / 2 + kStep / 2);
  }
  if (j + kStep <= len) {
    codes32(x + j, inv, q + j / 2);
    j += kStep;
  }
  if (j < len) {  // through memory of our own: zeros behind the end leave the last nibble 0
    f16 rest[kStep] = {};
    std::uint8_t codes[kStep / 2];
    __builtin_memcpy(rest, x + j, (len - j) * sizeof(f16));
    codes32(rest, inv, codes);
    __builtin_memcpy(q + j / 2, codes, (len - j + 1) / 2);
  }
}

}  // namespace

void quantize_f16_s4_neon_fp16(const f16* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                               f16* inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += (len + 1) / 2) {
    inv[i] = inverse_scale(x, len, 7);
    encode(x, len, inv[i], q);
  }
}

}  // namespace qb::quantize
