// SPDX-License-Identifier: Apache-2.0
// Products by vdpbf16ps of f32 weights, and of 8-bit codes in groups, which are decoded into the
// layout of f32 weights.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/abf16/avx512bf16_widened.h"

namespace qb::matmul {
namespace {

// --- f32 weights, and what was decoded -----------------------------------------------------------

// Packed: blocks of bf16 as they are laid out.

struct Floats {
  using Layout = Eights;
  static constexpr bool decodes = false;
  static size_t group_blocks(size_t group) { return group / kBlock; }

  static size_t panel(size_t k, size_t) { return blocks_of(k) * kUnit; }

  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    return quotient_up(n, kPanel) * panel(k, group);
  }

  static void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
    for (size_t n = n0; n < n1; n += kPanel) {
      Byte* out = static_cast<Byte*>(packed) + n / kPanel * panel(w.k, w.group);
      for (size_t k = 0; k < w.k; k += kBlock, out += kUnit)
        for (size_t c = 0; c < kPanel; ++c) {
          Byte block[kVector];
          store(block, bf16_of(w, n + c, k));
          for (size_t i = 0; i < kBlock; i += Layout::depth)
            __builtin_memcpy(out + Layout::place(c, i), block + 2 * i, 2 * Layout::depth);
        }
    }
  }

  static void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1,
                     void* values) {
    for (size_t n = n0; n < n1; ++n)
      for (size_t i = 0; i < k; ++i) {
        const Byte* const at = static_cast<const Byte*>(packed) + n / kPanel * panel(k, group) +
                               i / kBlock * kUnit + Layout::place(n % kPanel, i % kBlock);
        std::uint16_t half;
        __builtin_memcpy(&half, at, sizeof half);
        static_cast<float*>(values)[n * k + i] =
            __builtin_bit_cast(float, static_cast<std::uint32_t>(half) << 16);
      }
  }
};

// --- Quantized weights ---------------------------------------------------------------------------

/// Panel: for each group 16 f16 scales (or of each block twice 16 floats, for groups of 16 and with
/// minima), then its blocks. Scales stand lane by lane, four quarters in each.
template <class F>
struct Codes : Widened {
  using Decoder = typename Decoded<typename F::Scale>::Type;
  using Scale = typename F::Scale;
  static constexpr bool decodes = true;
  static constexpr size_t units = kBlock / kUnitOf<Scale>;
  static constexpr size_t header = units * kPanel * sizeof(Scale);
  /// Blocks that share a header.
  static size_t group_blocks(size_t group) { return units > 1 ? 1 : group / kBlock; }

  static size_t panel(size_t k, size_t group) {
    const size_t blocks = blocks_of(k);
    return blocks ? blocks / group_blocks(group) * header + blocks * unit : 0;
  }

  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    const size_t panels = quotient_up(n, kPanel) * panel(k, group);
    return panels ? panels + slack : 0;
  }

  /// The scales of group g.
  static void put_group(const Weights& w, size_t n, size_t g, Byte* to) {
    for (size_t i = 0; i < kPanel; ++i) {
      const size_t c = Layout::output(i % 4, i / 4);
      const Scale d = n + c < w.n ? F::scale(w, n + c, g) : Scale{};
      if constexpr (kHasMinimum<Scale>) {
        __builtin_memcpy(to + i * sizeof(float), &d.scale, sizeof(float));
        __builtin_memcpy(to + (kPanel + i) * sizeof(float), &d.minimum, sizeof(float));
      } else {
        __builtin_memcpy(to + i * sizeof d, &d, sizeof d);
      }
    }
  }

  static void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
    for (size_t n = n0; n < n1; n += kPanel) {
      Byte* out = static_cast<Byte*>(packed) + n / kPanel * panel(w.k, w.group);
      for (size_t k = 0; k < w.k; k += kBlock, out += unit) {
        if (units > 1 || k % w.group == 0)
          for (size_t i = 0; i < units; ++i, out += header / units)
            put_group(w, n, k / w.group + i, out);
        __m256i codes[kPanel];
        for (size_t c = 0; c < kPanel; ++c)
          codes[c] = _mm512_castsi512_si256(codes_of<F>(w, n + c, k, kBlock));
        put(codes, out);
      }
    }
    if (n1 >= w.n && packed_bytes(w.n, w.k, w.group))
      for (size_t i = 0; i < slack; ++i)
        static_cast<Byte*>(packed)[packed_bytes(w.n, w.k, w.group) - slack + i] = 0;
  }

  static void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1,
                     void* codes) {
    for (size_t n = n0; n < n1; ++n)
      for (size_t i = 0; i < k; ++i) {
        const Byte* const at = static_cast<const Byte*>(packed) + n / kPanel * panel(k, group) +
                               (i / kBlock / group_blocks(group) + 1) * header + i / kBlock * unit;
        static_cast<std::int8_t*>(codes)[n * k + i] =
            static_cast<std::int8_t>(code(at, n % kPanel, i % kBlock));
      }
  }
};

// --- Products -----------------------------------------------------------------------------------

/// What is fetched meanwhile for what comes next: `bytes` more at every step.
struct Prefetch {
  const Byte* p = nullptr;
  size_t bytes = 0;
};

/// R rows at x, x_stride bytes apart, times `blocks` blocks of P panels' bf16 at p, p_stride apart.
template <class L, int R, int P = 1, bool kFetches = false>
[[gnu::noinline]] void tile(const Byte* p, size_t p_stride, size_t blocks, const Byte* x,
                            size_t x_stride, const Sums& sums, Prefetch next) {
  __m512 sum[P][R][L::vectors];
  QB_UNROLL for (int s = 0; s < P; ++s) clear<L, R>(sum[s]);
  Rows<R> row(x, x_stride);
  for (size_t b = 0; b < blocks; ++b, p += kUnit, row.advance(kBlock * 2))
    QB_UNROLL for (size_t i = 0; i < kSteps<L>; ++i) QB_UNROLL for (int s = 0; s < P; ++s) {
      if constexpr (kFetches) {
        _mm_prefetch(reinterpret_cast<const char*>(next.p), _MM_HINT_T1);
        next.p += next.bytes;
      }
      const Byte* const here = p + size_t(s) * p_stride + i * L::vectors * kVector;
      __m512i w[L::vectors];
      QB_UNROLL for (size_t v = 0; v < L::vectors; ++v) {
        w[v] = load(here + v * kVector);
        _mm_prefetch(reinterpret_cast<const char*>(here + v * kVector + 4 * ahead(R) / P),
                     _MM_HINT_T0);
      }
      QB_UNROLL for (int r = 0; r < R; ++r) {
        const __m512i xs = L::repeated(row[r] + i * L::depth * 2);
        QB_UNROLL for (size_t v = 0; v < L::vectors; ++v) sum[s][r][v] =
            dot(sum[s][r][v], w[v], xs);
      }
    }
  QB_UNROLL for (int s = 0; s < P; ++s) write<L, R>(sum[s], size_t(s) * kPanel, sums);
}

/// The same with a panel's codes of blocks [b0, b1), x being what those meet. kKeeps: what is
/// decoded goes to `kept` as well.
template <class C, int R, bool kKeeps>
[[gnu::noinline]] void decode_and_multiply(const Call& call, const Byte* p, size_t b0, size_t b1,
                                           const Byte* x, Byte* kept, const Sums& sums) {
  using L = typename C::Layout;
  constexpr size_t vectors = L::vectors;
  __m512 sum[R][vectors];
  clear<L, R>(sum);
  Rows<R> row(x, call.x_stride);
  p += b0 / call.group_blocks * C::header + b0 * C::unit;
  for (size_t b = b0; b < b1;) {
    __m512i factors[C::kFactors];
    C::Decoder::factors(p, factors);
    p += C::header;
    for (const size_t end = b + call.group_blocks; b < end;
         ++b, p += C::unit, row.advance(kBlock * 2)) {
      QB_UNROLL for (size_t line = 0; line < C::unit; line += 64)
          _mm_prefetch(reinterpret_cast<const char*>(p + line + ahead(R)), _MM_HINT_T0);
      QB_UNROLL for (size_t i = 0; i < kSteps<L>; ++i) {
        __m512i w[vectors];
        if constexpr (R <= L::rows / 3) {
          C::Decoder::template get<vectors>(p, i, 0, factors, w);
        } else {
          // The sums need the registers: factors are read where they are used.
          const __m512i* in_memory = factors;
          asm("" : "+r"(in_memory) : "m"(factors));
          QB_UNROLL for (size_t v = 0; v < vectors; ++v) {
            forget(p);
            __m512i one[1];
            C::Decoder::template get<1>(p, i, v, in_memory, one);
            w[v] = one[0];
          }
        }
        if constexpr (kKeeps)
          QB_UNROLL for (size_t v = 0; v < vectors; ++v)
              store(kept + (b - b0) * kUnit + (i * vectors + v) * kVector, w[v]);
        QB_UNROLL for (int r = 0; r < R; ++r) {
          const __m512i xs = L::repeated(row[r] + i * L::depth * 2);
          QB_UNROLL for (size_t v = 0; v < vectors; ++v) sum[r][v] = dot(sum[r][v], w[v], xs);
        }
      }
    }
  }
  write<L, R>(sum, 0, sums);
}

/// A whole panel, for `rows` rows, at most R.
template <class C, int R>
void few_rows(const Call& call, size_t rows, const Byte* panel, const Byte* x, const Sums& sums) {
  if constexpr (R > 0) {
    if (rows < R) return few_rows<C, R - 1>(call, rows, panel, x, sums);
    if constexpr (C::decodes)
      decode_and_multiply<C, R, false>(call, panel, 0, call.blocks, x, nullptr, sums);
    else
      tile<typename C::Layout, R>(panel, 0, call.blocks, x, call.x_stride, sums, {});
  }
}

/// The first of more rows: what is decoded for them is kept.
template <class C, int R>
void first_rows(const Call& call, size_t rows, const Byte* p, size_t b0, size_t b1, const Byte* x,
                Byte* kept, const Sums& sums) {
  if constexpr (C::decodes && R > C::Layout::rows / 2) {
    if (rows < R) return first_rows<C, R - 1>(call, rows, p, b0, b1, x, kept, sums);
    decode_and_multiply<C, R, true>(call, p, b0, b1, x, kept, sums);
  }
}

template <class L, int R, bool kFetches>
void more_rows(size_t rows, const Byte* p, size_t blocks, const Byte* x, size_t x_stride,
               const Sums& sums, Prefetch next) {
  if constexpr (R > 0) {
    if (rows < R) return more_rows<L, R - 1, kFetches>(rows, p, blocks, x, x_stride, sums, next);
    tile<L, R, 1, kFetches>(p, 0, blocks, x, x_stride, sums, next);
  }
}

template <class C>
void run(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
         size_t n0, size_t n1, void* out) {
  using L = typename C::Layout;
  constexpr size_t rows_of_tile = L::rows;
  const Call call = {
      w.k,           w.group, blocks_of(w.k), C::group_blocks(w.group), C::panel(w.k, w.group),
      row_bytes(w.k)};
  const auto* const x = static_cast<const Byte*>(workspace);
  auto* const y = static_cast<float*>(out);
  const auto panel_of = [&](size_t n) {
    return static_cast<const Byte*>(packed) + n / kPanel * call.panel;
  };
  const bool far = C::packed_bytes(w.n, w.k, w.group) >= kFar;
  if (m == 0) return;
  if (m <= rows_of_tile) {
    size_t n = n0;
    // Memory binds what is not decoded, and several streams arrive faster than one: more rows than
    // meet two panels at once do so in turns, if those stay in L2.
    if constexpr (!C::decodes)
      if (m <= 3 || (far && 2 * call.panel <= kStaysInL2))
        for (const size_t panels = m == 1 ? 4 : 2; n + (panels - 1) * kPanel < n1;
             n += panels * kPanel)
          for (size_t row = 0, rows; row < m; row += rows) {
            rows = row == 0 && m > 3 ? quotient_up(m, 2) : m - row;
            const auto streams = m == 1 ? tile<L, 1, 4> : rows == 2 ? tile<L, 2, 2> : tile<L, 3, 2>;
            streams(panel_of(n), call.panel, call.blocks, x + row * call.x_stride, call.x_stride,
                    {nullptr, y + row * w.n + n, w.n, n1 - n}, {});
          }
    for (; n < n1; n += kPanel)
      few_rows<C, L::rows>(call, m, panel_of(n), x, {nullptr, y + n, w.n, n1 - n});
    return;
  }
  // A block of activations stays in L2 while its rows meet every output.
  constexpr size_t depth = C::decodes ? kDecoded : kDepth;
  const size_t fit = kStaysInL2 / (least(depth, call.blocks) * kBlock * 2 + 1);
  const size_t parts = quotient_up(m, least(kBlockRows, fit / rows_of_tile * rows_of_tile));
  const size_t outputs = call.blocks <= depth ? kPanel : kBlockOutputs;
  alignas(64) Byte decoded[C::decodes ? kDecoded * kUnit : 64];
  alignas(64) float waiting[kBlockOutputs / kPanel][kBlockRows * kPanel];
  for (size_t part = 0, m0 = 0, m1; part < parts; ++part, m0 = m1) {
    m1 = m0 + quotient_up(m - m0, parts - part);
    const size_t tiles = quotient_up(m1 - m0, rows_of_tile);
    for (size_t from = n0; from < n1; from += outputs) {
      const size_t to = least(from + outputs, n1);
      size_t b0 = 0;
      do {
        const size_t b1 = least(b0 + depth, call.blocks);
        for (size_t n = from; n < to; n += kPanel) {
          float* const sums = waiting[(n - from) / kPanel];
          const Byte* here = panel_of(n) + b0 * kUnit;
          Prefetch next = {n + kPanel < n1 ? here + call.panel : here,
                           least(kVector, quotient_up(kUnit / kSteps<L>, tiles))};
          // In tiles as equal as can be: one of a row or two would wait for its own sums.
          size_t row = m0;
          for (size_t t = 0; t < tiles; ++t) {
            const size_t rows = quotient_up(m1 - row, tiles - t);
            const Byte* const xs = x + row * call.x_stride + b0 * kBlock * 2;
            float* const sum = sums + (row - m0) * kPanel;
            Sums s = {b0 ? sum : nullptr, sum, kPanel, kPanel};
            if (b1 == call.blocks) s = {s.from, y + row * w.n + n, w.n, n1 - n};
            const Byte* const weights = C::decodes ? decoded : here;
            if (C::decodes && row == m0)
              first_rows<C, L::rows>(call, rows, panel_of(n), b0, b1, xs, decoded, s);
            else if (!C::decodes && far)
              more_rows<L, L::rows, !C::decodes>(rows, weights, b1 - b0, xs, call.x_stride, s,
                                                 next);
            else
              more_rows<L, L::rows, false>(rows, weights, b1 - b0, xs, call.x_stride, s, next);
            next.p += (b1 - b0) * kSteps<L> * next.bytes;
            row += rows;
          }
        }
        b0 = b1;
      } while (b0 < call.blocks);
    }
  }
}

}  // namespace
}  // namespace qb::matmul
