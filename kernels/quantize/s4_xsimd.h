// SPDX-License-Identifier: Apache-2.0
// What the portable kernels of 4-bit codes share (s4_xsimd.cc, q4_0_xsimd.cc): narrowing,
// interleaving and table lookup of bytes, which xsimd 8 leaves to scalar code or lacks. They go
// through the batch's register where the instruction set is known.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/scalar_half.h"
#include "core/xsimd_lanes.h"

namespace qb::quantize {
namespace {

using Float = batch<float>;
using Int = batch<std::int32_t>;
using Word = batch<std::uint16_t>;
using Byte = batch<std::uint8_t>;
constexpr std::size_t kLanes = Int::size;
constexpr std::size_t kStep = 2 * Byte::size;  // elements of one step: a batch of bytes

/// The same bits as another batch.
template <class To, class From>
inline To as(const From& v) {
  static_assert(sizeof(To) == sizeof(From));
  To out;
  __builtin_memcpy(&out, &v, sizeof out);
  return out;
}

// ---- what xsimd lacks; lanes stay in order

/// Lanes below 65536.
inline Word narrow(const Int& a, const Int& b) {
#if defined(QB_XSIMD_avx2)  // packing works in lanes of 128 bits: put the quarters in order
  return Word(_mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8));
#elif defined(QB_XSIMD_sse4_2)
  return Word(_mm_packus_epi32(a, b));
#elif defined(QB_XSIMD_neon)
  return Word(
      vcombine_u16(vmovn_u32(vreinterpretq_u32_s32(a)), vmovn_u32(vreinterpretq_u32_s32(b))));
#else
  std::int32_t wide[2 * kLanes];
  a.store_unaligned(wide);
  b.store_unaligned(wide + kLanes);
  std::uint16_t narrowed[2 * kLanes];
  for (std::size_t i = 0; i < 2 * kLanes; ++i) narrowed[i] = static_cast<std::uint16_t>(wide[i]);
  return Word::load_unaligned(narrowed);
#endif
}

/// Lanes below 256.
inline Byte narrow(const Word& a, const Word& b) {
#if defined(QB_XSIMD_avx2)
  return Byte(_mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8));
#elif defined(QB_XSIMD_sse4_2)
  return Byte(_mm_packus_epi16(a, b));
#elif defined(QB_XSIMD_neon)
  return Byte(vcombine_u8(vmovn_u16(a), vmovn_u16(b)));
#else
  std::uint16_t wide[Byte::size];
  a.store_unaligned(wide);
  b.store_unaligned(wide + Word::size);
  std::uint8_t narrowed[Byte::size];
  for (std::size_t i = 0; i < Byte::size; ++i) narrowed[i] = static_cast<std::uint8_t>(wide[i]);
  return Byte::load_unaligned(narrowed);
#endif
}

inline Byte narrow(const Int& a, const Int& b, const Int& c, const Int& d) {
#if defined(QB_XSIMD_avx2)  // one permutation in place of three
  const __m256i packed = _mm256_packus_epi16(_mm256_packus_epi32(a, b), _mm256_packus_epi32(c, d));
  return Byte(_mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
#else
  return narrow(narrow(a, b), narrow(c, d));
#endif
}

/// Sixteen lanes below 256 to memory, as bytes.
inline void store_bytes(std::uint8_t* p, const Word (&v)[16 / Word::size]) {
#if defined(QB_XSIMD_avx2)
  const __m128i low = _mm256_castsi256_si128(v[0]), high = _mm256_extracti128_si256(v[0], 1);
  _mm_storeu_si128(static_cast<__m128i*>(static_cast<void*>(p)), _mm_packus_epi16(low, high));
#else
  narrow(v[0], v[1]).store_unaligned(p);
#endif
}

/// A batch of bytes, zero-extended.
inline Int load8(const std::uint8_t* p) {
#if defined(QB_XSIMD_avx2)
  return Int(_mm256_cvtepu8_epi32(
      _mm_loadl_epi64(static_cast<const __m128i*>(static_cast<const void*>(p)))));
#elif defined(QB_XSIMD_sse4_2)
  std::int32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  return Int(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)));
#elif defined(QB_XSIMD_neon)
  std::uint32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  const uint16x8_t words = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)));
  return Int(vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(words))));
#else
  std::int32_t wide[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) wide[i] = p[i];
  return Int::load_unaligned(wide);
#endif
}

/// a0 b0 a1 b1 ... to memory, twice a batch.
inline void store_interleaved(void* p, const Byte& a, const Byte& b) {
#if defined(QB_XSIMD_avx2)
  const __m256i low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
  auto* const out = static_cast<__m256i*>(p);
  _mm256_storeu_si256(out, _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256(out + 1, _mm256_permute2x128_si256(low, high, 0x31));
#elif defined(QB_XSIMD_sse4_2)
  auto* const out = static_cast<__m128i*>(p);
  _mm_storeu_si128(out, _mm_unpacklo_epi8(a, b));
  _mm_storeu_si128(out + 1, _mm_unpackhi_epi8(a, b));
#elif defined(QB_XSIMD_neon)
  vst2q_u8(static_cast<std::uint8_t*>(p), (uint8x16x2_t{{a, b}}));
#else
  std::uint8_t even[Byte::size], odd[Byte::size], both[2 * Byte::size];
  a.store_unaligned(even);
  b.store_unaligned(odd);
  for (std::size_t i = 0; i < Byte::size; ++i) {
    both[2 * i] = even[i];
    both[2 * i + 1] = odd[i];
  }
  __builtin_memcpy(p, both, sizeof both);
#endif
}

/// Sixteen bytes, and the bytes among them that the indices, each below 16, name.
struct Table {
#if defined(QB_XSIMD_avx2)
  explicit Table(const std::uint8_t* p)
      : bytes(_mm256_broadcastsi128_si256(
            _mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(p))))) {}
  Byte at(const Byte& index) const { return Byte(_mm256_shuffle_epi8(bytes, index)); }
  __m256i bytes;
#elif defined(QB_XSIMD_sse4_2)
  explicit Table(const std::uint8_t* p)
      : bytes(_mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(p)))) {}
  Byte at(const Byte& index) const { return Byte(_mm_shuffle_epi8(bytes, index)); }
  __m128i bytes;
#elif defined(QB_XSIMD_neon)
  explicit Table(const std::uint8_t* p) : bytes(vld1q_u8(p)) {}
  Byte at(const Byte& index) const { return Byte(vqtbl1q_u8(bytes, index)); }
  uint8x16_t bytes;
#else
  explicit Table(const std::uint8_t* p) { __builtin_memcpy(bytes, p, sizeof bytes); }
  Byte at(const Byte& index) const {
    std::uint8_t lane[Byte::size];
    index.store_unaligned(lane);
    for (std::uint8_t& b : lane) b = bytes[b];
    return Byte::load_unaligned(lane);
  }
  std::uint8_t bytes[16];
#endif
};

}  // namespace
}  // namespace qb::quantize
