// SPDX-License-Identifier: Apache-2.0
// What AVX2 and AVX-512 share of lanes.h: the operations on bytes, in vectors of 32, and scaled8.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace qb::quantize {
namespace {

struct BytesOf256 {
  using Bytes = __m256i;
  static constexpr std::size_t kBytes = 32;
  static Bytes load_bytes(const std::uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void store_bytes(std::int8_t* p, Bytes v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
  }
  static Bytes all_bytes(std::uint8_t v) { return _mm256_set1_epi8(static_cast<char>(v)); }
  static Bytes masked(Bytes v, std::uint8_t m) { return _mm256_and_si256(v, all_bytes(m)); }
  static Bytes joined(Bytes a, Bytes b) { return _mm256_or_si256(a, b); }
  static Bytes nibbles32(const std::uint8_t* qs) {
    const __m256i pairs =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(qs)));
    return masked(_mm256_srlv_epi32(pairs, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4)), 15);
  }

  static void scaled8(std::uint64_t eight, float factor, float* to) {
    const __m256i codes = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(std::int64_t(eight)));
    _mm256_store_ps(to, _mm256_mul_ps(_mm256_cvtepi32_ps(codes), _mm256_set1_ps(factor)));
    stays_in_memory(to);
  }
  /// A broadcast from memory is a load; gcc would shuffle the register, on the port that is scarce.
  static void stays_in_memory(float* eight) {
    __asm__("" : "+m"(*reinterpret_cast<float(*)[8]>(eight)));
  }
};

}  // namespace
}  // namespace qb::quantize
