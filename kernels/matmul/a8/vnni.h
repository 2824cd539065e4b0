// Products of int8 activations by vpdpbusd, for vectors of any length. A class V says what a vector
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
// power of two: exactly). With the halves of one block in a byte a shift and an addition brought
// their sums together, and one row took 1.10 times as long in the second cache and 1.07 times in
// the third, measured on a Zen 4 at the time. Up to three rows load the weights once for both
// blocks; more have no registers for two sums each, and load once more for the second block.
//
// Few rows take the weights as they stream by, several panels at once, each a stream of its own
// through the whole matrix. More rows are taken in tiles as large as the registers, over a piece of
// K that stays in the second cache and is prefetched to there while the first tile of the piece
// before runs. A piece's first tile takes 4-bit codes as they are and leaves them behind as bytes,
// which the tiles that follow meet. Sums that wait in memory, so that tiles with scales could be
// larger, had cost a tenth and more.
//
// Order. Zen 4 picks a pipe when it takes an instruction in: what any of the four can do (the masks
// of nibbles) goes to the two that multiply as readily as to the others, and then costs time: 8
// masks before 8 vpdpbusd 12.5 cycles, one by one 9.7, two by two 8.3. So nibbles are masked in
// pairs, right before the pair's products, and gcc is told to leave that order (cmake/Isa.cmake).
// Other CPUs were not timed.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/activations_x86.h"

namespace qb::matmul {
namespace {

using std::size_t;
using Byte = std::uint8_t;

constexpr size_t kLine = 64;
constexpr size_t kDepth = 64;      // blocks of K that tiles walk at a time; whole pairs of groups
constexpr size_t kMostRows = 128;  // whose sums wait for the next piece of K,
constexpr size_t kRowBytes = 640 * 1024;  // and which fit a second cache

/// To the first cache, or with locality 2 to the second.
template <int locality = 3>
inline void prefetch(const Byte* p) {
  __builtin_prefetch(p, 0, locality);
}

// --- Formats -----------------------------------------------------------------------------------

template <class Codes_, class Scale_>
struct Kind : ByteCodes {
  using Codes = Codes_;
  using Scale = Scale_;
  static constexpr int bits = Codes::bits;
  static constexpr bool per_block = sizeof(Scale) == 2;         ///< or else one per output
  static constexpr int kRaise = bits == 8 ? 7 : 3;  ///< codes are stored 2^kRaise larger
  static constexpr size_t kBytes = kPanel * kBlock * bits / 8;  ///< of a panel's block
  static constexpr size_t kTogether = bits == 4 ? 2 : 1;        ///< blocks that share bytes
  /// Bytes that few rows prefetch ahead in each stream.
  static constexpr size_t kAhead = bits == 4 && per_block ? 320 : 128;

  // As panels_x86.h asks.
  static constexpr unsigned kFlip = bits == 8 ? 0x8080 : 0;
  static constexpr size_t kDword = kLine, kHalf = kLine / 2;
  static constexpr bool kPairedBlocks = bits == 4;
  static constexpr size_t block(size_t b, size_t group_blocks) {
    return b / kTogether * kTogether * kBytes +
           (per_block ? (b / group_blocks / 2 + 1) * kLine : 0);
  }
  static constexpr size_t scales(size_t g, size_t group_blocks) {
    return per_block ? g / 2 * (2 * group_blocks * kBytes + kLine) + g % 2 * (kLine / 2)
                     : group_blocks * kBytes;
  }
  static constexpr size_t bytes(size_t k, size_t group) {
    return blocks_of(padded<Kind>(k)) * kBytes + (per_block ? (k / group + 1) / 2 * kLine : kLine);
  }

  // What prepare() keeps of the sum of a row's or a block's codes.
  static constexpr bool kInPairs = true;
  static std::int32_t of_row(std::int32_t sum) {
    return static_cast<std::int32_t>(0u - (1u << kRaise) * static_cast<unsigned>(sum));
  }
  static std::int32_t of_block(std::int32_t sum) { return of_row(sum); }
};

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

/// Vector c of a panel's dword, or of its scales in units of `size` bytes.
template <class V>
constexpr size_t part(int c, size_t size) {
  return size_t(c) % (kPanel / V::kLanes) * V::kLanes * size;
}
/// Panels that hold C vectors.
template <class V>
constexpr int panels_of(int C) {
  return C / int(kPanel / V::kLanes);
}
/// Which of them holds vector c.
template <class V>
constexpr int panel_of(int c) {
  return c / int(kPanel / V::kLanes);
}

// --- Few rows ----------------------------------------------------------------------------------

/// Which blocks to take from where they lie: all there is, or one of a pair.
enum class Take { all, first, second };
template <Take take_>
struct Taken {
  static constexpr Take take = take_;
};

/// Codes of a pair's first block or its second one, as the unsigned bytes that V multiplies; those
/// of the second sixteenfold, which saves the shift, if V prefers it and its sum stands apart.
template <class V, class Codes, bool apart>
inline typename V::Int block_of_pair(typename V::Int v, bool second) {
  return !second ? V::low(v) : apart && V::kSixteenfold ? V::high_sixteenfold(v) : V::high(v);
}

/// Adds the products of R rows at x with C vectors of outputs. Two sets of sums: dwords 0, 2, .. of
/// a block of bytes go to the first one, or the first block of a pair.
template <class V, class K, Take take, int R, int C, int sets>
inline void add(const Byte* const* w, const Byte* x, size_t stride,
                typename V::Int (&sum)[sets][R][C]) {
  using Int = typename V::Int;
  constexpr int panels = panels_of<V>(C);
  constexpr bool all = take == Take::all;
  QB_UNROLL for (int j = 0; j < 8; ++j) {
    Int v[C];
    if (all || j % 2 == 0) {
      const size_t line = size_t(all ? j : take == Take::first ? j / 2 : 4 + j / 2);
      QB_UNROLL for (int p = 0; p < panels; ++p) prefetch(w[p] + K::kAhead + kLine * line);
    }
    QB_UNROLL for (int c = 0; c < C; ++c) v[c] =
        V::load(w[panel_of<V>(c)] + part<V>(c, 4) + kLine * size_t(j));
    if constexpr (K::bits == 8) {
      QB_UNROLL for (int r = 0; r < R; ++r) {
        const Int x0 = V::broadcast(x + size_t(r) * stride + 4 * j);
        QB_UNROLL for (int c = 0; c < C; ++c) sum[j % sets][r][c] =
            V::dot(sum[j % sets][r][c], v[c], x0);
      }
    } else {
      QB_UNROLL for (int c = 0; c < C; c += 2) {
        // Once: gcc would load for the low nibbles and again for the high ones.
        if constexpr (all) QB_UNROLL for (int i = 0; i < 2; ++i) v[c + i] = V::keep(v[c + i]);
        QB_UNROLL for (int second = take == Take::second; second < (take == Take::first ? 1 : 2);
                       ++second) {
          constexpr bool apart = K::per_block || sets == 2;
          Int half[2];
          QB_UNROLL for (int i = 0; i < 2; ++i) half[i] =
              block_of_pair<V, typename K::Codes, apart>(v[c + i], second);
          V::together(half);
          const Byte* const from = x + (all ? size_t(second) * kBlock : 0) + 4 * j;
          QB_UNROLL for (int r = 0; r < R; ++r) {
            const Int x0 = V::broadcast(from + size_t(r) * stride);
            QB_UNROLL for (int i = 0; i < 2; ++i) sum[second % sets][r][c + i] =
                V::dot(sum[second % sets][r][c + i], half[i], x0);
          }
        }
      }
    }
  }
}

/// A group's scales, `back` bytes before w.
template <class V, int C>
inline void load_scales(const Byte* const* w, size_t back, typename V::Float (&d)[C]) {
  QB_UNROLL for (int c = 0; c < C; ++c) d[c] =
      V::from_half(w[panel_of<V>(c)] - back + part<V>(c, sizeof(f16)));
}

/// few() for pairs of blocks with scales for groups: single if a group is a block, otherwise a pair
/// is of one group.
template <class V, class K, int R, int C, bool single>
[[gnu::noinline]] void few_pairs(const Call& call, const Byte* const* panel, const size_t* n,
                                 const Byte* x, float* y) {
  using Float = typename V::Float;
  constexpr int panels = panels_of<V>(C);
  constexpr bool grouped = !single && V::kGroups && R <= 4;
  constexpr int sets = 2 * R * C <= V::kPairSums ? 2 : 1;
  const size_t stride = call.x.stride;
  const Byte* s = x + call.x.scales;
  const Byte* w[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) w[p] = panel[p];
  typename V::Int sum[sets][R][C];
  Float d[sets][C], result[R][C], group[R][C];
  const auto clear = [](Float(&v)[R][C]) {
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) v[r][c] =
        V::zero_float();
  };
  const auto begin = [&](int second) {
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const auto start = V::broadcast(s + size_t(r) * stride + 8 * size_t(second) + sizeof(float));
      QB_UNROLL for (int c = 0; c < C; ++c) sum[second % sets][r][c] = start;
    }
  };
  const auto end = [&](int second) {
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const Float by = V::broadcast_float(s + size_t(r) * stride + 8 * size_t(second));
      QB_UNROLL for (int c = 0; c < C; ++c) {
        const Float v = V::to_float(sum[second % sets][r][c]);
        if constexpr (grouped)
          group[r][c] = V::fma(v, by, group[r][c]);
        else
          result[r][c] = V::fma(v, V::mul(d[single ? second % sets : 0][c], by), result[r][c]);
      }
    }
  };
  clear(result);
  for (size_t b = 0; b < call.blocks;) {
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      prefetch(w[p] + K::kAhead);
      w[p] += kLine;
    }
    size_t back = kLine;  // from the codes to their scales
    for (int g = 0; g < (single ? 1 : 2) && b < call.blocks; ++g) {
      // Before the codes: the hardware follows a stream better that is read in order.
      load_scales<V, C>(w, back, d[0]);
      if constexpr (single && sets == 2) load_scales<V, C>(w, back - kLine / 2, d[1]);
      clear(group);
      for (size_t i = 0; i < call.group_blocks; i += 2, b += 2, x += 2 * kBlock, s += 16) {
        begin(0);
        if constexpr (sets == 2) {
          begin(1);
          add<V, K, Take::all, R, C, sets>(w, x, stride, sum);
          end(0);
        } else {
          add<V, K, Take::first, R, C, sets>(w, x, stride, sum);
          end(0);
          if constexpr (single) load_scales<V, C>(w, back - kLine / 2, d[0]);
          begin(1);
          // Loaded once more: there are no registers to hold them in.
          QB_UNROLL for (int p = 0; p < panels; ++p) asm("" : "+r"(w[p]));
          add<V, K, Take::second, R, C, sets>(w, x + kBlock, stride, sum);
        }
        end(1);
        QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += 2 * K::kBytes;
        back += 2 * K::kBytes;
      }
      if constexpr (grouped)
        QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) result[r][c] =
            V::fma(group[r][c], d[0][c], result[r][c]);
      back -= kLine / 2;
    }
  }
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c)
      store<V>(call, y + size_t(r) * call.n, n[panel_of<V>(c)] + part<V>(c, 1), result[r][c]);
}

/// y[0..R) from rows at x, for the outputs of C vectors: panel[p] holds those from n[p] on.
template <class V, class K, int R, int C>
[[gnu::noinline]] void few(const Call& call, const Byte* const* panel, const size_t* n,
                           const Byte* x, float* y) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  constexpr int panels = panels_of<V>(C);
  constexpr bool grouped = V::kGroups && R <= 4;
  // Few rows have registers to spare: two sets make the chains of one scale per output half as
  // long, and save the high nibbles their shifts.
  constexpr int sets = R <= 3 && !K::per_block ? 2 : 1;
  static_assert(!K::kPairedBlocks || !K::per_block);
  const size_t stride = call.x.stride;
  const Byte* s = x + call.x.scales;
  const Byte* w[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) w[p] = panel[p];
  Int sum[sets][R][C];
  Float result[R][C];
  const auto begin = [&](const Byte* starts) {
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const Int start = V::broadcast(starts + size_t(r) * stride);
      QB_UNROLL for (int c = 0; c < C; ++c) {
        if constexpr (sets == 2) sum[1][r][c] = V::zero();
        sum[0][r][c] = start;
      }
    }
  };
  const auto total = [&](int r, int c) {
    if constexpr (sets == 1)
      return V::to_float(sum[0][r][c]);
    else if constexpr (K::bits == 4 && V::kSixteenfold)
      return V::to_float(V::add(sum[0][r][c], V::sixteenth(sum[1][r][c])));
    else
      return V::to_float(V::add(sum[0][r][c], sum[1][r][c]));
  };
  if constexpr (K::per_block) {
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) result[r][c] =
        V::zero_float();
    for (size_t b = 0; b < call.blocks;) {
      QB_UNROLL for (int p = 0; p < panels; ++p) {
        prefetch(w[p] + K::kAhead);
        w[p] += kLine;
      }
      size_t back = kLine;  // from the codes to their scales
      for (int half = 0; half < 2 && b < call.blocks; ++half) {
        Float d[C], group[R][C];
        QB_UNROLL for (int c = 0; c < C; ++c) d[c] =
            V::from_half(w[panel_of<V>(c)] - back + part<V>(c, sizeof(f16)));
        QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) group[r][c] =
            V::zero_float();
        for (size_t i = 0; i < call.group_blocks; ++i, ++b, x += kBlock, s += 8) {
          begin(s + sizeof(float));
          add<V, K, Take::all, R, C, sets>(w, x, stride, sum);
          QB_UNROLL for (int r = 0; r < R; ++r) {
            const Float by = V::broadcast_float(s + size_t(r) * stride);
            QB_UNROLL for (int c = 0; c < C; ++c) {
              if constexpr (grouped)
                group[r][c] = V::fma(total(r, c), by, group[r][c]);
              else
                result[r][c] = V::fma(total(r, c), V::mul(d[c], by), result[r][c]);
            }
          }
          QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += K::kBytes;
        }
        if constexpr (grouped)
          QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c) result[r][c] =
              V::fma(group[r][c], d[c], result[r][c]);
        back += call.group_blocks * K::kBytes - kLine / 2;
      }
    }
  } else {
    begin(x + call.x.sums);
    for (size_t b = 0; b < call.blocks; b += K::kTogether, x += K::kTogether * kBlock) {
      add<V, K, Take::all, R, C, sets>(w, x, stride, sum);
      QB_UNROLL for (int p = 0; p < panels; ++p) w[p] += K::kTogether * K::kBytes;
    }
    // Scales first: codes times a scale may be too large for a float that the output isn't.
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const Float by = V::broadcast_float(s + size_t(r) * stride);
      QB_UNROLL for (int c = 0; c < C; ++c) {
        const Float d = V::load_float(w[panel_of<V>(c)] + part<V>(c, sizeof(float)));
        result[r][c] = V::mul(total(r, c), V::mul(d, by));
      }
    }
  }
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < C; ++c)
      store<V>(call, y + size_t(r) * call.n, n[panel_of<V>(c)] + part<V>(c, 1), result[r][c]);
}

/// R rows, all outputs from n0 on.
template <class V, class K, int R>
inline void few_rows(const Call& call, const Byte* packed, size_t bytes, size_t n0, const Byte* x,
                     float* y) {
  constexpr int C = V::vectors(R, K::kPairedBlocks && K::per_block), panels = panels_of<V>(C);
  const auto take = [&](const Byte* const* w, const size_t* n) {
    if constexpr (!K::kPairedBlocks || !K::per_block)
      few<V, K, R, C>(call, w, n, x, y);
    else if (call.group_blocks == 1)
      few_pairs<V, K, R, C, true>(call, w, n, x, y);
    else
      few_pairs<V, K, R, C, false>(call, w, n, x, y);
  };
  const size_t all = (call.n1 - n0 + kPanel - 1) / kPanel;
  // An odd number of panels: streams a multiple of a large power of two apart would contend for the
  // same ways of a cache.
  const size_t each = all < 2 * panels ? all / panels : (all / panels - 1) | 1;
  const Byte* w[panels];
  size_t n[panels];
  for (size_t i = 0; i < each; ++i) {
    for (size_t p = 0; p < panels; ++p) {
      w[p] = packed + (p * each + i) * bytes;
      n[p] = n0 + (p * each + i) * kPanel;
    }
    take(w, n);
  }
  // The last one fills what is left over; a second result of it is not stored.
  for (size_t i = each * panels; i < all; i += panels) {
    for (size_t p = 0; p < panels; ++p) {
      w[p] = packed + least(i + p, all - 1) * bytes;
      n[p] = n0 + (i + p) * kPanel;
    }
    take(w, n);
  }
}

template <class V, class K, int R>
inline void any_few_rows(size_t rows, const Call& call, const Byte* packed, size_t bytes, size_t n0,
                         const Byte* x, float* y) {
  if constexpr (R > 0) {
    if (rows == R) return few_rows<V, K, R>(call, packed, bytes, n0, x, y);
    any_few_rows<V, K, R - 1>(rows, call, packed, bytes, n0, x, y);
  }
}

// --- Tiles -------------------------------------------------------------------------------------

constexpr int kWide = 2;  // vectors of outputs in a tile

/// What tiles multiply by the weights' scales: the sum of all of K, of every block, or of a group,
/// which takes registers for a third set of sums.
enum class Scaled { once, block, group };
template <Scaled scaled>
struct How {
  static constexpr Scaled value = scaled;
};

/// A piece of K of the panels that a tile takes.
template <class V>
struct Piece {
  static constexpr int panels = panels_of<V>(kWide);
  size_t blocks;
  bool first, last;            ///< of K
  const Byte* codes[panels];   ///< as in a panel, and scales if they belong to groups
  Byte* wide[panels];          ///< where the tile that meets nibbles puts them as bytes
  const Byte* scales[panels];  ///< if they don't: for the last piece
  const Byte* next[panels];    ///< what to prefetch,
  size_t next_line;            ///< and how far from each line to the next
  size_t n[panels];
};

/// Every fourth row has a pointer, the others are one, two and three strides from it.
inline const Byte* row_of(const Byte* const* fours, size_t stride, int r) {
  return fours[r / 4] + size_t(r % 4) * stride;
}

/// Adds the products of dword j of R rows with that of weights v.
template <class V, int R>
inline void add_dword(const Byte* const* xs, size_t stride, int j,
                      const typename V::Int (&v)[kWide], typename V::Int (&sum)[R][kWide]) {
  QB_UNROLL for (int r = 0; r < R; ++r) {
    const typename V::Int x0 = V::broadcast(row_of(xs, stride, r) + 4 * j);
    QB_UNROLL for (int c = 0; c < kWide; ++c) sum[r][c] = V::dot(sum[r][c], v[c], x0);
  }
}

/// R rows of x, from the piece's first block on, and of y; partial: their sums between pieces.
/// K: of the piece's codes. Those of 4 bits are left behind as bytes, for the tiles that follow.
template <class V, class K, Scaled scaled, int R>
[[gnu::noinline]] void tile(const Call& call, const Piece<V>& piece, const Byte* x, size_t b0,
                            Byte* partial, float* y) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  constexpr bool per_block = scaled != Scaled::once;
  constexpr int bits = K::bits, panels = Piece<V>::panels;
  constexpr size_t row_bytes = kWide * sizeof(Int);
  const size_t stride = call.x.stride, next_line = piece.next_line;
  constexpr int fours = (R + 3) / 4;
  const Byte *xs[fours], *ss[fours];
  QB_UNROLL for (int i = 0; i < fours; ++i) {
    const Byte* const row = x + 4 * size_t(i) * stride;
    xs[i] = row + b0 * kBlock;
    ss[i] = row + call.x.scales + (per_block ? b0 * 8 : 0);
  }
  const Byte *w[panels], *next[panels];
  Byte* wide[panels];
  QB_UNROLL for (int p = 0; p < panels; ++p) {
    w[p] = piece.codes[p];
    wide[p] = piece.wide[p];
    next[p] = piece.next[p];
  }
  const auto fetch_next = [&] {
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      prefetch<2>(next[p]);
      next[p] += next_line;
    }
  };
  Int sum[R][kWide];
  const auto begin = [&](size_t starts) {
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const Int start = V::broadcast(row_of(ss, stride, r) + starts);
      QB_UNROLL for (int c = 0; c < kWide; ++c) sum[r][c] = start;
    }
  };
  const auto add_blocks = [&](auto taken) {
    constexpr Take take = decltype(taken)::take;
    constexpr bool all = take == Take::all;
    constexpr size_t blocks = all && bits == 4 ? 2 : 1;
    QB_UNROLL for (int j = 0; j < 8; ++j) {
      Int v[kWide];
      if (take != Take::first) fetch_next();
      QB_UNROLL for (int c = 0; c < kWide; ++c) v[c] =
          V::load(w[panel_of<V>(c)] + part<V>(c, 4) + kLine * size_t(j));
      if constexpr (bits == 8)
        add_dword<V, R>(xs, stride, j, v, sum);
      else
        QB_UNROLL for (int second = take == Take::second; second < (take == Take::first ? 1 : 2);
                       ++second) {
          Int half[kWide];
          const int dword = all ? 8 * second + j : j;
          QB_UNROLL for (int c = 0; c < kWide; ++c) half[c] =
              block_of_pair<V, typename K::Codes, per_block>(v[c], second);
          V::together(half);
          QB_UNROLL for (int c = 0; c < kWide; ++c)
              V::store(wide[panel_of<V>(c)] + part<V>(c, 4) + kLine * size_t(dword), half[c]);
          add_dword<V, R>(xs, stride, dword, half, sum);
        }
    }
    // Or the sums that a pair's blocks leave, each in its own code, meet in memory.
    if constexpr (!all)
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) sum[r][c] =
          V::keep(sum[r][c]);
    QB_UNROLL for (int i = 0; i < fours; ++i) xs[i] += blocks * kBlock;
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      if constexpr (take != Take::first) w[p] += 8 * kLine;
      if constexpr (bits == 4) wide[p] += blocks * 8 * kLine;
    }
  };
  if constexpr (per_block) {
    Float result[R][kWide], group[R][kWide];
    const auto clear = [](Float(&v)[R][kWide]) {
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) v[r][c] =
          V::zero_float();
    };
    clear(result);
    if (!piece.first)
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) result[r][c] =
          V::load_float(partial + size_t(r) * row_bytes + size_t(c) * sizeof(Float));
    for (size_t b = 0; b < piece.blocks;) {
      fetch_next();
      QB_UNROLL for (int p = 0; p < panels; ++p) {
        if constexpr (bits == 4) {
          for (size_t i = 0; i < kLine; i += sizeof(Int)) V::store(wide[p] + i, V::load(w[p] + i));
          wide[p] += kLine;
        }
        w[p] += kLine;
      }
      size_t back = kLine;
      for (int half = 0; half < 2 && b < piece.blocks; ++half) {
        Float d[kWide];
        QB_UNROLL for (int c = 0; c < kWide; ++c) d[c] =
            V::from_half(w[panel_of<V>(c)] - back + part<V>(c, sizeof(f16)));
        if constexpr (scaled == Scaled::group) clear(group);
        for (size_t i = 0; i < call.group_blocks; ++i, ++b) {
          begin(sizeof(float));
          if constexpr (bits == 8)
            add_blocks(Taken<Take::all>{});
          else if (b % 2)
            add_blocks(Taken<Take::second>{});
          else
            add_blocks(Taken<Take::first>{});
          QB_UNROLL for (int r = 0; r < R; ++r) {
            const Float by = V::broadcast_float(row_of(ss, stride, r));
            QB_UNROLL for (int c = 0; c < kWide; ++c) {
              const Float v = V::to_float(sum[r][c]);
              if constexpr (scaled == Scaled::group)
                group[r][c] = V::fma(v, by, group[r][c]);
              else
                result[r][c] = V::fma(v, V::mul(d[c], by), result[r][c]);
            }
          }
          QB_UNROLL for (int i4 = 0; i4 < fours; ++i4) ss[i4] += 8;
        }
        if constexpr (scaled == Scaled::group)
          QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c)
              result[r][c] = V::fma(group[r][c], d[c], result[r][c]);
        // A pair of groups of one block each begins at the same place.
        back +=
            (bits == 4 && call.group_blocks == 1 ? 0 : call.group_blocks) * (size_t(bits) * kLine) -
            kLine / 2;
      }
    }
    if (piece.last)
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) store<V>(
          call, y + size_t(r) * call.n, piece.n[panel_of<V>(c)] + part<V>(c, 1), result[r][c]);
    else
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) V::store(
          reinterpret_cast<float*>(partial + size_t(r) * row_bytes + size_t(c) * sizeof(Float)),
          result[r][c]);
  } else {
    if (piece.first)
      begin(sizeof(float));
    else
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) sum[r][c] =
          V::load(partial + size_t(r) * row_bytes + size_t(c) * sizeof(Int));
    for (size_t b = 0; b < piece.blocks; b += 8 / size_t(bits)) {
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c) sum[r][c] =
          V::keep(sum[r][c]);
      add_blocks(Taken<Take::all>{});
    }
    if (piece.last) {
      Float d[kWide];
      QB_UNROLL for (int c = 0; c < kWide; ++c) d[c] =
          V::load_float(piece.scales[panel_of<V>(c)] + part<V>(c, sizeof(float)));
      QB_UNROLL for (int r = 0; r < R; ++r) {
        const Float by = V::broadcast_float(row_of(ss, stride, r));
        QB_UNROLL for (int c = 0; c < kWide; ++c)
            store<V>(call, y + size_t(r) * call.n, piece.n[panel_of<V>(c)] + part<V>(c, 1),
                     V::mul(V::to_float(sum[r][c]), V::mul(d[c], by)));
      }
    } else {
      QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int c = 0; c < kWide; ++c)
          V::store(partial + size_t(r) * row_bytes + size_t(c) * sizeof(Int), sum[r][c]);
    }
  }
}

/// A tile of `rows`, which is between least and R.
template <class V, class K, Scaled scaled, int R, int least_rows>
inline void any_tile(size_t rows, const Call& call, const Piece<V>& piece, const Byte* x, size_t b0,
                     Byte* partial, float* y) {
  if constexpr (R > least_rows)
    if (rows != R)
      return any_tile<V, K, scaled, R - 1, least_rows>(rows, call, piece, x, b0, partial, y);
  tile<V, K, scaled, R>(call, piece, x, b0, partial, y);
}

/// Rows of x and y, all outputs from n0 on.
template <class V, class K, Scaled scaled>
inline void tiles(const Call& call, const Byte* packed, size_t bytes, size_t n0, size_t rows,
                  const Byte* x, float* y) {
  constexpr int panels = Piece<V>::panels;
  constexpr int most = V::kTileRows / (scaled == Scaled::once    ? 1
                                       : scaled == Scaled::block ? 2
                                                                 : 3);
  constexpr int fewest = int(V::kFew) < most / 2 ? int(V::kFew) + 1 : (most + 1) / 2;
  constexpr size_t piece_bytes = kDepth * 8 * kLine + (K::per_block ? kDepth / 2 * kLine : 0);
  alignas(64) Byte partial[kMostRows * kWide * sizeof(typename V::Int)];
  alignas(64) Byte wide[K::bits == 4 ? panels * piece_bytes : 64];
  const size_t count = (rows + most - 1) / most;
  for (size_t n = n0; n < call.n1; n += size_t(panels) * kPanel) {
    const size_t i = (n - n0) / kPanel, last = (call.n1 - 1 - n0) / kPanel;
    size_t b0 = 0;
    do {
      Piece<V> piece;
      piece.blocks = least(call.blocks - b0, kDepth);
      piece.first = b0 == 0;
      piece.last = b0 + piece.blocks == call.blocks;
      const size_t at = b0 ? K::block(b0, call.group_blocks) - (K::per_block ? kLine : 0) : 0;
      const size_t end =
          at + (K::block(b0 + piece.blocks, call.group_blocks) - K::block(b0, call.group_blocks));
      for (size_t p = 0; p < size_t(panels); ++p) {
        const Byte* const panel = packed + least(i + p, last) * bytes;
        piece.n[p] = n + p * kPanel;
        piece.scales[p] = K::per_block ? nullptr : panel + bytes - kLine;
        piece.codes[p] = panel + at;
        piece.next[p] = piece.last ? panel + size_t(panels) * bytes : panel + end;
        piece.wide[p] = K::bits == 4 ? wide + p * piece_bytes : nullptr;
      }
      piece.next_line = kLine;
      const auto rows_from = [&](auto kind, size_t t) {
        const size_t r0 = rows * t / count, r1 = rows * (t + 1) / count;
        any_tile<V, decltype(kind), scaled, most, fewest>(
            r1 - r0, call, piece, x + r0 * call.x.stride, b0,
            partial + r0 * (kWide * sizeof(typename V::Int)), y + r0 * call.n);
      };
      rows_from(K{}, 0);
      piece.next_line = 0;
      if constexpr (K::bits == 4)
        for (size_t p = 0; p < size_t(panels); ++p) piece.codes[p] = piece.wide[p];
      for (size_t t = 1; t < count; ++t) rows_from(Kind<Bytes, typename K::Scale>{}, t);
      b0 += kDepth;
    } while (b0 < call.blocks);
  }
}

// --- The record --------------------------------------------------------------------------------

template <class V, class F>
void run(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
         size_t n0, size_t n1, void* out) {
  using K = Kind<typename F::Codes, typename F::Scale>;
  Call call;
  const size_t k = padded<K>(w.k);
  call.blocks = blocks_of(k);
  call.group_blocks = F::per_group ? w.group / kBlock : call.blocks;
  call.x = row_layout(k, F::per_group);
  call.n = w.n;
  call.n1 = n1;
  const size_t bytes = K::bytes(w.k, w.group);
  const Byte* const panels = static_cast<const Byte*>(packed) + n0 / kPanel * bytes;
  const Byte* const x = static_cast<const Byte*>(workspace);
  float* const y = static_cast<float*>(out);
  if (m <= V::kFew) return any_few_rows<V, K, V::kFew>(m, call, panels, bytes, n0, x, y);
  size_t most = least(kRowBytes / (call.x.stride + 1), kMostRows);  // no stride where k is 0
  if (most < 2 * V::kTileRows) most = 2 * V::kTileRows;
  const size_t chunks = (m + most - 1) / most;
  for (size_t i = 0; i < chunks; ++i) {
    const size_t m0 = m * i / chunks, m1 = m * (i + 1) / chunks;
    const auto rows = [&](auto scaled) {
      tiles<V, K, decltype(scaled)::value>(call, panels, bytes, n0, m1 - m0, x + m0 * call.x.stride,
                                           y + m0 * w.n);
    };
    if constexpr (!K::per_block) {
      rows(How<Scaled::once>{});
    } else if constexpr (V::kGroups) {
      if (call.group_blocks > 1)
        rows(How<Scaled::group>{});
      else
        rows(How<Scaled::block>{});
    } else {
      rows(How<Scaled::block>{});
    }
  }
}

template <class V, class F>
constexpr Kernel kernel_of() {
  using K = Kind<typename F::Codes, typename F::Scale>;
  return {.n_step = 2 * kPanel,
          .packed_bytes = packed_bytes<K>,
          .pack = pack<F, K>,
          .unpack = unpack<F, K>,
          .workspace_bytes = workspace_bytes<K, F::per_group>,
          .m_step = 1,
          .prepare = V::template prepare<K>,
          .run = run<V, F>};
}

}  // namespace
}  // namespace qb::matmul
