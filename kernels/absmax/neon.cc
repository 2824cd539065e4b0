// Absmax, NEON (armv8-a). Integer maximum over the bits with the sign cleared; UMAXV reduces.
#include <arm_neon.h>

#include "absmax/kernels.h"

namespace qb::absmax {
namespace {

inline std::uint32_t run(const float* x, std::size_t len) {
  const uint32x4_t mask = vdupq_n_u32(0x7fffffffu);
  const auto* p = reinterpret_cast<const std::uint8_t*>(x);
  const auto magnitude = [mask](const std::uint8_t* at) {
    return vandq_u32(vreinterpretq_u32_u8(vld1q_u8(at)), mask);
  };
  uint32x4_t a[8];
  for (auto& v : a) v = vdupq_n_u32(0);
  std::size_t j = 0;
  for (; j + 32 <= len; j += 32)
    for (std::size_t i = 0; i < 8; ++i) a[i] = vmaxq_u32(a[i], magnitude(p + 4 * (j + 4 * i)));
  for (; j + 4 <= len; j += 4) a[0] = vmaxq_u32(a[0], magnitude(p + 4 * j));
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = vmaxq_u32(a[i], a[i + step]);
  std::uint32_t largest = vmaxvq_u32(a[0]);
  for (; j < len; ++j) {
    const std::uint32_t m = __builtin_bit_cast(std::uint32_t, x[j]) & 0x7fffffffu;
    largest = m > largest ? m : largest;
  }
  return largest;
}

inline std::uint16_t run(const f16* x, std::size_t len) {
  const uint16x8_t mask = vdupq_n_u16(0x7fff);
  const auto* p = reinterpret_cast<const std::uint8_t*>(x);
  const auto magnitude = [mask](const std::uint8_t* at) {
    return vandq_u16(vreinterpretq_u16_u8(vld1q_u8(at)), mask);
  };
  uint16x8_t a[8];
  for (auto& v : a) v = vdupq_n_u16(0);
  std::size_t j = 0;
  for (; j + 64 <= len; j += 64)
    for (std::size_t i = 0; i < 8; ++i) a[i] = vmaxq_u16(a[i], magnitude(p + 2 * (j + 8 * i)));
  for (; j + 8 <= len; j += 8) a[0] = vmaxq_u16(a[0], magnitude(p + 2 * j));
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = vmaxq_u16(a[i], a[i + step]);
  std::uint16_t largest = vmaxvq_u16(a[0]);
  for (; j < len; ++j) {
    const std::uint16_t m = static_cast<std::uint16_t>(x[j]) & 0x7fffu;
    largest = m > largest ? m : largest;
  }
  return largest;
}

}  // namespace

void absmax_f32_neon(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len)
    out[i] = __builtin_bit_cast(float, run(x, len));
}

void absmax_f16_neon(const f16* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len)
    out[i] = vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(run(x, len)))), 0);
}

}  // namespace qb::absmax
