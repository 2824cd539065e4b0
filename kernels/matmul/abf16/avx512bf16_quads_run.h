// SPDX-License-Identifier: Apache-2.0
// Products by vdpbf16ps of codes in quads (avx512bf16_quads.h).
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/abf16/avx512bf16_quads.h"

namespace qb::matmul {
namespace {

/// Blocks of K that are decoded at a time, for more rows than a tile.
constexpr size_t kQuadBlocks = Avx512Bf16Budget::kDecodedOfQuad;
constexpr size_t kKeptRows = 4;        // of the tile that decodes for others
constexpr size_t kQuadRows = 6;        // of a tile: 24 sums
constexpr size_t kQuad = 4 * kVector;  // a block of a quad, bf16

/// A quad's sums to those of four outputs.
template <int R>
[[gnu::always_inline]] inline void write_quad(const __m512 (&sum)[R][4], const Sums& sums) {
  const auto mask = static_cast<__mmask8>(first(sums.outputs) & 15);
  QB_UNROLL for (int r = 0; r < R; ++r) {
    const __m512 lanes = Eights::lanes(sum[r]);
    const __m256 half =
        _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    if (sums.from) y = _mm_add_ps(y, _mm_loadu_ps(sums.from + size_t(r) * 4));
    _mm_mask_storeu_ps(sums.to + size_t(r) * sums.stride, mask, y);
  }
}

/// As many blocks of a quad as are decoded together. Sums take turns.
template <class C, int R, bool kKeeps, int T>
[[gnu::always_inline]] inline void step_of_quad(const Byte* p, const __m512i* tables,
                                                const __m512i* odd_tables, size_t far_ahead,
                                                const Rows<R>& row, int turn, Byte* kept,
                                                __m512 (&sum)[T][R][4]) {
  QB_UNROLL for (size_t line = 0; line < C::unit * C::together; line += 64) _mm_prefetch(
      reinterpret_cast<const char*>(p + line + far_ahead), R == 1 ? _MM_HINT_T0 : _MM_HINT_T1);
  QB_UNROLL for (size_t c = 0; c < 4; c += 2) {
    __m512i w[2][C::together];
    QB_UNROLL for (size_t j = 0; j < 2; ++j) C::get(p, c + j, tables, odd_tables, w[j]);
    QB_UNROLL for (size_t i = 0; i < C::together; ++i) {
      if constexpr (kKeeps)
        QB_UNROLL for (size_t j = 0; j < 2; ++j)
            store(kept + i * kQuad + (c + j) * kVector, w[j][i]);
      QB_UNROLL for (int r = 0; r < R; ++r) {
        const __m512i xs = load(row[r] + i * kVector);
        QB_UNROLL for (size_t j = 0; j < 2; ++j) sum[turn][r][c + j] =
            dot(sum[turn][r][c + j], w[j][i], xs);
      }
    }
  }
}

/// Where R rows stand in a quad: in its weights, in their activations, and in what is kept. Their
/// sums take turns where that hides their latency.
template <class C, int R, bool kKeeps>
struct QuadCursor {
  static constexpr int turns = R == 1 && C::together == 1 ? 2 : 1;
  const Byte* p;
  Rows<R> row;
  size_t far_ahead;  ///< bytes
  Byte* kept;
  __m512 sum[turns][R][4] = {};

  [[gnu::always_inline]] void step(const __m512i* tables, const __m512i* odd_tables, int turn) {
    step_of_quad<C, R, kKeeps>(p, tables, odd_tables, far_ahead, row, turn, kept, sum);
    p += C::together * C::unit;
    row.advance(C::together * kBlock * 2);
    if constexpr (kKeeps) kept += C::together * kQuad;
  }
};

/// Blocks [b0, b1) of a quad with one scale per output, whose tables are at `channel`.
template <class C, int R, bool kKeeps>
[[gnu::always_inline]] inline void add_by_channel(QuadCursor<C, R, kKeeps>& at,
                                                  const __m512i* channel, size_t b0, size_t b1) {
  constexpr int turns = QuadCursor<C, R, kKeeps>::turns;
  __m512i tables[C::kTables];
  // What the sums leave no registers for is read where it is used.
  constexpr bool holds_all = C::together == 1 || R == 1, holds_half = R <= 4;
  QB_UNROLL for (size_t i = 0; i < C::kTables; ++i) tables[i] = channel[i];
  size_t b = b0;
  if constexpr (turns == 2)
    for (; b + 1 < b1; b += 2)
      QB_UNROLL for (int turn = 0; turn < 2; ++turn) at.step(tables, tables, turn);
  for (; b < b1; b += C::together) {
    asm("" : "+r"(channel));
    at.step(holds_all || holds_half ? tables : channel, holds_all ? tables : channel, 0);
  }
}

/// The scales of a quad's groups, as floats: four groups to a vector, two of them in turns, and the
/// minima, or the scales of second halves, behind them.
template <class C>
struct GroupScalesAhead {
  const Byte* scales;  ///< the next that are read
  size_t far_ahead, group_blocks;
  alignas(64) float scale[C::kPairs ? 4 : 2][16] = {};

  /// Reads those of groups g to g + 3.
  [[gnu::always_inline]] void widen(size_t g) {
    _mm_prefetch(reinterpret_cast<const char*>(scales + far_ahead), _MM_HINT_T0);
    if constexpr (C::kMinimum) {
      _mm512_store_ps(scale[g / 4 % 2], _mm512_loadu_ps(scales));
      _mm512_store_ps(scale[2 + g / 4 % 2], _mm512_loadu_ps(scales + C::kHeader / 2));
      scales += C::kHeader / 4;
      if (g % 8 == 4) scales += C::kHeader / 2;
    } else if constexpr (C::kHalves) {
      QB_UNROLL for (size_t half = 0; half < 2; ++half) {
        const Byte* const from = scales + half * (C::kHeader / 2);
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
        const __m256i words = _mm256_slli_epi16(_mm256_cvtepu8_epi16(bytes), 7);
        _mm512_store_ps(scale[2 * half + g / 4 % 2], _mm512_cvtph_ps(words));
      }
      scales += g % 8 == 4 ? C::kHeader - 16 : 16;
    } else if constexpr (C::kTwoLevels) {
      const Byte* const line = scales - g % 8 * 4;
      const __m128 d = _mm_cvtph_ps(
          _mm_loadl_epi64(reinterpret_cast<const __m128i*>(line + 4 * C::kGroupsOfLine)));
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(scales));
      _mm512_store_ps(scale[g / 4 % 2],
                      _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)),
                                    _mm512_broadcast_f32x4(d)));
      scales += g % 8 == 4 ? C::kHeader - 16 : 16;
    } else {
      _mm512_store_ps(scale[g / 4 % 2], group_scales<typename C::Scale>(scales));
      scales += kVector / 2;
    }
    if (g % 8 == 4) scales += 8 * group_blocks * C::unit;
  }
  [[gnu::always_inline]] void tables_of(size_t g, __m512i (&t)[C::kTables]) const {
    const float* from = &scale[0][0] + g % 8 * 4;
    asm("" : "+r"(from) : "m"(scale));  // a load repeats them; the compiler would rather permute
    if constexpr (C::kPairs)
      C::tables(from, 32, t);
    else
      C::tables(from, t);
  }
};

/// Blocks [b0, b1), at least one, of a quad with scales for groups; kAlone: each block has scales
/// of its own. b0 is the first block of a line of scales.
///
/// Scales are widened four groups ahead and tables made one group ahead, so that neither is waited
/// for. The look-ahead builds one table past the last group, which nobody uses.
template <class C, int R, bool kAlone, bool kKeeps>
[[gnu::always_inline]] inline void add_by_groups(QuadCursor<C, R, kKeeps>& at, size_t group_blocks,
                                                 size_t b0, size_t b1) {
  constexpr int turns = QuadCursor<C, R, kKeeps>::turns;
  const size_t groups = (b1 - b0) / group_blocks;
  GroupScalesAhead<C> ahead_of = {at.p - C::kHeader, at.far_ahead, group_blocks};
  // Where the sums leave no registers for two sets they take turns in memory.
  constexpr bool holds = R <= 4;
  alignas(64) __m512i tables[2][C::kTables];
  ahead_of.widen(0);
  ahead_of.tables_of(0, tables[0]);
  for (size_t b = b0, g = 0; b < b1; ++g) {
    if (g % 4 == 0 && g + 4 < groups) ahead_of.widen(g + 4);
    if (g % 8 == 0 && g != 0) at.p += C::kHeader;
    ahead_of.tables_of(g + 1, tables[holds ? 1 : (g + 1) % 2]);
    const __m512i* t = tables[holds ? 0 : g % 2];
    if constexpr (!holds) asm("" : "+r"(t) : "m"(tables));
    if constexpr (kAlone) {
      at.step(t, t, 0);
      ++b;
    } else {
      for (const size_t last = b + group_blocks; b < last; b += turns)
        QB_UNROLL for (int turn = 0; turn < turns; ++turn) at.step(t, t, turn);
    }
    if constexpr (holds)
      QB_UNROLL for (size_t i = 0; i < C::kTables; ++i) tables[0][i] = tables[1][i];
  }
}

/// R rows times blocks [b0, b1) of a quad; of one scale per output its tables. kAlone: each block
/// has scales of its own. kKeeps: what is decoded goes to `kept` as well.
template <class C, int R, bool kAlone, bool kKeeps>
[[gnu::noinline]] void decode_and_multiply_quad(const Call& call, const Byte* quad,
                                                const __m512i* channel, size_t b0, size_t b1,
                                                const Byte* x, Byte* kept, const Sums& sums) {
  QuadCursor<C, R, kKeeps> at = {quad + C::lines(b0, call.group_blocks) + b0 * C::unit,
                                 Rows<R>(x, call.x_stride), kKeeps ? call.panel / 4 : in_quads(R),
                                 kept};
  if constexpr (!C::per_block)
    add_by_channel(at, channel, b0, b1);
  else if (b0 < b1)
    add_by_groups<C, R, kAlone>(at, call.group_blocks, b0, b1);
  if constexpr (at.turns == 2)
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (size_t c = 0; c < 4; ++c) at.sum[0][r][c] =
        _mm512_add_ps(at.sum[0][r][c], at.sum[1][r][c]);
  write_quad<R>(at.sum[0], sums);
}

/// R rows times so many blocks of a quad that were decoded for others.
template <int R>
[[gnu::noinline]] void multiply_kept(const Byte* kept, size_t blocks, const Byte* x,
                                     size_t x_stride, const Sums& sums) {
  __m512 sum[R][4] = {};
  Rows<R> row(x, x_stride);
  for (size_t b = 0; b < blocks; ++b, kept += kQuad, row.advance(kVector)) {
    __m512i w[4];
    QB_UNROLL for (size_t c = 0; c < 4; ++c) w[c] = load(kept + c * kVector);
    QB_UNROLL for (int r = 0; r < R; ++r) {
      const __m512i xs = load(row[r]);
      QB_UNROLL for (size_t c = 0; c < 4; ++c) sum[r][c] = dot(sum[r][c], w[c], xs);
    }
  }
  write_quad<R>(sum, sums);
}

/// `rows` rows, at most R.
template <class C, int R, bool kAlone>
void first_rows_of_quad(const Call& call, size_t rows, const Byte* quad, const __m512i* tables,
                        size_t b0, size_t b1, const Byte* x, Byte* kept, const Sums& sums) {
  if constexpr (R > 0) {
    if (rows < R)
      return first_rows_of_quad<C, R - 1, kAlone>(call, rows, quad, tables, b0, b1, x, kept, sums);
    if constexpr (R == kKeptRows)
      if (kept)
        return decode_and_multiply_quad<C, R, kAlone, true>(call, quad, tables, b0, b1, x, kept,
                                                            sums);
    decode_and_multiply_quad<C, R, kAlone, false>(call, quad, tables, b0, b1, x, kept, sums);
  }
}

template <int R>
void more_rows_of_quad(size_t rows, const Byte* kept, size_t blocks, const Byte* x, size_t x_stride,
                       const Sums& sums) {
  if constexpr (R > 0) {
    if (rows < R) return more_rows_of_quad<R - 1>(rows, kept, blocks, x, x_stride, sums);
    multiply_kept<R>(kept, blocks, x, x_stride, sums);
  }
}

/// `rows` rows times a quad that holds the code -128: codes are multiplied with their scale and
/// rounded for each row anew.
template <class C>
[[gnu::noinline]] void multiply_every_code(const Call& call, size_t rows, const Byte* quad,
                                           const Byte* x, Sums sums) {
  float scale[4];
  __builtin_memcpy(scale, quad, sizeof scale);
  for (size_t row = 0; row < rows; ++row, x += call.x_stride, sums.to += sums.stride) {
    __m512 sum[1][4] = {};
    const Byte* p = quad + kVector;
    for (size_t b = 0; b < call.blocks; b += 2)
      for (size_t c = 0; c < 4; ++c, p += kVector) {
        const __m512i codes = C::codes(p);
        const auto dequantized = [&](__m128i sixteen) {
          return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(sixteen)),
                               _mm512_set1_ps(scale[c]));
        };
        const __m512i w[] = {rounded(dequantized(_mm512_castsi512_si128(codes)),
                                     dequantized(_mm512_extracti32x4_epi32(codes, 1))),
                             rounded(dequantized(_mm512_extracti32x4_epi32(codes, 2)),
                                     dequantized(_mm512_extracti32x4_epi32(codes, 3)))};
        for (size_t i = 0; i < 2; ++i)
          sum[0][c] = dot(sum[0][c], w[i], load(x + (b + i) * kVector));
      }
    write_quad<1>(sum, sums);
  }
}

/// Rows [m0, m1) times blocks [b0, b1) of the quad of outputs n. They are decoded for each tile
/// (few), or for the first of them, which keeps them for the others.
template <class C>
inline void rows_of_quad(const Call& call, bool few, const Byte* quad, const __m512i* tables,
                         size_t b0, size_t b1, const Byte* x, size_t m0, size_t m1, Byte* decoded,
                         float* waiting, float* y, size_t n, size_t y_stride, size_t n1) {
  for (size_t row = m0, rows; row < m1; row += rows) {
    float* const sum = waiting + (row - m0) * 4;
    Sums s = {b0 ? sum : nullptr, sum, 4, 4};
    if (b1 == call.blocks) s = {s.from, y + row * y_stride + n, y_stride, n1 - n};
    const Byte* const xs = x + row * call.x_stride + b0 * kBlock * 2;
    // In tiles as equal as can be: one of a single row would wait for its own sums.
    rows = row == m0 && !few ? kKeptRows : quotient_up(m1 - row, quotient_up(m1 - row, kQuadRows));
    if (row == m0 || few) {
      const auto decode = C::per_block && call.group_blocks == 1
                              ? first_rows_of_quad<C, kQuadRows, C::per_block>
                              : first_rows_of_quad<C, kQuadRows, false>;
      decode(call, rows, quad, tables, b0, b1, xs, few ? nullptr : decoded, s);
    } else {
      more_rows_of_quad<kQuadRows>(rows, decoded, b1 - b0, xs, call.x_stride, s);
    }
  }
}

template <class C>
void run_quads(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
               size_t n0, size_t n1, void* out) {
  constexpr size_t quads = kBlockOutputs / 4;
  const Call call = {
      w.k,           w.group, blocks_of(w.k), C::group_blocks(w.group), C::panel(w.k, w.group),
      row_bytes(w.k)};
  const auto* const x = static_cast<const Byte*>(workspace);
  auto* const y = static_cast<float*>(out);
  // Codes that are looked up in tables at hand cost less to decode for each tile anew than to keep,
  // if tiles are long enough for what begins and ends them.
  const bool few = m <= kQuadRows || (C::together == 1 && !C::per_block &&
                                      call.blocks > kQuadBlocks && m * call.x_stride <= kStaysInL2);
  const size_t depth = few ? call.blocks + 1 : kQuadBlocks;
  const size_t outputs = few ? 4 : kBlockOutputs;
  alignas(64) Byte decoded[kQuadBlocks * kQuad];
  alignas(64) float waiting[quads][kBlockRows * 4];
  alignas(64) __m512i tables[C::per_block ? 1 : quads][C::kTables];
  const auto quad = [&](size_t n) {
    return static_cast<const Byte*>(packed) + n / 4 * (call.panel / 4);
  };
  const size_t parts = quotient_up(m, kBlockRows);
  for (size_t part = 0, m0 = 0, m1; part < parts; ++part, m0 = m1) {
    m1 = m0 + quotient_up(m - m0, parts - part);
    for (size_t from = n0; from < n1; from += outputs) {
      const size_t to = least(from + outputs, n1);
      if constexpr (!C::per_block)
        for (size_t n = from; n < to; n += 4)
          C::tables(reinterpret_cast<const float*>(quad(n)), tables[(n - from) / 4]);
      size_t b0 = 0;
      do {
        const size_t b1 = least(b0 + depth, call.blocks);
        for (size_t n = from; n < to; n += 4) {
          if constexpr (C::kMagnitudes)
            if (quad(n)[C::kMark]) {
              if (b0 == 0)
                multiply_every_code<C>(call, m1 - m0, quad(n), x + m0 * call.x_stride,
                                       {nullptr, y + m0 * w.n + n, w.n, n1 - n});
              continue;
            }
          const size_t q = (n - from) / 4;
          rows_of_quad<C>(call, few, quad(n), tables[C::per_block ? 0 : q], b0, b1, x, m0, m1,
                          decoded, waiting[q], y, n, w.n, n1);
        }
        b0 = b1;
      } while (b0 < call.blocks);
    }
  }
}

}  // namespace
}  // namespace qb::matmul
