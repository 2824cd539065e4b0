// SPDX-License-Identifier: Apache-2.0
// What AVX2 adds up of a block of 32: codes of every kind times activations, as avx2.cc describes,
// and where its panels keep codes and scales.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "core/budgets.h"
#include "matmul/a8/activations_x86.h"

namespace qb::matmul {
namespace {

constexpr std::size_t kVector = 8;  // outputs in a vector
constexpr std::size_t kAhead = Avx2Budget::kInt8Ahead;

inline __m256i broadcast(const void* p) {
  std::int32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return _mm256_set1_epi32(word);
}

/// Keeps the compiler from reassociating the sum that v is part of: gcc turns a chain of additions
/// into a tree and then spills its leaves.
inline void pin(__m256i& v) { asm("" : "+x"(v)); }

/// Keeps the compiler from holding what it wrote at p: there are no registers to hold it in.
inline void forget(std::uint8_t*& p) { asm("" : "+r"(p)); }

// --- Formats -----------------------------------------------------------------------------------

/// Bytes for 0 to `most`, `unit` of which are a block here.
template <int most, std::size_t unit>
struct BytesTo {
  static constexpr int bits = 8;
};

/// Indices of a table of values from -12 to 12, `unit` of which are a block here. Raised by 12 they
/// are multiplied unsigned.
template <const std::int8_t (&values)[16], std::size_t unit>
struct SmallTable {
  static constexpr int bits = 4;
  static constexpr int kRaise = 12;
};

/// Where a panel keeps what. Bytes.
template <int bits, std::size_t unit = kBlock>
struct Panel {
  static constexpr std::size_t half = std::size_t{bits} * unit * kVector / 8;  ///< 8 outputs
  static constexpr std::size_t block = 2 * half;

  /// Where the scales lie among the blocks that share them.
  static constexpr std::size_t scales(std::size_t group_blocks) { return group_blocks * block; }
};

/// How scales and minima are stored: each as f16; as products of two; minima as those of the f16
/// scale and a zero point, a byte, in the place of f16; the upper bits of f16.
enum class Stored { halves, levels, zeros, narrow };

template <class Codes_, class Scale_, Stored stored>
struct Layout {
  using Codes = Codes_;
  using Scale = Scale_;
  static constexpr int bits = Codes::bits;
  static constexpr bool per_block = kOfGroups<Scale>;  ///< or else one per output
  static constexpr bool kMinimum = kHasMinimum<Scale>;
  static constexpr bool kTwoLevels = stored == Stored::levels;
  static constexpr bool kZeros = stored == Stored::zeros;
  static constexpr bool kNarrow = stored == Stored::narrow;
  /// Whether each block has scales.
  static constexpr bool kScalesEach = kTwoLevels || kMinimum || kNarrow;
  static constexpr std::size_t kUnit = qb::matmul::kUnitOf<Scale>;  ///< codes of a block here
  static constexpr std::size_t kOfSuper = kSuperBlock / kUnit;
  /// Before kSuperBlock weights with scales of two levels: d and dmin as f16. Scales and minima of
  /// a block are bytes then.
  static constexpr std::size_t kFactors =
      kTwoLevels ? (kMinimum ? 2 : 1) * kPanel * sizeof(f16) : 0;
  /// Behind the codes of a group: its scales, and minima.
  static constexpr std::size_t kScales =
      kPanel * (kMinimum ? 2 : 1) * (kTwoLevels || kNarrow ? 1 : sizeof(f16));
  using P = Panel<bits, kUnit>;
  static constexpr unsigned kOffset = bits == 4 || kMinimum ? 0 : kUnit == kBlock ? 0x0080 : 0x2020;
  static constexpr std::size_t kDword = kVector * 4, kHalf = P::half;
  static constexpr std::size_t kSecondHalf = kUnit == kBlock ? 4 * kDword : P::block + kScales;
  static constexpr bool kPairedBlocks = false;
  static constexpr std::size_t bytes(std::size_t k, std::size_t group_len) {
    return per_block ? k / group_len * group(group_len / kUnit) + factors(k / kUnit)
                     : P::scales(blocks_of(k)) + kPanel * sizeof(float);
  }
  /// Blocks that share scales, and these.
  static constexpr std::size_t group(std::size_t group_blocks) {
    return P::scales(group_blocks) + kScales;
  }
  /// Of b blocks.
  static constexpr std::size_t factors(std::size_t b) {
    return (b + kOfSuper - 1) / kOfSuper * kFactors;
  }
  /// Where the piece of K that begins with block b, a multiple of kOfSuper, begins.
  static constexpr std::size_t piece(std::size_t b, std::size_t group_blocks) {
    return b ? block(b, group_blocks) - kFactors : 0;
  }
  template <class F>
  static void put_group(const Weights& w, std::size_t n, std::size_t g, std::uint8_t* panel) {
    std::uint8_t* const scales = panel + block(g, 1) + P::scales(1);
    if constexpr (kTwoLevels)
      put_levels<F>(w, n, g, panel + piece(g / kOfSuper * kOfSuper, 1), scales, scales + kPanel);
    else if constexpr (kNarrow)
      put_narrow<F>(w, n, g, scales);
    else if constexpr (kZeros)
      put_zeros<F>(w, n, g, scales, scales + kPanel * sizeof(f16));
    else
      put_halves<F>(w, n, g, scales);
  }
  static constexpr std::size_t block(std::size_t b, std::size_t group_blocks) {
    return b * P::block + factors(b + 1) + (per_block ? b / group_blocks * kScales : 0);
  }
  static constexpr std::size_t scales(std::size_t g, std::size_t group_blocks) {
    return g * group(group_blocks) + P::scales(group_blocks);
  }
};
/// What codes are here: of groups of 16, which have six bits, and of those with a minimum, which
/// have five, products are less often widened.
template <class Codes, class Scale>
struct CodesHere {
  using Type = Codes;
};
template <>
struct CodesHere<Bytes, ScaleOf16> {
  using Type = BytesTo<63, kUnitOf<ScaleOf16>>;
};
template <>
struct CodesHere<Bytes, ScaleAndMinimum> {
  using Type = BytesTo<31, kBlock>;
};
template <>
struct CodesHere<Table<kE2m1Doubled>, HalfOf16> {
  using Type = SmallTable<kE2m1Doubled, kUnitOf<HalfOf16>>;
};
template <class F>
using LayoutOf =
    Layout<typename CodesHere<typename F::Codes, typename F::Scale>::Type, typename F::Scale,
           kLevels<F>       ? Stored::levels
           : kZeroPoints<F> ? Stored::zeros
           : kNarrow<F>     ? Stored::narrow
                            : Stored::halves>;

/// Activations as products of codes of that kind take them, and what sums start at.
template <class Codes>
struct Activations;

/// Bytes. The +8 of weights is taken off the int32 sum of a row, and off the pair of int16 sums of
/// a block, half from each.
template <>
struct Activations<Nibbles> : ByteCodes {
  static constexpr bool kInPairs = false, kPairedBlocks = false;
  static std::int32_t of_row(std::int32_t sum) { return -8 * sum; }
  static std::int32_t of_block(std::int32_t sum) {
    const auto half = static_cast<std::uint16_t>(-4 * sum);
    return static_cast<std::int32_t>(half | std::uint32_t{half} << 16);
  }
};

template <>
struct Activations<UnsignedNibbles> : ByteCodes {
  static constexpr bool kInPairs = false, kPairedBlocks = false, kMinimum = true;
  static std::int32_t of_row(std::int32_t) { return 0; }
  static std::int32_t of_block(std::int32_t) { return 0; }
};

/// Words, of each block first those that meet whole words of weights, then those that meet the
/// words' high bytes. The +128 of the low bytes is taken off the sum.
template <>
struct Activations<Bytes> {
  static constexpr std::size_t kCodeBytes = 2, kUnit = kBlock;
  static constexpr bool kMinimum = false;
  static __m256i put(std::uint8_t* to, __m256i codes) {
    const __m256i even_high = _mm256_slli_epi16(codes, 8);
    const __m256i even = _mm256_srai_epi16(even_high, 8);
    auto* const out = reinterpret_cast<__m256i*>(to);
    _mm256_storeu_si256(out, even);
    _mm256_storeu_si256(out + 1, _mm256_sub_epi16(_mm256_srai_epi16(codes, 8), even_high));
    return _mm256_madd_epi16(even, _mm256_set1_epi16(1));
  }
  static constexpr bool kInPairs = false, kPairedBlocks = false;
  static std::int32_t of_row(std::int32_t sum) { return -128 * sum; }
  static std::int32_t of_block(std::int32_t sum) { return -128 * sum; }
};

template <const std::int8_t (&values)[16]>
struct Activations<Table<values>> : Activations<Bytes> {};

/// Bytes, with a sum for each unit. The 32 of weights is taken off it.
template <std::size_t unit>
struct Activations<BytesTo<63, unit>> : ByteCodes {
  static constexpr std::size_t kUnit = unit;
  static constexpr bool kInPairs = false, kPairedBlocks = false;
  static std::int32_t of_row(std::int32_t sum) { return -32 * sum; }
  static std::int32_t of_block(std::int32_t sum) { return -32 * sum; }
};

template <std::size_t unit>
struct Activations<BytesTo<31, unit>> : Activations<UnsignedNibbles> {};

/// Likewise, with the table's 12.
template <const std::int8_t (&values)[16], std::size_t unit>
struct Activations<SmallTable<values, unit>> : ByteCodes {
  static constexpr std::size_t kUnit = unit;
  static constexpr bool kInPairs = false, kPairedBlocks = false;
  static std::int32_t of_row(std::int32_t sum) { return -12 * sum; }
  static std::int32_t of_block(std::int32_t sum) { return -12 * sum; }
};

// --- Products ----------------------------------------------------------------------------------

/// What a tile takes weights from: as they are packed, the same and leaves nibbles behind as bytes
/// for the tiles that follow, or those bytes.
enum class From { panel, panel_for_others, bytes };

/// Integer sums of one block of 32: R rows at x, `stride` apart, times C vectors of 8 outputs.
/// Vector c is the c%2'th half of the block at w[c/2].
template <class Codes, int R, int C>
struct Dot;

template <int R, int C>
struct Dot<Nibbles, R, C> {
  /// Int16 sums, two lanes an output; fresh: started here, otherwise added to what is there.
  template <bool fresh, From from = From::panel>
  static void add(const std::uint8_t* const* w, const std::uint8_t* x, std::size_t stride,
                  __m256i (&sum)[R][C], std::uint8_t* bytes = nullptr) {
    const __m256i nibble = _mm256_set1_epi8(15);
    QB_UNROLL for (int j = 0; j < 4; ++j) {
      __m256i half[2][C];
      QB_UNROLL for (int c = 0; c < C; ++c) {
        if constexpr (from == From::bytes) {
          QB_UNROLL for (int i = 0; i < 2; ++i) half[i][c] =
              load(bytes + (2 * j + i) * (C * sizeof(__m256i)) + c * sizeof(__m256i));
        } else {
          const __m256i v = load(w[c / 2] + c % 2 * Panel<4>::half + 32 * j);
          half[0][c] = _mm256_and_si256(v, nibble);
          half[1][c] = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
        }
        if constexpr (from == From::panel_for_others)
          QB_UNROLL for (int i = 0; i < 2; ++i) _mm256_store_si256(
              reinterpret_cast<__m256i*>(bytes + (2 * j + i) * (C * sizeof(__m256i))) + c,
              half[i][c]);
      }
      QB_UNROLL for (int i = 0; i < 2; ++i) QB_UNROLL for (int r = 0; r < R; ++r) {
        const __m256i x0 = broadcast(x + r * stride + 16 * i + 4 * j);
        QB_UNROLL for (int c = 0; c < C; ++c) {
          const __m256i product = _mm256_maddubs_epi16(half[i][c], x0);
          sum[r][c] = fresh && i + j == 0 ? product : _mm256_add_epi16(sum[r][c], product);
          pin(sum[r][c]);
        }
      }
    }
  }
  static __m256i widened(__m256i sum) { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }
};

template <int R, int C>
struct Dot<UnsignedNibbles, R, C> : Dot<Nibbles, R, C> {};

template <int R, int C>
struct Dot<Bytes, R, C> {
  /// Adds to int32 sums.
  template <bool, From = From::panel>
  static void add(const std::uint8_t* const* w, const std::uint8_t* x, std::size_t stride,
                  __m256i (&sum)[R][C], std::uint8_t* = nullptr) {
    QB_UNROLL for (int j = 0; j < 8; ++j) {
      __m256i v[C];
      QB_UNROLL for (int high = 0; high < 2; ++high) {
        QB_UNROLL for (int c = 0; c < C; ++c) v[c] =
            high ? _mm256_srai_epi16(v[c], 8) : load(w[c / 2] + c % 2 * Panel<8>::half + 32 * j);
        QB_UNROLL for (int r = 0; r < R; ++r) {
          const __m256i x0 = broadcast(x + r * stride + (high ? kBlock : 0) + 4 * j);
          QB_UNROLL for (int c = 0; c < C; ++c) {
            sum[r][c] = _mm256_add_epi32(sum[r][c], _mm256_madd_epi16(v[c], x0));
            pin(sum[r][c]);
          }
        }
      }
    }
  }
  static __m256i widened(__m256i sum) { return sum; }
};

/// As many sums of two products as fit int16 are added before they are widened.
template <int most, std::size_t unit, int R, int C>
struct Dot<BytesTo<most, unit>, R, C> {
  static constexpr int kNarrow = 32767 / (2 * 127 * most);
  /// Adds to int32 sums.
  template <bool, From = From::panel>
  static void add(const std::uint8_t* const* w, const std::uint8_t* x, std::size_t stride,
                  __m256i (&sum)[R][C], std::uint8_t* = nullptr) {
    constexpr int dwords = int(unit) / 4;
    const __m256i ones = _mm256_set1_epi16(1);
    QB_UNROLL for (int j = 0; j < dwords; j += kNarrow) {
      __m256i v[kNarrow][C];
      QB_UNROLL for (int i = 0; i < kNarrow; ++i) QB_UNROLL for (int c = 0; c < C; ++c) v[i][c] =
          load(w[c / 2] + c % 2 * int(Panel<8, unit>::half) + 32 * (j + i));
      QB_UNROLL for (int r = 0; r < R; ++r) {
        __m256i narrow[C];
        QB_UNROLL for (int i = 0; i < kNarrow; ++i) {
          const __m256i x0 = broadcast(x + r * stride + 4 * (j + i));
          QB_UNROLL for (int c = 0; c < C; ++c) {
            const __m256i product = _mm256_maddubs_epi16(v[i][c], x0);
            narrow[c] = i == 0 ? product : _mm256_add_epi16(narrow[c], product);
          }
        }
        QB_UNROLL for (int c = 0; c < C; ++c) {
          sum[r][c] = _mm256_add_epi32(sum[r][c], _mm256_madd_epi16(narrow[c], ones));
          pin(sum[r][c]);
        }
      }
    }
  }
  static __m256i widened(__m256i sum) { return sum; }
};

/// Indices of a table are looked up as nibbles are masked; then their values are bytes.
template <const std::int8_t (&values)[16], int R, int C>
struct Dot<Table<values>, R, C> {
  /// Bytes as Dot<Bytes> has them: the even ones +128.
  static __m256i looked_up(__m256i index) {
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_load_si128(reinterpret_cast<const __m128i*>(Table<values>::kValues)));
    return _mm256_xor_si256(_mm256_shuffle_epi8(table, index), _mm256_set1_epi16(0x80));
  }
  /// Adds to int32 sums.
  template <bool, From from = From::panel>
  static void add(const std::uint8_t* const* w, const std::uint8_t* x, std::size_t stride,
                  __m256i (&sum)[R][C], std::uint8_t* bytes = nullptr) {
    const __m256i nibble = _mm256_set1_epi8(15);
    QB_UNROLL for (int j = 0; j < 4; ++j) {
      __m256i half[2][C];
      QB_UNROLL for (int c = 0; c < C; ++c) {
        if constexpr (from == From::bytes) {
          QB_UNROLL for (int i = 0; i < 2; ++i) half[i][c] =
              load(bytes + (2 * j + i) * (C * sizeof(__m256i)) + c * sizeof(__m256i));
        } else {
          const __m256i v = load(w[c / 2] + c % 2 * Panel<4>::half + 32 * j);
          half[0][c] = looked_up(_mm256_and_si256(v, nibble));
          half[1][c] = looked_up(_mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
        }
        if constexpr (from == From::panel_for_others)
          QB_UNROLL for (int i = 0; i < 2; ++i) _mm256_store_si256(
              reinterpret_cast<__m256i*>(bytes + (2 * j + i) * (C * sizeof(__m256i))) + c,
              half[i][c]);
      }
      QB_UNROLL for (int i = 0; i < 2; ++i) QB_UNROLL for (int high = 0; high < 2; ++high) {
        if (high)
          QB_UNROLL for (int c = 0; c < C; ++c) half[i][c] = _mm256_srai_epi16(half[i][c], 8);
        QB_UNROLL for (int r = 0; r < R; ++r) {
          const __m256i x0 = broadcast(x + r * stride + (high ? kBlock : 0) + 16 * i + 4 * j);
          QB_UNROLL for (int c = 0; c < C; ++c) {
            sum[r][c] = _mm256_add_epi32(sum[r][c], _mm256_madd_epi16(half[i][c], x0));
            pin(sum[r][c]);
          }
        }
      }
    }
  }
  static __m256i widened(__m256i sum) { return sum; }
};

/// The same of small values: four sums of two products fit int16.
template <const std::int8_t (&values)[16], std::size_t unit, int R, int C>
struct Dot<SmallTable<values, unit>, R, C> {
  static constexpr int kRaise = SmallTable<values, unit>::kRaise;
  static_assert(4 * 2 * 127 * 2 * kRaise <= 32767);
  static __m256i looked_up(__m256i index) {
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_load_si128(reinterpret_cast<const __m128i*>(Table<values>::kValues)));
    return _mm256_shuffle_epi8(_mm256_add_epi8(table, _mm256_set1_epi8(kRaise)), index);
  }
  /// Adds to int32 sums.
  template <bool, From from = From::panel>
  static void add(const std::uint8_t* const* w, const std::uint8_t* x, std::size_t stride,
                  __m256i (&sum)[R][C], std::uint8_t* bytes = nullptr) {
    QB_UNROLL for (int j = 0; j < int(unit) / 8; j += 2) {
      __m256i codes[4][C];  // two dwords' low nibbles, and their high ones
      QB_UNROLL for (int i = 0; i < 4; ++i) QB_UNROLL for (int c = 0; c < C; ++c) {
        [[maybe_unused]] const int place = ((2 * j + i) * C + c) * int(sizeof(__m256i));
        if constexpr (from == From::bytes) {
          codes[i][c] = load(bytes + place);
        } else {
          const __m256i v = load(w[c / 2] + c % 2 * int(Panel<4, unit>::half) + 32 * (j + i % 2));
          const __m256i nibble = _mm256_set1_epi8(15);
          codes[i][c] = looked_up(_mm256_and_si256(i < 2 ? v : _mm256_srli_epi16(v, 4), nibble));
        }
        if constexpr (from == From::panel_for_others)
          _mm256_store_si256(reinterpret_cast<__m256i*>(bytes + place), codes[i][c]);
      }
      QB_UNROLL for (int r = 0; r < R; ++r) {
        __m256i narrow[C];
        QB_UNROLL for (int i = 0; i < 4; ++i) {
          const __m256i x0 = broadcast(x + r * stride + i / 2 * (int(unit) / 2) + 4 * (j + i % 2));
          QB_UNROLL for (int c = 0; c < C; ++c) {
            const __m256i product = _mm256_maddubs_epi16(codes[i][c], x0);
            narrow[c] = i == 0 ? product : _mm256_add_epi16(narrow[c], product);
          }
        }
        QB_UNROLL for (int c = 0; c < C; ++c) {
          sum[r][c] =
              _mm256_add_epi32(sum[r][c], _mm256_madd_epi16(narrow[c], _mm256_set1_epi16(1)));
          pin(sum[r][c]);
        }
      }
    }
  }
  static __m256i widened(__m256i sum) { return sum; }
};

}  // namespace
}  // namespace qb::matmul
