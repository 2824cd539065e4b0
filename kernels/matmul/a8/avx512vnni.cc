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
// for loads unless each vector is loaded once. There a prefetch 768 bytes ahead cost one row a
// third of its speed, and streams that contend for the same ways of a cache nearly half.
//
// Activations are quantized 16 blocks at a time, their maxima and sums turned across the registers
// rather than folded one by one: about 10 cycles a block there, where AVX2's way takes 27.
#include "core/avx512.h"
#include "matmul/a8/vnni.h"

#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || \
    !defined(__AVX512DQ__) || !defined(__AVX512VNNI__)
#error "compile with the flags of cmake/Isa.cmake for avx512vnni"
#endif

namespace qb::matmul {
namespace {

// --- Activations -------------------------------------------------------------------------------

/// Sums of 16 blocks' codes, two blocks to a vector of eighths; in the order 0 2 4 6, 1 3 5 7,
/// 8 10 12 14, 9 11 13 15.
inline __m512i sums_of(__m512i (&v)[8]) {
  QB_UNROLL for (int i = 0; i < 8; i += 2) v[i] = _mm512_add_epi32(
      _mm512_unpacklo_epi32(v[i], v[i + 1]), _mm512_unpackhi_epi32(v[i], v[i + 1]));
  QB_UNROLL for (int i = 0; i < 8; i += 4) v[i] = _mm512_add_epi32(
      _mm512_unpacklo_epi64(v[i], v[i + 2]), _mm512_unpackhi_epi64(v[i], v[i + 2]));
  return _mm512_add_epi32(_mm512_shuffle_i32x4(v[0], v[4], 0x88),
                          _mm512_shuffle_i32x4(v[0], v[4], 0xdd));
}

/// Adds 64 codes, four to a lane.
inline __m512i add_codes(__m512i sum, __m512i codes) {
  return _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), codes);
}

inline void store_codes(Byte* to, size_t count, __m512i codes) {
  if (count >= 64)
    _mm512_storeu_si512(to, codes);
  else
    _mm512_mask_storeu_epi8(to, (1ull << count) - 1, codes);
}

template <class K>
void quantize_rows(const void* x, size_t, size_t k, size_t, size_t m0, size_t m1, void* workspace) {
  const RowLayout layout = row_layout(padded<K>(k), false);
  for (size_t m = m0; m < m1; ++m) {
    const float* const row = static_cast<const float*>(x) + m * k;
    Byte* const out = static_cast<Byte*>(workspace) + m * layout.stride;
    __m512 v[4], largest[4];
    for (__m512& l : largest) l = _mm512_setzero_ps();
    for (size_t i = 0; i < k; i += 64) {
      load64(row + i, k - i, v);
      QB_UNROLL for (int j = 0; j < 4; ++j) largest[j] = larger(largest[j], v[j]);
    }
    const Scaling scaling = row_scaling(_mm512_reduce_max_ps(
        larger(larger(largest[0], largest[1]), larger(largest[2], largest[3]))));
    const __m512 by = _mm512_set1_ps(scaling.inverse);
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < k; i += 64) {
      load64(row + i, k - i, v);
      __m512i q[4];
      QB_UNROLL for (int j = 0; j < 4; ++j) q[j] = _mm512_cvtps_epi32(_mm512_mul_ps(v[j], by));
      const __m512i codes = narrow64(q[0], q[1], q[2], q[3]);
      store_codes(out + i, layout.scales - i, codes);
      sum = add_codes(sum, codes);
    }
    const std::int32_t start = K::of_row(_mm512_reduce_add_epi32(sum));
    __builtin_memcpy(out + layout.scales, &scaling.scale, sizeof scaling.scale);
    __builtin_memcpy(out + layout.sums, &start, sizeof start);
  }
}

/// Sixteen blocks at a time: one division for all of their scales.
template <class K>
void quantize_blocks(const void* x, size_t, size_t k, size_t, size_t m0, size_t m1,
                     void* workspace) {
  const RowLayout layout = row_layout(padded<K>(k), true);
  const size_t blocks = k / kBlock;
  const __m512i low_pairs =
      _mm512_setr_epi32(0, 16, 1, 20, 2, 17, 3, 21, 4, 18, 5, 22, 6, 19, 7, 23);
  const __m512i high_pairs =
      _mm512_setr_epi32(8, 24, 9, 28, 10, 25, 11, 29, 12, 26, 13, 30, 14, 27, 15, 31);
  // log2 of what codes are raised by, of integers of 4 bits in a pair's second block sixteenfold,
  // in the order of sums_of().
  constexpr int even = K::kRaise, odd = 7;
  const __m512i offset = _mm512_setr_epi32(even, even, even, even, odd, odd, odd, odd, even, even,
                                           even, even, odd, odd, odd, odd);
  [[maybe_unused]] const __m512i order_of_sums =
      _mm512_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
  const __m512 sixteenths = _mm512_castsi512_ps(_mm512_set1_epi64(0x3d8000003f800000));
  for (size_t m = m0; m < m1; ++m) {
    const float* const row = static_cast<const float*>(x) + m * k;
    Byte* const out = static_cast<Byte*>(workspace) + m * layout.stride;
    if (K::kPairedBlocks && blocks % 2) {
      __builtin_memset(out + k, 0, kBlock);
      __builtin_memset(out + layout.scales + 8 * blocks, 0, 8);
    }
    for (size_t b = 0; b < blocks; b += 16) {
      const float* const from = row + b * kBlock;
      const size_t count = least(blocks - b, 16);
      __m512 v[16];
      // Blocks that are not there are the last one again.
      QB_UNROLL for (size_t i = 0; i < 16; ++i) {
        const float* const block = from + least(i, count - 1) * kBlock;
        v[i] = larger(_mm512_loadu_ps(block), _mm512_loadu_ps(block + 16));
      }
      __m512 scale = _mm512_div_ps(reduce16(v, larger), _mm512_set1_ps(127.0f));
      const __m512 quotient = _mm512_div_ps(_mm512_set1_ps(1.0f), scale);
      const __mmask16 finite =
          _mm512_cmp_ps_mask(quotient, _mm512_set1_ps(kLargestFloat), _CMP_LE_OQ);
      alignas(64) float inverse[16];
      _mm512_store_ps(inverse, _mm512_maskz_mov_ps(finite, quotient));
      scale = _mm512_cvtph_ps(
          _mm512_cvtps_ph(_mm512_maskz_mov_ps(finite, scale), _MM_FROUND_TO_NEAREST_INT));
      __m512i sum[8];
      QB_UNROLL for (size_t i = 0; i < 16; i += 2) {
        sum[i / 2] = _mm512_setzero_si512();
        if (i >= count) continue;
        __m512 pair[4];
        load64(from + i * kBlock, (count - i) * kBlock, pair);
        __m512i q[4];
        QB_UNROLL for (size_t j = 0; j < 4; ++j) {
          const __m512 scaled = _mm512_mul_ps(pair[j], _mm512_set1_ps(inverse[i + j / 2]));
          q[j] = HalfAway::round(scaled);  // as rounded<true>() has it
        }
        const __m512i codes = narrow64(q[0], q[1], q[2], q[3]);
        store_codes(out + (b + i) * kBlock, (count - i) * kBlock, codes);
        sum[i / 2] = add_codes(sum[i / 2], codes);
      }
      __m512i start = sums_of(sum);
      if constexpr (K::kMinimum) {
        const __m512 in_order = _mm512_permutexvar_ps(order_of_sums, scale);
        start = _mm512_castps_si512(_mm512_mul_ps(_mm512_cvtepi32_ps(start), in_order));
      } else {
        start = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_sllv_epi32(start, offset));
      }
      if constexpr (K::kNibbles) scale = _mm512_mul_ps(scale, sixteenths);
      const auto there = static_cast<std::uint32_t>((std::uint64_t{1} << 2 * count) - 1);
      std::int32_t* const pairs = reinterpret_cast<std::int32_t*>(out + layout.scales) + 2 * b;
      _mm512_mask_storeu_epi32(
          pairs, static_cast<__mmask16>(there),
          _mm512_permutex2var_epi32(_mm512_castps_si512(scale), low_pairs, start));
      _mm512_mask_storeu_epi32(
          pairs + 16, static_cast<__mmask16>(there >> 16),
          _mm512_permutex2var_epi32(_mm512_castps_si512(scale), high_pairs, start));
    }
  }
}

// --- Vectors -----------------------------------------------------------------------------------

struct Zmm {
  using Int = __m512i;
  using Float = __m512;
  static constexpr size_t kLanes = 16;
  static constexpr size_t kFew = 6;     ///< rows that take the weights as they stream by
  static constexpr int kTileRows = 12;  ///< 24 sums
  static constexpr int kPairSums = 12;  ///< of pairs of blocks
  static constexpr bool kGroups = true;
  static constexpr bool kSixteenfold = true;
  static constexpr int vectors(int rows, bool pairs) {
    return rows == 1 || (rows == 2 && !pairs) ? 4 : 2;
  }
  template <class K>
  static constexpr auto prepare = K::per_block ? quantize_blocks<K> : quantize_rows<K>;

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
