// SPDX-License-Identifier: Apache-2.0
// The panels of the products by vpdpbusd, for vectors of any length. A class V says what a vector
// is and does; avxvnni.cc has one of 8 outputs, avx512vnni.cc one of 16.
//
// vpdpbusd adds four products of unsigned and signed bytes to an int32, and does not saturate. The
// weights are the unsigned ones: stored +8 or +128 (what comes of it modulo 2^32 is right again
// once the sum fits). What that adds too much is 8 or 128 times the sum of the activations,
// whatever the output: sums start at minus that, which costs a broadcast and not even an addition.
//
// Panel of 16 outputs. A dword of K is 64 bytes, so that no load crosses a line. For a scale per
// output all blocks, then 16 f32 scales. For a scale per group, pairs of groups: a line with twice
// 16 f16 scales, then the blocks of both (of the last group alone if their number is odd).
//
// 4-bit codes lie in pairs of blocks, one the low nibbles and the other the high ones: two sums
// with scales of their own. If V prefers it the high nibbles are not shifted then: masked they are
// 16 times their codes, and prepare() takes that off the scale of the second block's activations (a
// power of two: exactly). If a byte held two codes of one block instead, their sums would have to
// be brought together by a shift and an addition, which made one row slower on a Zen 4. Up to three
// rows load the weights once for both blocks; more have no registers for two sums each, and load
// once more for the second block.
//
// With a minimum for each group codes are 0 to 15 and stored as such, sums start at 0, and the
// minimum times the sum of the activations is taken off as a float. Blocks of 256 whose scales and
// minima are products of two keep both factors: a line of 16 f16 d and 16 f16 dmin before eight
// blocks, and before each pair of blocks a line with 16 scales and 16 minima of either, as bytes.
// Blocks of 32 have both as f16, two lines before each pair; or scales as f16 and zero points as
// bytes, whose products are the minima. vnni_headers.h has all of them.
//
// Codes of 5 and 6 bits lie as nibbles in pairs of blocks, and behind these the bits above them: of
// 5 bits a line for each block, whose bytes hold one bit of each of its eight dwords; of 6 bits two
// lines, whose bytes hold two bits of four dwords each. A shift and a vpternlogd put them above
// their nibbles. One row, which waits for the third cache or memory, has 5.5 or 6.6 bits to wait
// for and not 8.6.
//
// Few rows take the weights as they stream by, several panels at once, each a stream of its own
// through the whole matrix. More rows are taken in tiles as large as the registers, over a piece of
// K that stays in the second cache and is prefetched to there while the first tile of the piece
// before runs. The first tile of a piece also writes its unpacked 4-bit codes to scratch, as bytes;
// the later tiles read those. Larger tiles with scales, whose sums would wait in memory, were
// slower on a Zen 4.
//
// Order. Zen 4 picks a pipe when it takes an instruction in: what any of the four can do (the masks
// of nibbles) goes to the two that multiply as readily as to the others, and then costs time. Eight
// masks before eight vpdpbusd cost most, masks two by two least. So nibbles are masked in pairs,
// right before the pair's products, and gcc is told to leave that order (cmake/Isa.cmake).
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "core/budgets.h"
#include "matmul/a8/activations_x86.h"
#include "matmul/a8/vnni_headers.h"

namespace qb::matmul {
namespace {

constexpr size_t kDepth = VnniBudget::kDepth;  // blocks of K that tiles walk at a time
constexpr size_t kMostRows = VnniBudget::kRows;
constexpr size_t kRowBytes = VnniBudget::kActivationsInL2;

/// To the first cache, or with locality 2 to the second.
template <int locality = 3>
inline void prefetch(const Byte* p) {
  __builtin_prefetch(p, 0, locality);
}

/// Codes of 5 or 6 bits, less half their range if they have no minimum.
template <int bits_>
struct SplitBits {
  static constexpr int bits = bits_;
};
/// Codes of 0 to 3, less 1, in blocks of 256 with a scale: vnni_two_bits.h has their layout.
struct TwoBits {
  static constexpr int bits = 2;
};
template <class Codes>
constexpr bool kIsSplit = false;
template <int bits>
constexpr bool kIsSplit<SplitBits<bits>> = true;

template <class Codes, class Scale, class Header = ScalesAlone>
struct Kind;
template <class Scale>
struct UnpackedOf {
  using Type = Kind<Bytes, Scale>;
};
template <>
struct UnpackedOf<ScaleAndMinimum> {
  using Type = Kind<UnsignedBytes, ScaleAndMinimum, FloatsOfBlocks>;
};
template <>
struct UnpackedOf<ScaleOf32> {
  using Type = Kind<Bytes, ScaleOf32, FloatsOfBlocks>;
};
template <>
struct UnpackedOf<ScaleOf16> {
  using Type = Kind<Bytes, ScaleOf16, FloatsOfHalves>;
};
template <>
struct UnpackedOf<HalfOf16> : UnpackedOf<ScaleOf16> {};

template <class Codes_, class Scale_, class Header_>
struct Kind : ByteCodes {
  using Codes = Codes_;
  using Scale = Scale_;
  using Header = Header_;
  static constexpr int bits = Codes::bits;
  static constexpr bool per_block = kOfGroups<Scale>;  ///< or else one per output
  static constexpr bool kMinimum = kHasMinimum<Scale>;
  static constexpr bool kNibbles = __is_same(Codes, Nibbles) || __is_same(Codes, UnsignedNibbles);
  static constexpr size_t kUnit = qb::matmul::kUnitOf<Scale>;  ///< codes of what a block is here
  static constexpr int kDwords = int(kUnit) / 4;               ///< of K in it
  static constexpr int kHalves = int(kBlock / kUnit);          ///< of 32 codes
  static constexpr size_t kOfSuper = kSuperBlock / kUnit;
  /// Whether a Header has the scales.
  static constexpr bool kHeaders = !__is_same(Header, ScalesAlone);
  static constexpr bool kSplit = kIsSplit<Codes>;
  /// Codes are multiplied 2^kRaise larger.
  static constexpr int kRaise = kSplit ? bits - 1 : kNibbles ? 3 : 7;
  static constexpr size_t kBytes = kPanel * kUnit * bits / 8;  ///< of a panel's block
  static constexpr bool kPairedBlocks = bits < 8;
  static constexpr size_t kTogether = kPairedBlocks ? 2 * kHalves : 1;  ///< that share bytes
  static constexpr size_t kAhead = VnniBudget::ahead(bits, per_block);
  /// What the first tile leaves behind for the others.
  using Unpacked = typename UnpackedOf<Scale>::Type;

  // As panels_x86.h asks.
  static constexpr unsigned kOffset = kMinimum ? 0 : kSplit ? 0x0101 << kRaise : 0x8080;
  static constexpr size_t kDword = kLine, kHalf = kLine / 2, kSecondHalf = 4 * kLine;
  /// Bytes of the headers before b blocks.
  static constexpr size_t headers(size_t b) {
    return (b + kOfSuper - 1) / kOfSuper * Header::kSuper +
           (b + Header::kOfPair - 1) / Header::kOfPair * Header::kPair + b * Header::kEach;
  }
  static constexpr size_t block(size_t b, size_t group_blocks) {
    const size_t codes = b / kTogether * kTogether * kBytes;
    if (kHeaders) return codes + headers((b / kTogether + 1) * kTogether);
    return codes + (per_block ? (b / group_blocks / 2 + 1) * kLine : 0);
  }
  /// Where the piece of K that begins with block b, a multiple of kOfSuper, begins.
  static constexpr size_t piece(size_t b, size_t group_blocks) {
    if (b == 0) return 0;
    return kHeaders ? b * kBytes + headers(b) : block(b, group_blocks) - (per_block ? kLine : 0);
  }
  static constexpr size_t scales(size_t g, size_t group_blocks) {
    return per_block ? g / 2 * (2 * group_blocks * kBytes + kLine) + g % 2 * (kLine / 2)
                     : group_blocks * kBytes;
  }
  template <class F>
  static void put_group(const Weights& w, size_t n, size_t g, Byte* panel) {
    const size_t first = g / Header::kOfPair * Header::kOfPair;
    Byte* const super = panel + piece(g / kOfSuper * kOfSuper, 1);
    Byte* const pair =
        panel + first * kBytes + headers(first) + (first % kOfSuper ? 0 : Header::kSuper);
    static_assert(Header::kEach == 0, "what has headers before each block is unpacked, not packed");
    Header::template put<F>(w, n, g, super, pair);
  }
  static constexpr size_t bytes(size_t k, size_t group) {
    const size_t blocks = blocks_of(padded<Kind>(k)) * (kBlock / kUnit);
    if (kHeaders) return blocks * kBytes + headers(blocks);
    return blocks * kBytes + (per_block ? (k / group + 1) / 2 * kLine : kLine);
  }

  // What prepare() keeps of the sum of a row's or a block's codes.
  static constexpr bool kInPairs = true;
  static std::int32_t of_row(std::int32_t sum) {
    return static_cast<std::int32_t>(0u - (1u << kRaise) * static_cast<unsigned>(sum));
  }
  static std::int32_t of_block(std::int32_t sum) { return of_row(sum); }
};

template <class F>
constexpr auto codes_of() {
  if constexpr (requires { F::kBits; })
    return SplitBits<F::kBits>{};
  else
    return typename F::Codes{};
}
template <class F>
constexpr auto kind_of() {
  using Codes = decltype(codes_of<F>());
  if constexpr (kTwoBits<F>)
    return Kind<TwoBits, typename F::Scale>{};
  else if constexpr (kNarrow<F>)
    return Kind<Codes, typename F::Scale, NarrowOf16>{};
  else if constexpr (kLevels<F> && kHasMinimum<typename F::Scale>)
    return Kind<Codes, typename F::Scale, LevelsOf256>{};
  else if constexpr (kLevels<F> && kUnitOf<typename F::Scale> != kBlock)
    return Kind<Codes, typename F::Scale, ScalesOf256>{};
  else if constexpr (kLevels<F>)
    return Kind<Codes, typename F::Scale, ScalesOf256Together>{};
  else if constexpr (kZeroPoints<F>)
    return Kind<Codes, typename F::Scale, ZerosOfPairs>{};
  else if constexpr (kHasMinimum<typename F::Scale>)
    return Kind<Codes, typename F::Scale, HalvesOfPairs>{};
  else
    return Kind<Codes, typename F::Scale>{};
}
template <class F>
using KindOf = decltype(kind_of<F>());

/// What the products of one call have in common.
struct Call {
  size_t blocks;        ///< of K
  size_t group_blocks;  ///< that share a scale
  RowLayout x;
  size_t n;  ///< y's row length
  size_t n1;
};

/// Outputs n.. of a row of y, as far as they are there.
template <class V>
inline void store(const Call& call, float* y, size_t n, typename V::Float v) {
  if (n + V::kLanes <= call.n1)
    V::store(y + n, v);
  else if (n < call.n1)
    V::store(y + n, v, call.n1 - n);
}

/// Calls f(r, c) for every sum of R rows and C vectors of outputs.
template <int R, int C, class F>
[[gnu::always_inline]] inline void each_sum(F f) {
  QB_UNROLL for (int r = 0; r < R; ++r) { QB_UNROLL for (int c = 0; c < C; ++c) f(r, c); }
}

/// Which half of a block, where halves have sums of their own.
template <int half>
struct Half {
  static constexpr int value = half;
};

/// Which blocks to take from where they lie: all there is, or one of a pair.
enum class Take { all, first, second };
template <Take take_>
struct Taken {
  static constexpr Take take = take_;
};

/// Dword j of a pair's first block or its second one, from its nibbles v, as the unsigned bytes
/// that V multiplies. Integers of the second sixteenfold, which saves the shift, if V prefers it
/// and its sum stands apart. pair: the pair's codes, from the vector's outputs on.
template <class V, class K, bool apart>
[[gnu::always_inline]] inline typename V::Int block_of_pair(typename V::Int v, const Byte* pair,
                                                            int j, bool second) {
  using Codes = typename K::Codes;
  if constexpr (K::kSplit) {
    constexpr int width = K::bits - 4;  // bits above the nibble
    const int bit = ((second ? 8 : 0) + j) * width;
    const auto above = V::load(pair + kLine * size_t(8 + bit / 8));
    return V::or_masked(second ? V::high(v) : V::low(v), V::shifted(above, 4 - bit % 8),
                        width == 1 ? 0x10 : 0x30);
  }
  if constexpr (kIsTable<Codes> && !kIsUnsigned<Codes>)
    return V::look_up(Codes::kRaised, second ? V::high(v) : V::low(v));
  else
    return !second ? V::low(v) : apart && V::kSixteenfold ? V::high_sixteenfold(v) : V::high(v);
}

/// A vector of scales of groups.
template <class V, class K>
inline typename V::Float group_scales(const Byte* p) {
  if constexpr (__is_same(typename K::Scale, bf16))
    return V::from_bf16(p);
  else
    return V::from_half(p);
}

}  // namespace
}  // namespace qb::matmul
