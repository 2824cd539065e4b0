// SPDX-License-Identifier: Apache-2.0
// Codes that are looked up in tables of their products with a scale: how vdpbf16ps meets them.
// avx512bf16_quads_run.h multiplies.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/abf16/avx512bf16_rows.h"

namespace qb::matmul {
namespace {

// Panel: four quads, each of four neighbouring outputs: a line of scales, those of eight groups of
// each output or the single ones (with minima two lines of scales and two of minima, as f32; of
// blocks of 256 a byte for each scale and then each output's f16 that they are multiplied by; of
// groups of 16 a byte for each, first those of the blocks' first groups), the codes they belong to,
// the next line, and so on: read in two places, scales and codes came from memory at two thirds of
// the speed (when this was written). A vector of weights is 32 of K of one output, so that what is
// looked up needs no index but the code.

/// halves: whether the first and the other 16 codes of a block have scales of their own.
template <class Codes, bool halves>
struct InQuads;

/// Word j of a block of a quad: K j of its four outputs, as 0 to 15.
template <class Codes, bool halves>
struct InQuadsOf4Bits {
  static constexpr bool kMagnitudes = false;  ///< whether codes are stored as sign and magnitude
  static constexpr size_t together = 1;       ///< blocks that are decoded at once
  static constexpr size_t unit = 64;          ///< bytes of a quad's block
  static constexpr size_t kTables = 4;
  /// Of each output the 16 products with its scale, twice: vpermw sees one bit of what follows the
  /// code.
  [[gnu::always_inline]] static void tables(const float* scales, __m512i (&t)[kTables]) {
    const __m512 codes = _mm512_loadu_ps(Codes::kFloats);
    QB_UNROLL for (size_t c = 0; c < 4; ++c) {
      const __m512 product = _mm512_mul_ps(codes, _mm512_set1_ps(scales[c]));
      t[c] = rounded(product, product);
    }
  }
  /// The same less minima; or the products with the first half's scale, then those with the
  /// second's. Minima, or second scales, stand `second` floats behind the scales.
  [[gnu::always_inline]] static void tables(const float* scales, size_t second,
                                            __m512i (&t)[kTables]) {
    const __m512 codes = _mm512_loadu_ps(Codes::kFloats);
    QB_UNROLL for (size_t c = 0; c < 4; ++c) {
      const __m512 scale = _mm512_set1_ps(scales[c]), other = _mm512_set1_ps(scales[second + c]);
      if constexpr (halves) {
        t[c] = rounded(_mm512_mul_ps(codes, scale), _mm512_mul_ps(codes, other));
      } else {
        const __m512 value = _mm512_fmsub_ps(codes, scale, other);
        t[c] = rounded(value, value);
      }
    }
  }
  /// Output c's weights of the unit at p. Tables stand at t, and those of odd number at
  /// `odd_tables` as well.
  [[gnu::always_inline]] static void get(const Byte* p, size_t c, const __m512i* t, const __m512i*,
                                         __m512i* w) {
    __m512i v = load(p);
    if (c) v = _mm512_srli_epi16(v, static_cast<unsigned>(4 * c));
    w[0] = _mm512_permutexvar_epi16(halves ? index_of_halves(v) : v, t[c]);
  }
  static void put(const __m512i (&codes)[4], Byte* to) {
    __m512i words = _mm512_setzero_si512();
    for (unsigned c = 0; c < 4; ++c) {
      const __m256i v = _mm512_castsi512_si256(codes[c]);
      words = _mm512_or_si512(words, _mm512_slli_epi16(_mm512_cvtepu8_epi16(v), 4 * c));
    }
    store(to, words);
  }
  static int code(const Byte* quad, size_t c, size_t k) {
    const int byte = quad[k / kBlock * unit + k % kBlock * 2 + c / 2];
    return Codes::value(c % 2 ? byte >> 4 : byte & 15);
  }
};
template <>
struct InQuads<Nibbles, false> : InQuadsOf4Bits<Nibbles, false> {};
template <const std::int8_t (&values)[16], bool halves>
struct InQuads<Table<values>, halves> : InQuadsOf4Bits<Table<values>, halves> {};

/// Two blocks of a quad: a line of each output, sign and magnitude. In each lane eight of K of
/// either block, so that both bytes of the products, looked up apart, come together in order. The
/// code -128 is stored as 0x80, a magnitude of 0 with a sign, which no other code has. The tables
/// have no product for it: quads that hold it are marked, and decoded without tables.
template <>
struct InQuads<Bytes, false> {
  static constexpr bool kMagnitudes = true;
  static constexpr size_t together = 2;
  static constexpr size_t unit = 128;
  static constexpr size_t kTables = 16;
  /// Of each output the products of 0 to 127: their low bytes, then their high ones.
  [[gnu::always_inline]] static void tables(const float* scales, __m512i (&t)[kTables]) {
    const __m512 first16 = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    alignas(64) Byte even[64];
    for (size_t i = 0; i < 64; ++i) even[i] = static_cast<Byte>(2 * i);
    const __m512i low = load(even), high = _mm512_or_si512(low, _mm512_set1_epi8(1));
    QB_UNROLL for (size_t c = 0; c < 4; ++c) {
      const __m512 scale = _mm512_set1_ps(scales[c]);
      __m512i words[4];
      QB_UNROLL for (size_t i = 0; i < 4; ++i) {
        const __m512 a = _mm512_add_ps(first16, _mm512_set1_ps(float(32 * i)));
        const __m512 b = _mm512_add_ps(first16, _mm512_set1_ps(float(32 * i + 16)));
        words[i] = rounded(_mm512_mul_ps(a, scale), _mm512_mul_ps(b, scale));
      }
      QB_UNROLL for (size_t i = 0; i < 2; ++i) {
        t[4 * c + i] = _mm512_permutex2var_epi8(words[2 * i], low, words[2 * i + 1]);
        t[4 * c + 2 + i] = _mm512_permutex2var_epi8(words[2 * i], high, words[2 * i + 1]);
      }
    }
  }
  [[gnu::always_inline]] static void get(const Byte* p, size_t c, const __m512i* t,
                                         const __m512i* odd_tables, __m512i* w) {
    __m512i v = load(p + c * 64);
    asm("" : "+v"(v));  // once: what is copied costs less than another load
    const __m512i low = _mm512_permutex2var_epi8(t[4 * c], v, odd_tables[4 * c + 1]);
    __m512i high = _mm512_permutex2var_epi8(t[4 * c + 2], v, odd_tables[4 * c + 3]);
    // 0x78: high ^ (v & 0x80), the sign
    high = _mm512_ternarylogic_epi32(high, v, _mm512_set1_epi8(-128), 0x78);
    w[0] = _mm512_unpacklo_epi8(low, high);
    w[1] = _mm512_unpackhi_epi8(low, high);
  }
  static void put(const __m512i (&codes)[4], Byte* to) {
    const __m512i pairs = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
    for (size_t c = 0; c < 4; ++c) {
      // 0xf8: |code| | (code & 0x80)
      const __m512i v = _mm512_ternarylogic_epi32(_mm512_abs_epi8(codes[c]), codes[c],
                                                  _mm512_set1_epi8(-128), 0xf8);
      store(to + c * 64, _mm512_permutexvar_epi64(pairs, v));
    }
  }
  static int code(const Byte* quad, size_t c, size_t k) {
    const int byte = quad[k / 64 * 256 + c * 64 + k % 32 / 8 * 16 + k % 64 / 32 * 8 + k % 8];
    return byte == 128 ? -128 : byte & 128 ? -(byte & 127) : byte;
  }
  /// What put() stored at p, as signed bytes in order of K.
  static __m512i codes(const Byte* p) {
    const __m512i blocks = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    const __m512i v = _mm512_permutexvar_epi64(blocks, load(p)), least = _mm512_set1_epi8(-128);
    const __m512i magnitude = _mm512_andnot_si512(least, v);
    const __m512i code =
        _mm512_mask_sub_epi8(magnitude, _mm512_movepi8_mask(v), _mm512_setzero_si512(), magnitude);
    return _mm512_mask_mov_epi8(code, _mm512_cmpeq_epi8_mask(v, least), least);
  }
};

template <class F>
using InQuadsOf = InQuads<typename F::Codes, kUnitOf<typename F::Scale> != kBlock>;

template <class F>
struct Quads : InQuadsOf<F> {
  using How = InQuadsOf<F>;
  using How::unit, How::together;
  using Scale = typename F::Scale;
  static constexpr bool per_block = F::per_group;
  static constexpr bool kMinimum = kHasMinimum<Scale>;
  static constexpr bool kTwoLevels = __is_same(Scale, ScaleOf32);
  static constexpr bool kHalves = kUnitOf<Scale> != kBlock;
  /// Whether tables are of two scales, or of one and a minimum.
  static constexpr bool kPairs = kMinimum || kHalves;
  static constexpr size_t kGroupsOfLine = 8;
  /// Blocks that share scales, or the scales of both their halves.
  static size_t group_blocks(size_t group) { return kHalves ? 1 : group / kBlock; }
  /// Bytes of the scales of so many groups, or of single ones.
  static constexpr size_t kHeader = kMinimum ? 4 * kVector : kVector;

  /// Blocks whose scales share a line: all, if there is one scale an output.
  static size_t line_blocks(size_t group_blocks) {
    return per_block ? kGroupsOfLine * group_blocks : static_cast<size_t>(-1);
  }
  /// Bytes of the lines of scales before block b.
  static size_t lines(size_t b, size_t group_blocks) {
    return (b / line_blocks(group_blocks) + 1) * kHeader;
  }
  static size_t quad(size_t k, size_t group) {
    const size_t blocks = blocks_of(k);
    return lines(blocks ? blocks - 1 : 0, group_blocks(group)) +
           quotient_up(blocks, together) * together * unit;
  }
  static size_t panel(size_t k, size_t group) { return 4 * quad(k, group); }
  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    return quotient_up(n, kPanel) * panel(k, group);
  }

  /// Where the line of single scales says that the quad holds the code -128.
  static constexpr size_t kMark = 4 * sizeof(float);

  static void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
    for (size_t n = n0; n < quotient_up(n1, kPanel) * kPanel; n += 4) {
      Byte* const first = static_cast<Byte*>(packed) + n / 4 * quad(w.k, w.group);
      Byte* out = first;
      size_t b = 0;
      do {
        put_scales(w, n, b, out);
        out += kHeader;
        const size_t end = least(blocks_of(w.k) - b, line_blocks(group_blocks(w.group))) + b;
        for (; b < end; b += together, out += together * unit) {
          __m512i codes[4];
          for (size_t c = 0; c < 4; ++c) {
            codes[c] = codes_of<F>(w, n + c, b * kBlock, together * kBlock);
            if constexpr (How::kMagnitudes)
              if (_mm512_cmpeq_epi8_mask(codes[c], _mm512_set1_epi8(-128))) first[kMark] = 1;
          }
          How::put(codes, out);
        }
      } while (b < blocks_of(w.k));
    }
  }
  /// A line of scales, from block b on.
  static void put_scales(const Weights& w, size_t n, size_t b, Byte* to) {
    __builtin_memset(to, 0, kHeader);
    for (size_t c = 0; c < 4 && n + c < w.n; ++c) {
      if constexpr (kHalves) {
        constexpr size_t units = kBlock / kUnitOf<Scale>;
        for (size_t g = 0; g < kGroupsOfLine && b + g < blocks_of(w.k); ++g)
          for (size_t half = 0; half < units; ++half)
            to[4 * (half * kGroupsOfLine + g) + c] = F::narrow(w, n + c, (b + g) * units + half);
      } else if constexpr (per_block) {
        const size_t g0 = b * kBlock / w.group;
        for (size_t g = 0; g < kGroupsOfLine && g0 + g < w.k / w.group; ++g) {
          const Scale d = F::scale(w, n + c, g0 + g);
          if constexpr (kTwoLevels) {
            static_assert(kSuperBlock == kGroupsOfLine * kBlock);
            const ScaleOf256 both = F::levels(w, n + c, g0 + g);
            to[4 * g + c] = static_cast<Byte>(both.scale);
            __builtin_memcpy(to + 4 * kGroupsOfLine + c * sizeof both.d, &both.d, sizeof both.d);
          } else if constexpr (kMinimum) {
            __builtin_memcpy(to + (4 * g + c) * sizeof(float), &d.scale, sizeof(float));
            __builtin_memcpy(to + (32 + 4 * g + c) * sizeof(float), &d.minimum, sizeof(float));
          } else {
            __builtin_memcpy(to + (4 * g + c) * sizeof d, &d, sizeof d);
          }
        }
      } else {
        const Scale d = F::scale(w, n + c, 0);
        __builtin_memcpy(to + c * sizeof d, &d, sizeof d);
      }
    }
  }

  static void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1,
                     void* codes) {
    for (size_t n = n0; n < n1; ++n) {
      const Byte* const at = static_cast<const Byte*>(packed) + n / 4 * quad(k, group);
      for (size_t i = 0; i < k; ++i)
        static_cast<std::int8_t*>(codes)[n * k + i] = static_cast<std::int8_t>(
            How::code(at + lines(i / kBlock, group_blocks(group)), n % 4, i));
    }
  }
};

}  // namespace
}  // namespace qb::matmul
