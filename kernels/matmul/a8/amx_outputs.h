// SPDX-License-Identifier: Apache-2.0
// Products by AMX of weights with one scale per output.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/amx_nibbles.h"

namespace qb::matmul {
namespace {

QB_TILE_PRODUCTS(Int8, _tile_dpbssd)

constexpr size_t kCodes = 64;  // of K in a step

// Panel: for each step the tiles of outputs 0-15 and 16-31, then 32 f32 scales. A tile: rows of
// four codes of each output; 4-bit: K+0..31 in the low nibbles, K+32..63 in the high ones.

constexpr size_t steps_of(size_t k) { return quotient_up(k, kCodes); }

template <class F>
struct Dense {
  static constexpr size_t unit = kTile * F::Codes::bits / 8;
  static size_t panel(size_t k) { return steps_of(k) * 2 * unit + kPanel * sizeof(float); }

  static size_t packed_bytes(size_t n, size_t k, size_t) {
    return quotient_up(n, kPanel) * panel(k);
  }

  static void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
    for (size_t n = n0; n < n1; n += kPanel) {
      Byte* out = static_cast<Byte*>(packed) + n / kPanel * panel(w.k);
      for (size_t k = 0; k < w.k; k += kCodes)
        for (size_t strip = n; strip < n + kPanel; strip += kStrip, out += unit) {
          Byte rows[kTile];
          for (size_t c = 0; c < kStrip; ++c)
            store(rows + c * kLine, codes_of<F>(w, strip + c, k, kCodes));
          __m512i v[16];
          transpose(rows, kLine, v);
          for (size_t j = 0; j < (F::Codes::bits == 8 ? 16 : 8); ++j)
            store(out + j * kLine,
                  F::Codes::bits == 8 ? v[j] : encode_nibbles(v[j], v[(8 + j) % 16]));
        }
      const auto outputs = static_cast<unsigned>(first(least(w.n - n, kPanel)));
      const float* const scales = static_cast<const float*>(w.scales) + n;
      _mm512_storeu_ps(out, _mm512_maskz_loadu_ps(static_cast<__mmask16>(outputs), scales));
      _mm512_storeu_ps(out + kLine,
                       _mm512_maskz_loadu_ps(static_cast<__mmask16>(outputs >> 16), scales + 16));
    }
  }

  static void unpack(const void* packed, size_t, size_t k, size_t, size_t n0, size_t n1,
                     void* codes) {
    for (size_t n = n0; n < n1; ++n)
      for (size_t i = 0; i < k; ++i) {
        const size_t step = i / kCodes, within = i % kCodes, row = within / 4;
        const Byte* const tile = static_cast<const Byte*>(packed) + n / kPanel * panel(k) +
                                 (2 * step + n % kPanel / kStrip) * unit;
        const size_t at = row % (unit / kLine) * kLine + n % kStrip * 4 + within % 4;
        int byte = tile[at];
        if constexpr (F::Codes::bits == 4)
          byte = F::Codes::value(row < 8 ? tile[at] & 15 : tile[at] >> 4);
        static_cast<std::int8_t*>(codes)[n * k + i] = static_cast<std::int8_t>(byte);
      }
  }
};

// --- Activations -------------------------------------------------------------------------------

/// A scale for the row. |x * inverse| needs no clip: it rounds to 127 at most.
void prepare_rows(const void* x, size_t m, size_t k, size_t, size_t m0, size_t m1,
                  void* workspace) {
  const size_t steps = steps_of(k);
  Byte* const tiles = static_cast<Byte*>(workspace);
  float* const scales = reinterpret_cast<float*>(tiles + activation_bytes(m, steps));
  for (size_t row = m0; row < m1; ++row) {
    const float* const from = static_cast<const float*>(x) + row * k;
    Byte* to = tiles + row / kRows * row_tiles(steps) + row % kRows * kLine;
    __m512 v[4], largest[4] = {};
    for (size_t i = 0; i < k; i += kCodes) {
      load64(from + i, k - i, v);
      QB_UNROLL for (int j = 0; j < 4; ++j) largest[j] = larger(largest[j], v[j]);
    }
    const Scaling scaling = row_scaling(_mm512_reduce_max_ps(_mm512_max_ps(
        _mm512_max_ps(largest[0], largest[1]), _mm512_max_ps(largest[2], largest[3]))));
    const __m512 inverse = _mm512_set1_ps(scaling.inverse);
    for (size_t i = 0; i < k; i += kCodes, to += kTile) {
      load64(from + i, k - i, v);
      __m512i q[4];
      QB_UNROLL for (int j = 0; j < 4; ++j) q[j] = _mm512_cvtps_epi32(_mm512_mul_ps(v[j], inverse));
      store(to, narrow64(q[0], q[1], q[2], q[3]));
    }
    scales[row] = scaling.scale;
  }
  if (m1 == m) clear_missing_rows(tiles, m, steps);
}

size_t workspace_bytes_rows(size_t m, size_t, size_t k, size_t) {
  return activation_bytes(m, steps_of(k)) + m * sizeof(float);
}

// --- Products ----------------------------------------------------------------------------------

template <int bits>
struct DenseWalk {
  using Products = Int8;
  static constexpr bool kTurned = false, kDecodes = bits == 4;
  static constexpr size_t kUnit = kTile * bits / 8;

  struct Panel {
    const Byte* codes;
    const Byte* tile(size_t u) const { return codes + u * kUnit; }
    [[gnu::always_inline]] void decode(size_t u, Byte* to) const {
      const Byte* const from = tile(u);
      QB_UNROLL for (size_t line = 0; line < kUnit; line += kLine) {
        _mm_prefetch(reinterpret_cast<const char*>(from + 2 * kDepth * kUnit + line), _MM_HINT_T0);
        decode_nibbles(from + line, to + line, to + kTile / 2 + line);
      }
    }
  };

  struct Output {
    Columns columns;
    const float* rows;     ///< scales of the activations
    const float* outputs;  ///< scales of the weights

    static constexpr size_t pieces(size_t count) { return count; }

    template <bool split>
    [[gnu::always_inline]] void store(const std::int32_t* sums, size_t row) const {
      // Scales first: codes times a scale may be too large for a float that the output isn't.
      const __m512 scale = _mm512_set1_ps(rows[row]);
      QB_UNROLL for (size_t c = 0; c < 2; ++c) {
        __m512i sum = load(sums + row * kPanel + c * kStrip);
        if constexpr (split)
          sum = _mm512_add_epi32(sum, load(sums + (kRows + row) * kPanel + c * kStrip));
        if constexpr (bits == 4) sum = _mm512_srai_epi32(sum, 4);
        columns.store(row, c,
                      _mm512_mul_ps(_mm512_cvtepi32_ps(sum),
                                    _mm512_mul_ps(_mm512_loadu_ps(outputs + c * kStrip), scale)));
      }
    }
  };
};

template <class F>
void run_dense(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
               size_t n0, size_t n1, void* out) {
  using W = DenseWalk<F::Codes::bits>;
  const size_t steps = steps_of(w.k), bytes = Dense<F>::panel(w.k);
  const Byte* const tiles = static_cast<const Byte*>(workspace);
  const float* const scales = reinterpret_cast<const float*>(tiles + activation_bytes(m, steps));
  float* const y = static_cast<float*>(out);
  const bool stream = streams(w, Dense<F>::packed_bytes(w.n, w.k, w.k), m, y);
  const auto panel = [&](size_t n) {
    return typename W::Panel{static_cast<const Byte*>(packed) + n / kPanel * bytes};
  };
  walk<W>(tiles, m, steps, n0, n1, panel, [&](size_t row, size_t n, size_t columns) {
    return
        typename W::Output{Columns(y + row * w.n + n, w.n, columns, stream), scales + row,
                           reinterpret_cast<const float*>(panel(n).codes + steps * 2 * W::kUnit)};
  });
  if (stream) _mm_sfence();
}

template <class F>
constexpr Kernel dense_kernel() {
  return {.n_step = kPanel,
          .packed_bytes = Dense<F>::packed_bytes,
          .pack = Dense<F>::pack,
          .unpack = Dense<F>::unpack,
          .workspace_bytes = workspace_bytes_rows,
          .m_step = kRows,
          .prepare = prepare_rows,
          .run = run_dense<F>};
}

}  // namespace
}  // namespace qb::matmul
