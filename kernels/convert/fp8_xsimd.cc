// SPDX-License-Identifier: Apache-2.0
// 8-bit floats, portable: the arithmetic of core/scalar_fp8.h on batches of 32-bit integers.
// Widening and narrowing of bytes, which xsimd leaves to scalar code, go through the batch's
// register.
#include "convert/xsimd.h"

#include "core/scalar_fp8.h"

namespace qb::convert {
namespace {

/// Zero-extended bytes; p need not be aligned.
inline Int load8(const void* p) {
#if defined(QB_XSIMD_avx2)
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
#else
  std::int32_t four;
  __builtin_memcpy(&four, p, sizeof four);
#if defined(QB_XSIMD_sse4_2)
  return _mm_cvtepu8_epi32(_mm_cvtsi32_si128(four));
#elif defined(QB_XSIMD_neon)
  const uint8x8_t bytes = vreinterpret_u8_s32(vdup_n_s32(four));
  return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))));
#endif
#endif
}

/// Two batches of values below 256, as bytes.
inline void store8(void* p, Int a, Int b) {
#if defined(QB_XSIMD_avx2)  // packus works in lanes of 128 bits: put the quarters in order
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
  const __m128i low = _mm256_castsi256_si128(words), high = _mm256_extracti128_si256(words, 1);
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm_packus_epi16(low, high));
#elif defined(QB_XSIMD_sse4_2)
  const __m128i words = _mm_packus_epi32(a, b);
  _mm_storel_epi64(static_cast<__m128i*>(p), _mm_packus_epi16(words, words));
#elif defined(QB_XSIMD_neon)
  const uint16x8_t words = vreinterpretq_u16_s16(vcombine_s16(vmovn_s32(a), vmovn_s32(b)));
  vst1_u8(static_cast<std::uint8_t*>(p), vmovn_u16(words));
#endif
}

inline Int constant(std::uint32_t v) { return Int(std::int32_t(v)); }

inline Float widened(Int b, e5m2) { return value(half_to_float(b << 8)); }
inline Float widened(Int b, e4m3) {
  const Int magnitude = b & Int(0x7f), sign = b & Int(0x80);
  const Float number = value(half_to_float((sign << 8) | (magnitude << 7))) * Float(256.0f);
  const Int nan = (sign << 24) | Int(0x7fc00000);
  return value(xsimd::select(magnitude == Int(0x7f), nan, bits(number)));
}

inline Int nan_code(Int, e4m3) { return Int(0x7f); }
inline Int nan_code(Int magnitude, e5m2) { return ((magnitude >> 21) & Int(1)) | Int(0x7e); }

template <class T>
inline Int narrowed(Int b, T) {
  using Format = Fp8<T>;
  const Int magnitude = b & Int(0x7fffffff);
  const Int a = xsimd::min(magnitude, constant(Format::kCap));
  const Int t = xsimd::max(a, constant(Format::kLeast)) & constant(kExponentBits);
  const Float sum = value(a) + value(t + Int(Format::kUp << 23));
  const Int code = bits(sum) + (t >> Format::kShift) + constant(Format::kOffset);
  const Int either = xsimd::select(magnitude > constant(kExponentBits), nan_code(magnitude, T{}),
                                   code & Int(0x7f));
  return either | ((b >> 24) & Int(0x80));
}

template <class T>
inline void pair(const T* x, float* y) {
  widened(load8(x), T{}).store_unaligned(y);
  widened(load8(x + kLanes), T{}).store_unaligned(y + kLanes);
}
template <class T>
inline void pair(const float* x, T* y) {
  store8(y, narrowed(load_bits(x), T{}), narrowed(load_bits(x + kLanes), T{}));
}

inline void one(e4m3 x, float* y) { *y = e4m3_to_f32(x); }
inline void one(float x, e4m3* y) { *y = f32_to_e4m3(x); }
inline void one(e5m2 x, float* y) { *y = e5m2_to_f32(x); }
inline void one(float x, e5m2* y) { *y = f32_to_e5m2(x); }

template <class In, class Out>
inline void run(const In* x, std::size_t n, Out* y) {
  in_pairs(
      x, n, y, [](const In* from, Out* to) { pair(from, to); },
      [](In from, Out* to) { one(from, to); });
}

}  // namespace

void QB_SYMBOL(convert_e4m3_f32)(const e4m3* x, std::size_t n, float* y) { run(x, n, y); }

void QB_SYMBOL(convert_f32_e4m3)(const float* x, std::size_t n, e4m3* y) { run(x, n, y); }

void QB_SYMBOL(convert_e5m2_f32)(const e5m2* x, std::size_t n, float* y) { run(x, n, y); }

void QB_SYMBOL(convert_f32_e5m2)(const float* x, std::size_t n, e5m2* y) { run(x, n, y); }

}  // namespace qb::convert
