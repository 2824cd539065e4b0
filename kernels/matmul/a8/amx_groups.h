// SPDX-License-Identifier: Apache-2.0
// Products by AMX of weights with a scale per group.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/amx_nibbles.h"

namespace qb::matmul {
namespace {

// Strip of 16 outputs: for each block of 32 its tile (8 rows of four codes of each output; 4-bit:
// K+0..15 in the low nibbles, K+16..31 in the high ones); then for each group 16 f16 scales, or 16
// f32 scales and as many minima. Groups of 16, half a block's, have tiles of their own, the first
// four and the other four rows of the block's.

constexpr size_t kBlocks = AmxBudget::kStripBlocks;  // of a strip that are multiplied at a time
constexpr size_t kBlockTile = kTile / 2;             // bytes
constexpr size_t kSquare = kRows * kStrip;           // sums of a tile
/// Of a block of 16 rows' activations: codes, f32 scales, and what minima are multiplied with: sums
/// of codes times their scale.
template <bool minimum>
constexpr size_t kRowBlock = kBlockTile + (minimum ? 2 : 1) * kLine;

template <class F>
struct Grouped {
  static constexpr size_t unit = kBlockTile * F::Codes::bits / 8;
  static constexpr size_t scales = kStrip * sizeof(typename F::Scale);
  static size_t strip(size_t k, size_t group) {
    return k / kBlock * unit + quotient_up(k / group * scales, kLine) * kLine;
  }

  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    return quotient_up(n, kStrip) * strip(k, group);
  }

  static void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
    for (size_t n = n0; n < n1; n += kStrip) {
      Byte* out = static_cast<Byte*>(packed) + n / kStrip * strip(w.k, w.group);
      for (size_t k = 0; k < w.k; k += kBlock, out += unit) {
        Byte rows[kTile];
        for (size_t c = 0; c < kStrip; ++c)
          store(rows + c * kLine, codes_of<F>(w, n + c, k, kBlock));
        __m512i v[16];
        transpose(rows, kLine, v);
        for (size_t j = 0; j < (F::Codes::bits == 8 ? 8 : 4); ++j)
          store(out + j * kLine, F::Codes::bits == 8 ? v[j] : encode_nibbles(v[j], v[4 + j]));
      }
      for (size_t g = 0; g < w.k / w.group; ++g, out += scales) put_scales<F>(w, n, g, kStrip, out);
    }
  }

  static void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1,
                     void* codes) {
    for (size_t n = n0; n < n1; ++n)
      for (size_t i = 0; i < k; ++i) {
        const size_t within = i % kBlock, row = within / 4;
        const Byte* const tile =
            static_cast<const Byte*>(packed) + n / kStrip * strip(k, group) + i / kBlock * unit;
        const size_t at = row % (unit / kLine) * kLine + n % kStrip * 4 + within % 4;
        int byte = tile[at];
        if constexpr (F::Codes::bits == 4)
          byte = F::Codes::value(row < 4 ? tile[at] & 15 : tile[at] >> 4);
        static_cast<std::int8_t*>(codes)[n * k + i] = static_cast<std::int8_t>(byte);
      }
  }
};

/// A scale for every block, as q8_0; four blocks of a row at a time.
template <bool minimum>
void prepare_blocks(const void* x, size_t m, size_t k, size_t, size_t m0, size_t m1,
                    void* workspace) {
  const size_t blocks = k / kBlock;
  Byte* const tiles = static_cast<Byte*>(workspace);
  for (size_t row = m0; row < m1; ++row) {
    const float* from = static_cast<const float*>(x) + row * k;
    Byte* const to = tiles + row / kRows * blocks * kRowBlock<minimum>;
    for (size_t b = 0; b < blocks; b += 4, from += 4 * kBlock) {
      const size_t count = least(4, blocks - b);
      __m512 v[8], largest[4];
      QB_UNROLL for (size_t i = 0; i < 4; ++i) {
        const __mmask16 there = i < count ? 0xffff : 0;
        v[2 * i] = _mm512_maskz_loadu_ps(there, from + 32 * i);
        v[2 * i + 1] = _mm512_maskz_loadu_ps(there, from + 32 * i + 16);
        largest[i] = larger(v[2 * i], v[2 * i + 1]);
      }
      // A maximum of each block in four lanes, in each 128 bits; then in all of them.
      const __m512 low = _mm512_max_ps(_mm512_unpacklo_ps(largest[0], largest[1]),
                                       _mm512_unpackhi_ps(largest[0], largest[1]));
      const __m512 high = _mm512_max_ps(_mm512_unpacklo_ps(largest[2], largest[3]),
                                        _mm512_unpackhi_ps(largest[2], largest[3]));
      __m512 most = _mm512_max_ps(
          _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(low), _mm512_castps_pd(high))),
          _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(low), _mm512_castps_pd(high))));
      most = _mm512_max_ps(most, _mm512_shuffle_f32x4(most, most, 0x4e));
      most = _mm512_max_ps(most, _mm512_shuffle_f32x4(most, most, 0xb1));
      const __m128 scale = _mm_div_ps(_mm512_castps512_ps128(most), _mm_set1_ps(127.0f));
      const __m128 inverse = _mm_div_ps(_mm_set1_ps(1.0f), scale);
      const __mmask8 finite = _mm_cmp_ps_mask(inverse, _mm_set1_ps(kLargestFloat), _CMP_LE_OQ);
      alignas(16) float scales[4], inverses[4];
      _mm_store_ps(scales,
                   _mm_maskz_cvtph_ps(finite, _mm_cvtps_ph(scale, _MM_FROUND_TO_NEAREST_INT)));
      _mm_store_ps(inverses, _mm_maskz_mov_ps(finite, inverse));
      for (size_t i = 0; i < count; i += 2) {
        __m512i q[4];
        QB_UNROLL for (size_t j = 0; j < 4; ++j) q[j] =
            HalfAway::round(_mm512_mul_ps(v[2 * i + j], _mm512_set1_ps(inverses[i + j / 2])));
        const __m512i codes = narrow64(q[0], q[1], q[2], q[3]);
        QB_UNROLL for (size_t j = 0; j < 2; ++j) if (i + j < count) {
          Byte* const block = to + (b + i + j) * kRowBlock<minimum>;
          _mm256_storeu_si256(
              reinterpret_cast<__m256i*>(block + row % kRows * kBlock),
              j ? _mm512_extracti64x4_epi64(codes, 1) : _mm512_castsi512_si256(codes));
          float* const numbers = reinterpret_cast<float*>(block + kBlockTile) + row % kRows;
          numbers[0] = scales[i + j];
          if constexpr (minimum) {
            const __m512i pairs = _mm512_maddubs_epi16(_mm512_set1_epi8(1), codes);
            const __m512i fours = _mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
            numbers[kRows] =
                float(_mm512_mask_reduce_add_epi32(j ? 0xff00 : 0x00ff, fours)) * scales[i + j];
          }
        }
      }
    }
  }
  if (m1 != m) return;
  for (size_t row = m; row % kRows; ++row)
    for (size_t b = 0; b < blocks; ++b) {
      Byte* const block = tiles + (row / kRows * blocks + b) * kRowBlock<minimum>;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(block + row % kRows * kBlock),
                          _mm256_setzero_si256());
      for (size_t at = kBlockTile; at < kRowBlock<minimum>; at += kLine)
        reinterpret_cast<float*>(block + at)[row % kRows] = 0.0f;
    }
}

template <bool minimum>
size_t workspace_bytes_blocks(size_t m, size_t, size_t k, size_t) {
  return quotient_up(m, kRows) * (k / kBlock) * kRowBlock<minimum>;
}

/// Blocks of a strip made ready while the ones before them are multiplied: codes decoded (or
/// fetched), scales and minima as floats.
template <class F>
struct NextBlocks {
  static constexpr int bits = F::Codes::bits;
  static constexpr bool minimum = kHasMinimum<typename F::Scale>;
  /// Groups in a block, if not the other way round.
  static constexpr size_t units = kBlock / kUnitOf<typename F::Scale>;
  /// Whether a block has two floats for each output.
  static constexpr bool pairs = minimum || units > 1;
  const Byte* codes;     ///< of the strip
  const Byte* scales;    ///< likewise
  unsigned group_shift;  ///< blocks to groups
  size_t block, end;
  Byte* to;
  float* scales_to;
  size_t due, of, share;

  [[gnu::always_inline]] void next() {
    constexpr size_t unit = kBlockTile * bits / 8;
    const Byte* const from = codes + block * unit;
    // The block after the next, of what is decoded: the next itself is read here.
    QB_UNROLL for (size_t line = 0; line < unit; line += kLine) if constexpr (bits == 4) {
      _mm_prefetch(reinterpret_cast<const char*>(from + kBlocks * unit + line), _MM_HINT_T0);
      if constexpr (kIsUnsigned<typename F::Codes>)
        split_nibbles(from + line, to + line, to + kBlockTile / 2 + line);
      else if constexpr (kIsTable<typename F::Codes>)
        look_up_nibbles<typename F::Codes>(from + line, to + line, to + kBlockTile / 2 + line);
      else
        decode_nibbles(from + line, to + line, to + kBlockTile / 2 + line);
    }
    else _mm_prefetch(reinterpret_cast<const char*>(from + line), _MM_HINT_T1);
    const Byte* const group = scales + (block >> group_shift) * units * Grouped<F>::scales;
    if constexpr (minimum) {
      _mm512_storeu_ps(scales_to, _mm512_loadu_ps(group));
      scales_to += kStrip;
      _mm512_storeu_ps(scales_to, _mm512_loadu_ps(group + kLine));
    } else if constexpr (units > 1) {
      _mm512_storeu_ps(scales_to, group_scales<typename F::Scale>(group));
      scales_to += kStrip;
      _mm512_storeu_ps(scales_to, group_scales<typename F::Scale>(group + Grouped<F>::scales));
    } else {
      const __m512 d = group_scales<typename F::Scale>(group);
      constexpr bool sixteenfold = __is_same(typename F::Codes, Nibbles);
      _mm512_storeu_ps(scales_to, sixteenfold ? _mm512_mul_ps(d, _mm512_set1_ps(0.0625f)) : d);
    }
    if constexpr (bits == 4) to += kBlockTile;
    scales_to += kStrip;
    ++block;
  }
  [[gnu::always_inline]] void step() {
    for (due += share; due >= of && block < end; due -= of) next();
  }
  void rest() {
    while (block < end) next();
  }
};

/// Where a strip's outputs go, or its sums wait.
struct StripOutput {
  float* y;
  size_t n;     ///< row length
  size_t rows;  ///< that there are
  __mmask16 mask;
  bool stream;

  [[gnu::always_inline]] void store(size_t row, __m512 v) const {
    if (row >= rows) return;
    if (stream)
      _mm512_stream_ps(y + row * n, v);
    else
      _mm512_mask_storeu_ps(y + row * n, mask, v);
  }
};

/// The tiles of 16 rows, and of the rows that are left over.
#define QB_BLOCK_TILES(Name, a, even, odd)                          \
  struct Name {                                                     \
    static void load_rows(const Byte* p) { _tile_loadd(a, p, 32); } \
    template <bool is_odd>                                          \
    static void multiply() {                                        \
      if constexpr (is_odd) {                                       \
        _tile_zero(odd);                                            \
        _tile_dpbssd(odd, a, 6);                                    \
      } else {                                                      \
        _tile_zero(even);                                           \
        _tile_dpbssd(even, a, 6);                                   \
      }                                                             \
    }                                                               \
    template <bool is_odd>                                          \
    static void put(std::int32_t* p) {                              \
      if constexpr (is_odd)                                         \
        _tile_stored(odd, p, 64);                                   \
      else                                                          \
        _tile_stored(even, p, 64);                                  \
    }                                                               \
  };
QB_BLOCK_TILES(WholeTile, 4, 0, 1)
QB_BLOCK_TILES(PartTile, 5, 2, 3)

/// R rows of activations at a times a strip's blocks at b, whose scales are at d. Three stages at
/// once: block i is multiplied, the sums of i-1 are stored, those of i-2 converted, scaled and
/// added.
template <int R, class Tiles, class Next>
[[gnu::noinline]] void strip_blocks(const Byte* a, const Byte* b, const float* d, size_t blocks,
                                    float* waiting, bool fresh, const StripOutput* output,
                                    Next& shared) {
  constexpr size_t row_block = kRowBlock<Next::minimum>, units = Next::units;
  blocks *= units;  // tiles from here on
  alignas(64) std::int32_t sums[2][kSquare];
  Next next = shared;
  __m512 total[R];
  QB_UNROLL for (int r = 0; r < R; ++r) total[r] =
      fresh ? _mm512_setzero_ps() : _mm512_loadu_ps(waiting + size_t(r) * kStrip);
  const auto stage = [&](auto odd, size_t i) __attribute__((always_inline)) {
    constexpr bool is_odd = decltype(odd)::value;
    if (i < blocks) {
      Tiles::load_rows(a + i / units * row_block + i % units * (kBlock / units));
      _tile_loadd(6, b + i * (kBlockTile / units), kLine);
      Tiles::template multiply<is_odd>();
    }
    if (i - 1 < blocks) Tiles::template put<!is_odd>(sums[!is_odd]);
    if (i - 2 < blocks) {
      const float* const scales = d + (i - 2) * (Next::minimum ? 2 : 1) * kStrip;
      const __m512 weights = _mm512_loadu_ps(scales);
      const float* const rows =
          reinterpret_cast<const float*>(a + (i - 2) / units * row_block + kBlockTile);
      QB_UNROLL for (int r = 0; r < R; ++r) total[r] =
          _mm512_fmadd_ps(_mm512_cvtepi32_ps(load(sums[is_odd] + size_t(r) * kStrip)),
                          _mm512_mul_ps(weights, _mm512_set1_ps(rows[r])), total[r]);
      if constexpr (Next::minimum)
        QB_UNROLL for (int r = 0; r < R; ++r) total[r] = _mm512_fnmadd_ps(
            _mm512_loadu_ps(scales + kStrip), _mm512_set1_ps(rows[int(kRows) + r]), total[r]);
    }
    next.step();
  };
  for (size_t i = 0; i < blocks + 2; i += 2) {
    stage(Truth<false>{}, i);
    stage(Truth<true>{}, i + 1);
  }
  QB_UNROLL for (int r = 0; r < R; ++r) {
    if (output)
      output->store(size_t(r), total[r]);
    else
      _mm512_storeu_ps(waiting + size_t(r) * kStrip, total[r]);
  }
  shared = next;
}

template <class F>
void run_grouped(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
                 size_t n0, size_t n1, void* out) {
  using G = Grouped<F>;
  constexpr bool minimum = kHasMinimum<typename F::Scale>;
  constexpr size_t row_block = kRowBlock<minimum>;
  if (m == 0 || n0 >= n1) return;
  alignas(64) Byte decoded[2][F::Codes::bits == 4 ? kBlocks * kBlockTile : kLine];
  constexpr size_t units = NextBlocks<F>::units;
  alignas(64) float scales[2][(NextBlocks<F>::pairs ? 2 : 1) * kBlocks * kStrip];
  alignas(64) float waiting[kBlockRows / kRows][kSquare];
  const size_t blocks = w.k / kBlock, bytes = G::strip(w.k, w.group);
  const size_t parts = blocks ? quotient_up(blocks, kBlocks) : 1;
  const bool stream = streams(w, G::packed_bytes(w.n, w.k, w.group), m, out);
  const size_t chunk = chunk_of(m, kRows, blocks * row_block / kRows);
  for (size_t m0 = 0; m0 < m; m0 += chunk) {
    const size_t rows = least(chunk, m - m0), tiles = quotient_up(rows, kRows);
    const size_t left = rows - (tiles - 1) * kRows,
                 part_rows = left == 1 ? 1 : quotient_up(left, 4) * 4;
    configure(kRows, part_rows, kBlock / units);
    const Byte* const a0 = static_cast<const Byte*>(workspace) + m0 / kRows * blocks * row_block;
    NextBlocks<F> next = {};
    next.group_shift = w.group >= 4 * kBlock ? 2u : w.group >= 2 * kBlock ? 1u : 0u;
    int buffer = 0;
    const auto prepare = [&](size_t n, size_t b, size_t steps) {
      next.codes = static_cast<const Byte*>(packed) + n / kStrip * bytes;
      next.scales = next.codes + blocks * G::unit;
      next.block = b;
      next.end = least(b + kBlocks, blocks);
      next.to = decoded[buffer];
      next.scales_to = scales[buffer];
      next.due = 0;
      next.of = steps;
      next.share = next.end - b;
    };
    prepare(n0, 0, 1);
    next.rest();
    for (size_t n = n0; n < n1; n += kStrip)
      for (size_t p = 0; p < parts; ++p) {
        const size_t b0 = p * kBlocks, count = least(kBlocks, blocks - b0);
        const bool last = p + 1 == parts;
        const Byte* const codes = F::Codes::bits == 4 ? decoded[buffer]
                                                      : static_cast<const Byte*>(packed) +
                                                            n / kStrip * bytes + b0 * kBlockTile;
        const float* const d = scales[buffer];
        stored(codes);
        buffer ^= 1;
        const size_t steps = tiles * (count * units + 2);
        if (!last)
          prepare(n, b0 + kBlocks, steps);
        else if (n + kStrip < n1)
          prepare(n + kStrip, 0, steps);
        for (size_t t = 0; t < tiles; ++t) {
          const size_t here = least(kRows, rows - t * kRows);
          const StripOutput output = {static_cast<float*>(out) + (m0 + t * kRows) * w.n + n, w.n,
                                      here, static_cast<__mmask16>(first(n1 - n)),
                                      stream && n1 - n >= kStrip};
          const auto go = [&](auto multiply) {
            multiply(a0 + (t * blocks + b0) * row_block, codes, d, count, waiting[t], p == 0,
                     last ? &output : nullptr, next);
          };
          using Next = NextBlocks<F>;
          if (here > 12)
            here == kRows ? go(strip_blocks<16, WholeTile, Next>)
                          : go(strip_blocks<16, PartTile, Next>);
          else if (here > 8)
            go(strip_blocks<12, PartTile, Next>);
          else if (here > 4)
            go(strip_blocks<8, PartTile, Next>);
          else if (here > 1)
            go(strip_blocks<4, PartTile, Next>);
          else
            go(strip_blocks<1, PartTile, Next>);
        }
        next.rest();
      }
  }
  _tile_release();
  if (stream) _mm_sfence();
}

template <class F>
constexpr Kernel grouped_kernel() {
  return {.n_step = kStrip,
          .packed_bytes = Grouped<F>::packed_bytes,
          .pack = Grouped<F>::pack,
          .unpack = Grouped<F>::unpack,
          .workspace_bytes = workspace_bytes_blocks<kHasMinimum<typename F::Scale>>,
          .m_step = kRows,
          .prepare = prepare_blocks<kHasMinimum<typename F::Scale>>,
          .run = run_grouped<KindsOf<F>>};
}

}  // namespace
}  // namespace qb::matmul
