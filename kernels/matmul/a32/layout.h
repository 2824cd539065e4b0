// SPDX-License-Identifier: Apache-2.0
// The panels that products with f32 sums run on: how weights are packed, and unpacked again.
//
// Panels of kPanel = 2 vectors of outputs, each contiguous, k by k, so that a vector holds one k of
// neighbouring outputs and sums never leave their lanes. Codes of 4 bits, and of 8 where a decoder
// wants it, stand eight or four k's of an output in a 32-bit lane, lowest k in the lowest bits.
// Scales stand before the codes they belong to, a group's or the panel's:
//
//   scale of each output, minimum of each output (if there are any), codes k by k
//
// Scales of two levels are those of a group, as bytes, times their block's. The block's stand
// before its first group, as f16: the scale of each output, the minimum of each, negated.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <utility>

#include "core/scalar_half.h"
#include "matmul/source.h"

namespace qb::matmul {
namespace {

using std::size_t;
using Byte = std::uint8_t;  // std::byte's operators are functions, which would be shared weakly

template <int I>
struct Int {
  static constexpr int value = I;
};

/// The body of Unroll, whose indices are a pack: one function. A function per index, each inlined
/// into the next, would copy the first body N times while it is compiled.
template <class Sequence>
struct UnrollOver;
template <int... I>
struct UnrollOver<std::integer_sequence<int, I...>> {
  template <class F>
  static inline __attribute__((always_inline)) void run(const F& f) {
    (f(Int<I>{}), ...);
  }
};
/// Unroll<N>::run(f) is f(Int<0>), ..., f(Int<N-1>): indices are constants, so arrays become
/// registers.
template <int N>
struct Unroll : UnrollOver<std::make_integer_sequence<int, N>> {};

constexpr size_t kStep = 8;  // k's that are decoded together
constexpr size_t padded(size_t k) { return (k + kStep - 1) / kStep * kStep; }
constexpr size_t least(size_t a, size_t b) { return a < b ? a : b; }
/// Cache lines that so many bytes begin, at the least one.
constexpr size_t lines(size_t bytes) { return bytes > 64 ? bytes / 64 : 1; }

/// The kind of codes that f32 weights of the bf16 products are rounded to as they are packed.
struct BFloat16 {
  static constexpr int bits = 16;
};
/// f32 weights as that kind.
struct RoundedF32 : source::f32 {
  using Codes = BFloat16;
};

/// How codes become vectors of floats of the vector class S (vectors.h):
///   Code, kBits      what unpack reads, and its bits in a panel
///   get<i, half>(p)  k i of the step at p, in the panel's first or second vector of outputs
///   kSlack           bytes behind the last panel that get() may read
///   kUnsignedBytes   8 bits: whether codes stand four to a 32-bit lane, +128
template <class S, class Codes>
struct Decoder;

/// What the loops know of packed weights: a kind of codes times a kind of scales. Formats that
/// share both share the loops. rounds: each dequantized weight is rounded to bf16. Then every
/// weight is multiplied with its scale; otherwise the sum of a group's products may be.
template <class S, class Codes, class ScaleKind, bool per_group, bool two_levels, bool rounds>
struct Kind : Decoder<S, Codes> {
  using Scale = ScaleKind;
  static constexpr bool kPerGroup = per_group;
  static constexpr bool kPerOutput = __is_same(Scale, float);
  static constexpr bool kRounds = rounds;
  static constexpr bool kMinimum = kHasMinimum<Scale>;
  static constexpr bool kTwoLevels = two_levels;
};
template <class S, class F, bool rounds>
using KindOf = Kind<S, typename F::Codes, typename F::Scale, F::per_group, kLevels<F>, rounds>;

/// Packed weights of format F: the kind, and where packing reads them.
template <class S, class F, bool rounds = false>
struct Codec : KindOf<S, F, rounds> {
  using Loops = KindOf<S, F, rounds>;
  using Source = F;
  /// Nibbles are packed as two's complement.
  static constexpr std::uint32_t kSigns = __is_same(typename F::Codes, Nibbles) ? 0x88888888u : 0u;
};

inline float value_of(float code) { return code; }
inline float value_of(f16 code) { return f16_to_f32(code); }
inline float value_of(bf16 code) { return bf16_to_f32(code); }

/// Exchanges rows and columns of a square: 8 words of bytes, 4 of 16 bits, 2 of 32 bits; element 0
/// in the lowest bits.
template <size_t N>
inline __attribute__((always_inline)) void transpose(std::uint64_t (&row)[N]) {
  Unroll<N == 8   ? 3
         : N == 4 ? 2
                  : 1>::run([&](auto stage) {
    constexpr size_t half = N >> (stage.value + 1), shift = half * 64 / N;
    // Ones in the lower of each pair of `half` elements.
    constexpr std::uint64_t mask = ~std::uint64_t{0} / ((std::uint64_t{1} << shift) + 1);
    Unroll<int(N)>::run([&](auto i) {
      if constexpr ((i.value & half) == 0) {
        std::uint64_t &a = row[i.value], &b = row[i.value + half];
        const std::uint64_t t = (a >> shift ^ b) & mask;
        b ^= t;
        a ^= t << shift;
      }
    });
  });
}

template <class C>
constexpr size_t slack() {
  if constexpr (requires { C::kSlack; })
    return C::kSlack;
  else
    return 0;
}

/// Codes of 8 bits in 32-bit lanes, and as such: code + 128.
template <class C>
constexpr bool unsigned_bytes() {
  return requires { requires C::kUnsignedBytes; };
}

/// Codes [k, k+count) of output n.
template <class C>
inline void read(const Weights& w, size_t n, size_t k, size_t count, typename C::Code* to) {
  if constexpr (__is_same(typename C::Source, RoundedF32)) {
    const float* from = static_cast<const float*>(w.values) + n * w.k + k;
    for (size_t i = 0; i < count; ++i) to[i] = f32_to_bf16(from[i]);
  } else if constexpr (C::Source::Codes::bits < C::kBits) {
    copy_values<typename C::Source>(w, n, k, count, to);
  } else {
    copy_codes<typename C::Source>(w, n, k, count, to);
  }
}

/// 32 codes from k as C stores them in 32-bit lanes, lowest k in the lowest bits; `count` are
/// there, the others 0. From a block's second group of 16 on they are 16.
template <class C>
constexpr size_t kWordsOf32 = C::kBits;
template <class C>
inline void words_of_32(const Weights& w, size_t n, size_t k, size_t count,
                        std::uint32_t (&to)[kWordsOf32<C>]) {
  if constexpr (C::kBits == 4) {
    if constexpr (kUnitOf<typename C::Scale> != kBlock) {
      std::uint32_t words[4];
      copy_nibbles<typename C::Source>(w, n, k / kBlock * kBlock, kBlock, words);
      for (size_t i = 0; i < 2; ++i) to[i] = words[k % kBlock / 8 + i];
    } else {
      copy_nibbles<typename C::Source>(w, n, k, count, to);
    }
    for (std::uint32_t& word : to) word ^= C::kSigns;
  } else {
    std::int8_t codes[32] = {};
    read<C>(w, n, k, least(count, 32), codes);
    __builtin_memcpy(to, codes, sizeof to);
    for (std::uint32_t& word : to) word ^= 0x80808080u;
  }
}

/// Where things stand in the packed weights of codec C: Bits per code, Pads if k is filled up to
/// whole steps (with codes 0).
template <class S, class C>
struct Layout {
  static constexpr size_t kPanel = 2 * S::kLanes;
  static constexpr size_t kStepBytes = kPanel * C::kBits;  // kStep k's
  static constexpr bool kPads = C::kBits == 4 || unsigned_bytes<C>();
  /// Bytes behind the last panel that are read but do not count.
  static constexpr size_t kSlack = slack<C>();

  static constexpr size_t kFactorsEach = C::kMinimum ? 2 : 1;  ///< a scale, and perhaps a minimum
  /// Bytes before a group's codes, or before all of a panel's; bytes before a block of kSuperBlock
  /// k's.
  static constexpr size_t kHeader = C::kTwoLevels ? kFactorsEach * kPanel
                                    : C::kPerGroup || C::kPerOutput
                                        ? kPanel * sizeof(typename C::Scale)
                                        : 0;
  static constexpr size_t kBlockHeader = C::kTwoLevels ? kFactorsEach * kPanel * sizeof(f16) : 0;

  static size_t depth(size_t k) { return kPads ? padded(k) : k; }
  static size_t code_bytes(size_t k) { return depth(k) * kPanel * C::kBits / 8; }
  static size_t group_bytes(size_t group) { return kHeader + code_bytes(group); }
  static size_t panel_bytes(size_t k, size_t group) {
    if (C::kPerGroup) return k / group * group_bytes(group) + k / kSuperBlock * kBlockHeader;
    return kHeader + code_bytes(k);
  }
  /// Where k's codes (a group's first: its header) stand in a panel.
  static size_t offset(size_t k, size_t group) {
    if (C::kTwoLevels)
      return block_offset(k, group) + kBlockHeader + k % kSuperBlock / group * group_bytes(group);
    if (C::kPerGroup) return k / group * group_bytes(group);
    return kHeader + k * kPanel * C::kBits / 8;
  }
  /// Where the block that k belongs to begins; 0 where there are none.
  static size_t block_offset(size_t k, size_t group) {
    if (!C::kTwoLevels) return 0;
    return k / kSuperBlock * (kBlockHeader + kSuperBlock / group * group_bytes(group));
  }
  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    const size_t panels = (n + kPanel - 1) / kPanel * panel_bytes(k, group);
    return panels ? panels + kSlack : 0;
  }

  /// Code (k, column) of the codes at p.
  static typename C::Code get(const Byte* p, size_t k, size_t column) {
    if constexpr (kPads) {
      constexpr size_t in_lane = 32 / C::kBits;
      const Byte* lane = p + (k / in_lane * kPanel + column) * 4;
      if constexpr (C::kBits == 4) {
        const int stored = lane[k % in_lane / 2] >> (k % 2 * 4) & 15;
        return static_cast<std::int8_t>(C::Source::Codes::value(stored ^ int(C::kSigns & 15)));
      }
      return static_cast<std::int8_t>(lane[k % in_lane] ^ 0x80);
    } else {
      typename C::Code code;
      __builtin_memcpy(&code, p + (k * kPanel + column) * sizeof code, sizeof code);
      return code;
    }
  }

  /// Codes [k0, k1) of a panel's outputs, from n on.
  static void put_codes(const Weights& w, size_t n, size_t k0, size_t k1, Byte* p) {
    if constexpr (kPads)
      put_words(w, n, k0, k1, p);
    else
      put_rows(w, n, k0, k1, p);
  }

  /// The same of codes in 32-bit lanes: a cache line of each output at a time.
  static void put_words(const Weights& w, size_t n, size_t k0, size_t k1, Byte* p) {
    constexpr size_t run = 512 / C::kBits, in_lane = 32 / C::kBits;
    const size_t outputs = least(kPanel, w.n - n);
    for (size_t k = k0; k < k1; k += run, p += run / in_lane * kPanel * 4) {
      const size_t stop = least(k + run, depth(k1));
      for (size_t column = 0; column < kPanel; ++column) {
        Byte* to = p + column * 4;
        for (size_t i = k; i < stop; i += 32) {
          std::uint32_t word[kWordsOf32<C>] = {};
          if (column < outputs && i < k1) words_of_32<C>(w, n + column, i, k1 - i, word);
          for (size_t j = 0; j < kWordsOf32<C> && i + j * in_lane < stop; ++j, to += kPanel * 4)
            __builtin_memcpy(to, &word[j], sizeof word[j]);
        }
      }
    }
  }

  /// The same of codes that stand alone, k by k: a cache line (or a block that was gathered) of
  /// some outputs at a time, whose squares of 64 bits are transposed.
  static void put_rows(const Weights& w, size_t n, size_t k0, size_t k1, Byte* p) {
    using Code = typename C::Code;
    constexpr size_t side = 8 / sizeof(Code), row = kPanel * sizeof(Code);
    constexpr size_t run = kGathered<typename C::Source> ? kBlock : 64 / sizeof(Code);
    const size_t outputs = least(kPanel, w.n - n);
    for (size_t k = k0; k < k1; k += run, p += run * row) {
      const size_t count = least(run, k1 - k);
      for (size_t column = 0; column < kPanel; column += side) {
        Code from[side][run] = {};
        for (size_t c = 0; c < side; ++c) {
          if (column + c >= outputs) continue;
          if (count == run)
            read<C>(w, n + column + c, k, run, from[c]);
          else
            read<C>(w, n + column + c, k, count, from[c]);
        }
        put_squares(from, count, p + column * sizeof(Code));
      }
    }
  }
  template <class Code, size_t side, size_t run>
  static inline __attribute__((always_inline)) void put_squares(const Code (&from)[side][run],
                                                                size_t count, Byte* to) {
    constexpr size_t row = kPanel * sizeof(Code);
    size_t i = 0;
    for (; i + side <= count; i += side, to += side * row) {
      std::uint64_t word[side];
      Unroll<int(side)>::run([&](auto c) {
        __builtin_memcpy(&word[c.value], &from[c.value][i], sizeof word[c.value]);
      });
      transpose(word);
      Unroll<int(side)>::run([&](auto c) {
        __builtin_memcpy(to + c.value * row, &word[c.value], sizeof word[c.value]);
      });
    }
    for (; i < count; ++i, to += row)
      for (size_t c = 0; c < side; ++c)
        __builtin_memcpy(to + c * sizeof(Code), &from[c][i], sizeof(Code));
  }

  /// The header of group g of a panel's outputs, from n on, and of its block before it if that
  /// begins with g. Returns where the group's codes go.
  static Byte* put_header(const Weights& w, size_t n, size_t g, Byte* p) {
    if constexpr (C::kTwoLevels) {
      const bool begins = g % (kSuperBlock / kUnitOf<typename C::Scale>) == 0;
      Byte* const block = p;
      if (begins) p += kBlockHeader;
      for (size_t c = 0; c < kPanel; ++c)
        put_levels(w, n + c, g, begins ? block + c * sizeof(f16) : nullptr, p + c);
    } else {
      put_scales<typename C::Source>(w, n, g, kPanel, p);
    }
    return p + kHeader;
  }
  /// The levels of group g of output n, where there is one; those of the block if it is not null.
  static void put_levels(const Weights& w, size_t n, size_t g, Byte* block, Byte* group) {
    decltype(C::Source::levels(w, n, g)) of = {};
    if (n < w.n) of = C::Source::levels(w, n, g);
    group[0] = static_cast<Byte>(of.scale);
    if constexpr (C::kMinimum) group[kPanel] = of.minimum;
    if (!block) return;
    __builtin_memcpy(block, &of.d, sizeof of.d);
    if constexpr (C::kMinimum) {
      const auto negated = static_cast<std::uint16_t>(static_cast<std::uint16_t>(of.dmin) ^ 0x8000);
      __builtin_memcpy(block + kPanel * sizeof(f16), &negated, sizeof negated);
    }
  }

  static void pack(const Weights& weights, size_t n0, size_t n1, void* packed) {
    const Weights w = weights;  // a copy: bytes that are stored may not be it
    const size_t bytes = panel_bytes(w.k, w.group);
    for (size_t n = n0; n < n1; n += kPanel) {
      Byte* p = static_cast<Byte*>(packed) + n / kPanel * bytes;
      if constexpr (C::kPerGroup) {
        for (size_t k = 0, g = 0; k < w.k; k += w.group, ++g) {
          p = put_header(w, n, g, p);
          put_codes(w, n, k, k + w.group, p);
          p += code_bytes(w.group);
        }
      } else {
        if constexpr (C::kPerOutput) p = put_header(w, n, 0, p);
        put_codes(w, n, 0, w.k, p);
      }
    }
    if (n1 >= w.n && panel_bytes(w.k, w.group))
      for (size_t i = 0; i < kSlack; ++i)
        static_cast<Byte*>(packed)[packed_bytes(w.n, w.k, w.group) - kSlack + i] = 0;
  }

  static void unpack(const void* packed, size_t n, size_t k, size_t group, size_t n0, size_t n1,
                     void* codes) {
    const size_t bytes = panel_bytes(k, group), run = C::kPerGroup ? group : k;
    for (size_t i = n0; i < n1 && i < n; ++i) {
      const Byte* const panel = static_cast<const Byte*>(packed) + i / kPanel * bytes;
      for (size_t j0 = 0; j0 < k; j0 += run) {
        const Byte* const p = panel + offset(j0, group) + (C::kPerGroup ? kHeader : 0);
        for (size_t j = 0; j < run; ++j) {
          const auto code = get(p, j, i % kPanel);
          if constexpr (C::kBits >= 16)
            static_cast<float*>(codes)[i * k + j0 + j] = value_of(code);
          else
            static_cast<std::int8_t*>(codes)[i * k + j0 + j] = code;
        }
      }
    }
  }
};

}  // namespace
}  // namespace qb::matmul
