// SPDX-License-Identifier: Apache-2.0
// Products of int8 activations, AVX512-VNNI: the panels of vnni.h, 16 outputs to a register.
//
// Two vpdpbusd a cycle on Intel's cores (ports 0 and 5), two loads. What binds, by ports counted:
//
//   one row, s8    a load and a prefetch for each 64 bytes, a broadcast for 256: 57 bytes a cycle
//   one row, s4    and + vpdpbusd for each nibble: 32 bytes a cycle; q4_0 and its scales 25
//   tiles, s8 s4   12 rows x 2 panels: 24 vpdpbusd for 14 loads, nothing else on their ports
//   tiles, blocks  6 x 2: for each 8 vpdpbusd a convert, a multiply and an FMA: 72 % of the peak
//   tiles, groups  4 x 2: a convert and an FMA, and for a group one more: 78 % with groups of 128
//
// so that one row waits for the third cache (8 bytes a cycle there) or memory. llvm-mca
// (sapphirerapids, whose model has one port for vpdpbusd of this width) gives a dword's products
// exactly their vpdpbusd: 192 cycles for a tile's 192, 132 for 96 with scales; 64, 31, 49 and 24
// bytes a cycle for one row of s8, s4, q8_0 and q4_0. gcc spills no vector in any of these loops.
//
// Zen 4 has half of that: a vpdpbusd, a multiply or an FMA of this width a cycle, from the same two
// halves, beside two other vector operations; vpmaddubsw and vpmulld would take turns with them
// too. So tiles with a scale for each block can reach 8 of 10, 80 % of the peak of vpdpbusd
// (converting is free there), with one for each group of 128 8 of 9.25, 86 %, and one row of q4_0
// 288 bytes in 10 cycles, a little more than the third cache's speed: all four pipes are full then.
// It loads one vector of this width a cycle, or two narrower things: one row of 4-bit codes waits
// for loads unless each vector is loaded once. A prefetch too far ahead slows one row down there
// (docs/decisions/0006-streams-and-prefetch.md), and so do streams that contend for the same ways
// of a cache.
#include "matmul/a8/activations_avx512.h"
#include "matmul/a8/vnni.h"

#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || \
    !defined(__AVX512DQ__) || !defined(__AVX512VNNI__)
#error "compile with the flags of cmake/Isa.cmake for avx512vnni"
#endif

namespace qb::matmul {
namespace {

/// Sixteen outputs to a register.
struct Zmm {
  using Int = __m512i;
  using Float = __m512;
  static constexpr size_t kLanes = 16;
  static constexpr size_t kFew = 6;     ///< rows that take the weights as they stream by
  static constexpr int kTileRows = 12;  ///< 24 sums
  static constexpr int kPairSums = 12;  ///< of pairs of blocks
  static constexpr int kFourSums = 16;  ///< of four blocks of 2-bit codes
  static constexpr bool kGroups = true;
  static constexpr bool kSixteenfold = true;
  static constexpr int vectors(int rows, bool pairs) {
    return rows == 1 || (rows == 2 && !pairs) ? 4 : 2;
  }
  template <class K>
  static constexpr auto prepare = !K::per_block        ? quantize_rows<K>
                                  : K::kUnit == kBlock ? quantize_blocks<K>
                                                       : prepare_per_block<K>;

  static Int zero() { return _mm512_setzero_si512(); }
  static Int load(const void* p) { return _mm512_loadu_si512(p); }
  static Int broadcast(const void* p) {
    int word;
    __builtin_memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
  }
  static void store(Byte* p, Int v) { _mm512_storeu_si512(p, v); }
  static Int dot(Int sum, Int w, Int x) { return _mm512_dpbusd_epi32(sum, w, x); }
  static Int add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Int sixteenth(Int v) { return _mm512_srai_epi32(v, 4); }
  static Int low(Int v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
  static Int high(Int v) { return low(_mm512_srli_epi16(v, 4)); }
  static Int high_sixteenfold(Int v) {
    return _mm512_and_si512(v, _mm512_set1_epi8(static_cast<char>(0xf0)));
  }
  /// Dwords shifted to the left, or to the right by -left.
  static Int shifted(Int v, int left) {
    using Words = std::uint32_t __attribute__((vector_size(64)));
    return left < 0 ? Int(Words(v) >> -left) : Int(Words(v) << left);
  }
  /// Bits 2i and 2i+1 of every byte.
  static Int two_bits(Int v, int i) {
    return _mm512_and_si512(shifted(v, -2 * i), _mm512_set1_epi8(3));
  }
  /// v and those bits of w that `mask` has in each byte.
  static Int or_masked(Int v, Int w, int mask) {
    constexpr int kFirstOrBothOthers = 0xf8;
    return _mm512_ternarylogic_epi32(v, w, _mm512_set1_epi8(static_cast<char>(mask)),
                                     kFirstOrBothOthers);
  }
  /// table[index] of every byte.
  static Int look_up(const Byte (&table)[16], Int index) {
    const __m128i values = _mm_load_si128(reinterpret_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), index);
  }
  /// v in a register: gcc would keep sums in memory from one turn of a loop to the next.
  static Int keep(Int v) {
    asm("" : "+v"(v));
    return v;
  }
  /// Two vectors made one right after the other: see "Order" in vnni.h.
  static void together(Int (&v)[2]) { asm volatile("" : "+v"(v[0]), "+v"(v[1])); }

  static Float zero_float() { return _mm512_setzero_ps(); }
  static Float load_float(const void* p) { return _mm512_loadu_ps(p); }
  static Float broadcast_float(const void* p) {
    float value;
    __builtin_memcpy(&value, p, sizeof value);
    return _mm512_set1_ps(value);
  }
  static Float from_half(const void* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  }
  static Float from_bf16(const void* p) {
    const Int wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static Float from_bytes(const void* p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
  }
  /// Of f16 between the sign and seven zeros.
  static Float from_upper_bits(const void* p) {
    const __m256i words = _mm256_cvtepu8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(p)));
    return _mm512_cvtph_ps(_mm256_slli_epi16(words, 7));
  }
  static Float from_signed_bytes(const void* p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
  }
  static Float to_float(Int v) { return _mm512_cvtepi32_ps(v); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float nfma(Float a, Float b, Float c) { return _mm512_fnmadd_ps(a, b, c); }
  static void store(float* p, Float v) { _mm512_storeu_ps(p, v); }
  static void store(float* p, Float v, size_t count) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), v);
  }
};

}  // namespace

constexpr Kernels matmul_a8_avx512vnni =
    every_quantized_format([](auto format) { return kernel_of<Zmm, decltype(format)>(); });

}  // namespace qb::matmul
