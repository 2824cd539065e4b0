// SPDX-License-Identifier: Apache-2.0
// Float conversions, portable: the arithmetic of scalar_half.h on batches of 32-bit integers, for
// xsimd has no binary16. Widening and narrowing of 16-bit integers, which xsimd leaves to scalar
// code, go through the batch's register.
#include "convert/xsimd.h"

#include "core/scalar_half.h"

namespace qb::convert {
namespace {

/// Zero-extended 16-bit patterns; p need not be aligned.
inline Int load16(const void* p) {
#if defined(QB_XSIMD_avx2)
  return _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
#elif defined(QB_XSIMD_sse4_2)
  return _mm_cvtepu16_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
#elif defined(QB_XSIMD_neon)
  const uint16x4_t h = vreinterpret_u16_u8(vld1_u8(static_cast<const std::uint8_t*>(p)));
  return vreinterpretq_s32_u32(vmovl_u16(h));
#else
  std::uint16_t h[kLanes];
  __builtin_memcpy(h, p, sizeof h);
  std::int32_t wide[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) wide[i] = h[i];
  return Int::load_unaligned(wide);
#endif
}

/// Two batches of values below 65536, as 16-bit patterns.
inline void store16(void* p, Int a, Int b) {
#if defined(QB_XSIMD_avx2)  // packus works in lanes of 128 bits: put the quarters in order
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
  _mm256_storeu_si256(static_cast<__m256i*>(p), packed);
#elif defined(QB_XSIMD_sse4_2)
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm_packus_epi32(a, b));
#elif defined(QB_XSIMD_neon)
  const int16x8_t packed = vcombine_s16(vmovn_s32(a), vmovn_s32(b));
  vst1q_u8(static_cast<std::uint8_t*>(p), vreinterpretq_u8_s16(packed));
#else
  std::int32_t wide[2 * kLanes];
  a.store_unaligned(wide);
  b.store_unaligned(wide + kLanes);
  std::uint16_t h[2 * kLanes];
  for (std::size_t i = 0; i < 2 * kLanes; ++i) h[i] = static_cast<std::uint16_t>(wide[i]);
  __builtin_memcpy(p, h, sizeof h);
#endif
}

inline void store_bits(float* p, Int v) { value(v).store_unaligned(p); }

inline Int float_to_half(Int b) {
  const Int a = b & Int(0x7fffffff);
  const Int odd = (a >> 13) & Int(1);
  const Int normal = (a + Int(0xfff - 0x38000000) + odd) >> 13;
  const Int subnormal = bits(value(a) + Float(0.5f)) - Int(0x3f000000);
  const Int nan = ((a >> 13) & Int(0x3ff)) | Int(0x7e00);
  const Int special = xsimd::select(a > Int(0x7f800000), nan, Int(0x7c00));
  const Int finite = xsimd::select(a < Int(0x38800000), subnormal, normal);
  return xsimd::select(a < Int(0x477ff000), finite, special) | ((b >> 16) & Int(0x8000));
}

inline Int brain_to_float(Int h) {
  const Int b = h << 16;
  const Int nan = xsimd::select((b & Int(0x7fffffff)) > Int(0x7f800000), Int(0x400000), Int(0));
  return b | nan;
}

inline Int float_to_brain(Int b) {
  const Int odd = (b >> 16) & Int(1);
  // The shift keeps the sign and fills the high half with it: masked off below.
  const Int rounded = (b + Int(0x7fff) + odd) >> 16;
  const Int nan = (b >> 16) | Int(0x40);
  return xsimd::select((b & Int(0x7fffffff)) > Int(0x7f800000), nan, rounded) & Int(0xffff);
}

inline void pair(const f16* x, float* y) {
  store_bits(y, half_to_float(load16(x)));
  store_bits(y + kLanes, half_to_float(load16(x + kLanes)));
}
inline void pair(const float* x, f16* y) {
  store16(y, float_to_half(load_bits(x)), float_to_half(load_bits(x + kLanes)));
}
inline void pair(const bf16* x, float* y) {
  store_bits(y, brain_to_float(load16(x)));
  store_bits(y + kLanes, brain_to_float(load16(x + kLanes)));
}
inline void pair(const float* x, bf16* y) {
  store16(y, float_to_brain(load_bits(x)), float_to_brain(load_bits(x + kLanes)));
}

inline void one(f16 x, float* y) { *y = f16_to_f32(x); }
inline void one(float x, f16* y) { *y = f32_to_f16(x); }
inline void one(bf16 x, float* y) { *y = bf16_to_f32(x); }
inline void one(float x, bf16* y) { *y = f32_to_bf16(x); }

template <class In, class Out>
inline void run(const In* x, std::size_t n, Out* y) {
  in_pairs(
      x, n, y, [](const In* from, Out* to) { pair(from, to); },
      [](In from, Out* to) { one(from, to); });
}

}  // namespace

void QB_SYMBOL(convert_f16_f32)(const f16* x, std::size_t n, float* y) { run(x, n, y); }

void QB_SYMBOL(convert_f32_f16)(const float* x, std::size_t n, f16* y) { run(x, n, y); }

void QB_SYMBOL(convert_bf16_f32)(const bf16* x, std::size_t n, float* y) { run(x, n, y); }

void QB_SYMBOL(convert_f32_bf16)(const float* x, std::size_t n, bf16* y) { run(x, n, y); }

}  // namespace qb::convert
