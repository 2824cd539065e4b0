// SPDX-License-Identifier: Apache-2.0
// Products of int8 activations, AVX-VNNI: the panels of vnni.h, 8 outputs to a register.
//
// Two vpdpbusd a cycle (ports 0 and 1), three loads; nibbles are masked on port 5 meanwhile.
// llvm-mca (sapphirerapids): one row of s8, s4, q8_0, q4_0 46, 19, 49, 18 bytes a cycle, above any
// third cache; tiles of 6 rows x 16 outputs 48 cycles for 96 vpdpbusd, their bound, and of 3 rows,
// with a scale for each block, 33 for 48, bound by the two ports that convert and multiply too.
#include "matmul/a8/vnni.h"

#if !defined(__AVXVNNI__)
#error "compile with the flags of cmake/Isa.cmake for avxvnni"
#endif

namespace qb::matmul {
namespace {

struct Ymm {
  using Int = __m256i;
  using Float = __m256;
  static constexpr size_t kLanes = 8;
  static constexpr size_t kFew = 2;    ///< rows that take the weights as they stream by
  static constexpr int kTileRows = 6;  ///< 12 sums
  static constexpr int kPairSums = 0;  ///< of pairs of blocks: too few registers
  static constexpr int kFourSums = 0;  ///< likewise, of four blocks of 2-bit codes
  static constexpr bool kGroups = false;
  static constexpr bool kSixteenfold = false;  ///< too few registers, and a third port that ands
  static constexpr int vectors(int rows, bool) { return rows == 1 ? 4 : 2; }
  template <class K>
  static constexpr auto prepare = K::per_block ? prepare_per_block<K> : prepare_per_row<K>;

  static Int zero() { return _mm256_setzero_si256(); }
  static Int load(const void* p) { return qb::matmul::load(p); }
  static Int broadcast(const void* p) {
    int word;
    __builtin_memcpy(&word, p, sizeof word);
    return _mm256_set1_epi32(word);
  }
  static void store(Byte* p, Int v) { _mm256_storeu_si256(reinterpret_cast<Int*>(p), v); }
  static Int dot(Int sum, Int w, Int x) { return _mm256_dpbusd_avx_epi32(sum, w, x); }
  static Int add(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static Int sixteenth(Int v) { return _mm256_srai_epi32(v, 4); }
  static Int low(Int v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
  static Int high(Int v) { return low(_mm256_srli_epi16(v, 4)); }
  static Int high_sixteenfold(Int v) {
    return _mm256_and_si256(v, _mm256_set1_epi8(static_cast<char>(0xf0)));
  }
  /// Dwords shifted to the left, or to the right by -left.
  static Int shifted(Int v, int left) {
    using Words = std::uint32_t __attribute__((vector_size(32)));
    return left < 0 ? Int(Words(v) >> -left) : Int(Words(v) << left);
  }
  /// Bits 2i and 2i+1 of every byte.
  static Int two_bits(Int v, int i) {
    return _mm256_and_si256(shifted(v, -2 * i), _mm256_set1_epi8(3));
  }
  /// v and those bits of w that `mask` has in each byte.
  static Int or_masked(Int v, Int w, int mask) {
    return _mm256_or_si256(v, _mm256_and_si256(w, _mm256_set1_epi8(static_cast<char>(mask))));
  }
  /// table[index] of every byte.
  static Int look_up(const Byte (&table)[16], Int index) {
    const __m128i values = _mm_load_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), index);
  }
  /// v in a register: gcc would keep sums in memory from one turn of a loop to the next.
  static Int keep(Int v) {
    asm("" : "+x"(v));
    return v;
  }
  /// Two vectors made one right after the other: see "Order" in vnni.h.
  static void together(Int (&v)[2]) { asm volatile("" : "+x"(v[0]), "+x"(v[1])); }

  static Float zero_float() { return _mm256_setzero_ps(); }
  static Float load_float(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }
  static Float broadcast_float(const void* p) {
    return _mm256_broadcast_ss(static_cast<const float*>(p));
  }
  static Float from_half(const void* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  static Float from_bf16(const void* p) {
    const Int wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static Float from_bytes(const void* p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
  }
  /// Of f16 between the sign and seven zeros.
  static Float from_upper_bits(const void* p) {
    const __m128i words = _mm_cvtepu8_epi16(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
    return _mm256_cvtph_ps(_mm_slli_epi16(words, 7));
  }
  static Float from_signed_bytes(const void* p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
  }
  static Float to_float(Int v) { return _mm256_cvtepi32_ps(v); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float nfma(Float a, Float b, Float c) { return _mm256_fnmadd_ps(a, b, c); }
  static void store(float* p, Float v) { _mm256_storeu_ps(p, v); }
  static void store(float* p, Float v, size_t count) {
    const Int lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes),
                        v);
  }
};

}  // namespace

constexpr Kernels matmul_a8_avxvnni =
    every_quantized_format([](auto format) { return kernel_of<Ymm, decltype(format)>(); });

}  // namespace qb::matmul
