// SPDX-License-Identifier: Apache-2.0
// Products by AMX tiles, as a8 and abf16 share them: blocking, overlap, and the layouts that tiles
// ask for.
//
// A tile is 16 rows of 64 bytes. A step is 64 bytes of K (64 codes, or 32 bf16): for 16 rows of
// activations one tile, for 16 outputs another. A product's first factor has K along its rows, the
// second four bytes of K of each of its 16; either can be the weights. A product takes the unit 16
// cycles and a load 8, so that a 2x2 square of sums (32 rows, a panel of 32 outputs) loads four
// tiles in 32 cycles while it multiplies for 64. One row of tiles would wait for its own sums (52
// cycles for 32 of work), so there odd steps have sums of their own, added at the end.
//
// Activations are stored tile by tile, and as many rows are taken at a time as stay in L2. A block
// of kDepth steps of a panel (16 KiB of weights in L1) meets all of them before the next one does;
// sums wait in between. What else is to do is spread over the steps, in the shadow of the products:
// decoding, or fetching, the next block's weights, and turning the last square's sums into output.
//
// What a step of a square moves in its 64 cycles, then: 2 KiB of weights from L1, 2 KiB of
// activations from L2, and with more than one square 1 KiB of sums to L2 and back, 48 bytes a cycle
// of the 64 that L2 could give. Longer blocks would move fewer sums, but not stay in L1 (48 KiB)
// beside as many activations. Weights come from farther off once for every chunk of rows: 32 bytes
// a cycle (packed as they are multiplied) for 32 rows, 4 for 256.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "core/budgets.h"
#include "core/stream.h"
#include "matmul/amx_registers.h"
#include "matmul/rows_avx512.h"

namespace qb::matmul {
namespace {

constexpr size_t kDepth = AmxBudget::kSteps;     // in a block
constexpr size_t kBlockRows = AmxBudget::kRows;  // whose sums wait
constexpr size_t kActivationBytes = AmxBudget::kActivationsInL2;

// --- Layouts -----------------------------------------------------------------------------------

/// Bytes of activations of 16 rows.
constexpr size_t row_tiles(size_t steps) { return steps * kTile; }

constexpr size_t activation_bytes(size_t m, size_t steps) {
  return quotient_up(m, kRows) * row_tiles(steps);
}

/// Zeros where the last tiles of m rows have none.
inline void clear_missing_rows(Byte* tiles, size_t m, size_t steps) {
  for (size_t row = m; row % kRows; ++row)
    for (size_t s = 0; s < steps; ++s)
      store(tiles + row / kRows * row_tiles(steps) + s * kTile + row % kRows * kLine,
            _mm512_setzero_si512());
}

/// 16 lines of 16 dwords at `rows`, turned: dword i of line j goes to dword j of register i. Lanes
/// are gathered by loads, which any vector port merges, where shuffles would wait for one.
inline void transpose(const void* rows, size_t stride, __m512i (&v)[16]) {
  stored(rows);  // or the compiler takes lanes out of the registers that were stored
  const auto lane = [&](size_t row, size_t quarter) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(static_cast<const Byte*>(rows) +
                                                            row * stride + quarter * 16));
  };
  QB_UNROLL for (size_t c = 0; c < 4; ++c) {
    __m512i q[4];  // q[j]: dwords 4c..4c+3 of lines j, 4+j, 8+j and 12+j
    QB_UNROLL for (size_t j = 0; j < 4; ++j) {
      q[j] = _mm512_castsi128_si512(lane(j, c));
      q[j] = _mm512_mask_broadcast_i32x4(q[j], 0x00f0, lane(4 + j, c));
      q[j] = _mm512_mask_broadcast_i32x4(q[j], 0x0f00, lane(8 + j, c));
      q[j] = _mm512_mask_broadcast_i32x4(q[j], 0xf000, lane(12 + j, c));
    }
    const __m512i low01 = _mm512_unpacklo_epi32(q[0], q[1]);
    const __m512i high01 = _mm512_unpackhi_epi32(q[0], q[1]);
    const __m512i low23 = _mm512_unpacklo_epi32(q[2], q[3]);
    const __m512i high23 = _mm512_unpackhi_epi32(q[2], q[3]);
    v[4 * c] = _mm512_unpacklo_epi64(low01, low23);
    v[4 * c + 1] = _mm512_unpackhi_epi64(low01, low23);
    v[4 * c + 2] = _mm512_unpacklo_epi64(high01, high23);
    v[4 * c + 3] = _mm512_unpackhi_epi64(high01, high23);
  }
}

// --- The walk ----------------------------------------------------------------------------------

// A class W says what the weights are and what becomes of the sums:
//
//   Products                     QB_TILE_PRODUCTS
//   kTurned                      whether weights are the first factor, sums outputs by rows
//   kDecodes                     whether tiles must be made of the packed weights
//   kUnit                        bytes of a packed tile
//   Panel                        of a panel, given its packed bytes: tile(u), the u'th tile as
//                                packed (even: outputs 0-15), and decode(u, to)
//   Output                       pieces(rows) of a finished square, store<split>(sums, piece)

/// What is done while tiles multiply: units of the next block's weights, and pieces of the last
/// square's output.
template <class W>
struct Meanwhile {
  typename W::Panel panel = {};  ///< of the next block
  size_t unit = 0, units = 0;    ///< its next tile, and where it ends
  Byte* to = nullptr;            ///< where decoded tiles go
  size_t due = 0, of = 1, share = 0;

  typename W::Output output = {};
  const std::int32_t* sums = nullptr;
  size_t piece = 0, pieces = 0, pieces_a_step = 0;
  bool split = false;

  /// [begin, end): tiles of the panel; over the next `steps` steps.
  void prepare(const typename W::Panel& next, size_t begin, size_t end, Byte* decoded,
               size_t steps) {
    panel = next;
    unit = begin;
    units = end;
    to = decoded;
    due = 0;
    of = steps;
    share = end - begin;
  }
  void finish(const std::int32_t* square, const typename W::Output& out, size_t rows, bool in_two) {
    output = out;
    sums = square;
    piece = 0;
    pieces = W::Output::pieces(rows);
    split = in_two;
  }

  [[gnu::always_inline]] void next_unit() {
    if constexpr (W::kDecodes) {
      panel.decode(unit, to);
      to += kTile;
    } else {
      const Byte* const p = panel.tile(unit);
      for (size_t line = 0; line < W::kUnit; line += kLine)
        _mm_prefetch(reinterpret_cast<const char*>(p + line), _MM_HINT_T1);
    }
    ++unit;
  }
  [[gnu::always_inline]] void next_piece() {
    if (split)
      output.template store<true>(sums, piece);
    else
      output.template store<false>(sums, piece);
    ++piece;
  }
  [[gnu::always_inline]] void step() {
    for (due += share; due >= of && unit < units; due -= of) next_unit();
    for (size_t i = 0; i < pieces_a_step && piece < pieces; ++i) next_piece();
  }
  void rest_of_pieces() {
    while (piece < pieces) next_piece();
  }
  void rest_of_units() {
    while (unit < units) next_unit();
  }
};

/// Rows of activations to take at a time, a multiple of `step`: as many as stay in L2, and about
/// the same number each time, since few of them leave the unit waiting for weights.
inline size_t chunk_of(size_t m, size_t step, size_t row_bytes) {
  const size_t most = row_bytes ? kActivationBytes / row_bytes : kBlockRows;
  const size_t chunks = quotient_up(m, most < step ? step : least(most / step * step, kBlockRows));
  return quotient_up(quotient_up(m, chunks), step) * step;
}

/// Multiplies `count` steps of K, from step s0 on, of rows a0 with a panel's weights, square by
/// square. Sums wait in `sums` from one block to the next; output_at(q) takes square q's if this
/// block is the last one of K.
template <class W, class OutputAt>
inline void multiply_squares(const Byte* a0, size_t rows, size_t steps, size_t s0, size_t count,
                             const Byte* weights, bool last, std::int32_t (*sums)[kSums],
                             Meanwhile<W>& meanwhile, const OutputAt& output_at) {
  constexpr size_t square = 2 * kRows;
  const size_t squares = quotient_up(rows, square);
  for (size_t q = 0; q < squares; ++q) {
    const size_t left = rows - q * square;
    const Byte* const a = a0 + 2 * q * row_tiles(steps) + s0 * kTile;
    if (s0 == 0)
      zero_sums();
    else if (squares > 1)
      load_sums(sums[q]);
    if (left > kRows)
      two_rows_of_tiles<typename W::Products>(a, row_tiles(steps), weights, count, meanwhile);
    else
      one_row_of_tiles<typename W::Products>(a, weights, count, meanwhile);
    if (last || squares > 1) store_sums(sums[q]);
    if (last) meanwhile.finish(sums[q], output_at(q), least(left, square), left <= kRows);
  }
}

/// Tiles as large as the rows: what one square has no rows for costs nothing.
template <class W>
inline void configure_rows(size_t rows) {
  const size_t upper = least(rows, kRows);
  const size_t lower = rows > 2 * kRows ? kRows : rows > kRows ? rows - kRows : rows;
  if constexpr (W::kTurned)
    configure_turned(upper, lower);
  else
    configure(upper, lower, kLine);
}

/// y[0..m, n0..n1). `steps` of K, activations in tiles. panel(n): the Panel of outputs [n, n+32);
/// output(m, n, columns): the Output of the square at row m and output n, with so many columns.
template <class W, class PanelOf, class OutputOf>
void walk(const Byte* activations, size_t m, size_t steps, size_t n0, size_t n1,
          const PanelOf& panel_of, const OutputOf& output_of) {
  constexpr size_t square = 2 * kRows;
  alignas(64) Byte decoded[2][W::kDecodes ? kDepth * 2 * kTile : kLine];
  alignas(64) std::int32_t sums[kBlockRows / square][kSums];
  if (m == 0 || n0 >= n1) return;
  const size_t chunk = chunk_of(m, square, steps * kLine);
  for (size_t m0 = 0; m0 < m; m0 += chunk) {
    const size_t rows = least(chunk, m - m0), squares = quotient_up(rows, square);
    // Of one square, whose sums stay where they are, shorter blocks cost nothing, and two of them
    // decoded and the activations stay in L1.
    const size_t depth = W::kDecodes && squares == 1 ? kDepth / 2 : kDepth;
    const size_t blocks = steps ? quotient_up(steps, depth) : 1;
    const Byte* const a0 = activations + m0 / kRows * row_tiles(steps);
    configure_rows<W>(rows);
    Meanwhile<W> meanwhile;
    int buffer = 0;
    meanwhile.prepare(panel_of(n0), 0, 2 * least(steps, depth), decoded[0], 1);
    meanwhile.rest_of_units();
    for (size_t n = n0; n < n1; n += kPanel)
      for (size_t b = 0; b < blocks; ++b) {
        const size_t s0 = b * depth, count = least(depth, steps - s0), shares = squares * count;
        const bool last = b + 1 == blocks;
        const typename W::Panel here = panel_of(n);
        const Byte* weights;
        if constexpr (W::kDecodes) {
          weights = decoded[buffer];
          stored(weights);
        } else {
          weights = here.tile(2 * s0);
        }
        buffer ^= 1;
        Byte* const to = decoded[buffer];
        if (!last)
          meanwhile.prepare(here, 2 * (s0 + depth), 2 * least(steps, s0 + 2 * depth), to, shares);
        else if (n + kPanel < n1)
          meanwhile.prepare(panel_of(n + kPanel), 0, 2 * least(steps, depth), to, shares);
        else
          meanwhile.prepare(here, 0, 0, nullptr, 1);
        meanwhile.pieces_a_step = count ? quotient_up(W::Output::pieces(square), count) : 0;
        multiply_squares(a0, rows, steps, s0, count, weights, last, sums, meanwhile, [&](size_t q) {
          return output_of(m0 + q * square, n, least(kPanel, n1 - n));
        });
        meanwhile.rest_of_units();
      }
    meanwhile.rest_of_pieces();
  }
  _tile_release();
}

/// Where a panel's outputs go.
struct Columns {
  float* y;           ///< of the square's first row
  size_t n;           ///< y's row length
  __mmask16 mask[2];  ///< of the two strips
  bool stream;

  Columns() = default;
  Columns(float* at, size_t row_length, size_t columns, bool streams)
      : y(at),
        n(row_length),
        mask{static_cast<__mmask16>(first(columns)),
             static_cast<__mmask16>(columns > kStrip ? first(columns - kStrip) : 0)},
        stream(streams && columns == kPanel) {}

  [[gnu::always_inline]] void store(size_t row, size_t strip, __m512 v) const {
    float* const to = y + row * n + strip * kStrip;
    if (stream)
      _mm512_stream_ps(to, v);
    else
      _mm512_mask_storeu_ps(to, mask[strip], v);
  }
};

/// Whether y is to be written past the caches (core/stream.h), and may be: rows begin with a line.
inline bool streams(const Weights& w, size_t packed_bytes, size_t m, const void* y) {
  const size_t bytes = packed_bytes + m * (w.k + w.n) * sizeof(float);
  return bytes >= kStreamBytes && w.n % kStrip == 0 &&
         (reinterpret_cast<std::uintptr_t>(y) & (kLine - 1)) == 0;
}

}  // namespace
}  // namespace qb::matmul
