// SPDX-License-Identifier: Apache-2.0
// Products of bf16 activations, AMX.
//
// tdpbf16ps adds the products of 16 rows of activations and 16 outputs, 32 of K at a time, in 16
// cycles (amx_tiles.h has the blocking). It adds up even and odd K apart, then both, then that to
// the sum, each rounded to nearest with subnormals taken for zero: no more roundings than products,
// and so within the contract's bound and floor.
//
// Weights are the first factor: a row of a tile is 32 of K of one output. So an output's 16 values
// of 4-bit codes fit a register twice over, products of code and scale that are rounded to bf16 but
// once for each group, and vpermw looks 32 weights up at a time, without arithmetic. The sums come
// with outputs by rows and are turned when a square is finished, in the shadow of products. f32
// weights are packed as rounded tiles; all others are decoded a block of a panel at a time, into
// L1, while the last block is multiplied. Uops of the two vector ports for a tile of 512 weights:
//
//   4-bit, table there     12 shifts, 16 look-ups of two              44    (llvm-mca: 28 cycles)
//   4-bit, groups of 32    and 16 products, 8 roundings of four       92    (62)
//   8-bit                  32 each to widen, convert and multiply,
//                          16 roundings of four                      160    (97)
//
// (llvm-mca gives one port what this CPU can do on both.) A step is two such tiles, and takes the
// unit 32 cycles for 16 rows, 64 for 32: 4-bit weights with long groups leave the unit, or the
// memory, to bind at any number of rows; groups of 32 take 92 cycles, the unit's time at 46 rows;
// 8-bit codes 160, at 80 rows. In a step of 32 rows the ports that load have the tiles' 32 cycles
// and 12 for each tile that is decoded, and the one that stores 32.
#include "matmul/amx_tiles.h"

#if !(defined(__AMX_BF16__) || defined(__AMXBF16__)) || !defined(__AVX512BF16__)  // clang 14's
#error "compile with the flags of cmake/Isa.cmake for amx"
#endif

namespace qb::matmul {
namespace {

/// Weights first.
#define QB_SWAPPED_FACTORS(sums, activations, weights) _tile_dpbf16ps(sums, weights, activations)
QB_TILE_PRODUCTS(Bf16, QB_SWAPPED_FACTORS)

constexpr size_t kDeep = 32;  // of K in a step

constexpr size_t steps_of(size_t k) { return quotient_up(k, kDeep); }

// --- f32 weights -------------------------------------------------------------------------------

// Panel: for each step the tiles of outputs 0-15 and 16-31. A tile: a row of bf16 for each output.

struct Floats {
  static size_t panel(size_t k, size_t) { return steps_of(k) * 2 * kTile; }

  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    return quotient_up(n, kPanel) * panel(k, group);
  }

  static void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
    for (size_t n = n0; n < n1; n += kPanel) {
      Byte* out = static_cast<Byte*>(packed) + n / kPanel * panel(w.k, w.group);
      for (size_t k = 0; k < w.k; k += kDeep)
        for (size_t c = 0; c < kPanel; ++c, out += kLine) store(out, bf16_of(w, n + c, k));
    }
  }

  static void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1,
                     void* values) {
    for (size_t n = n0; n < n1; ++n)
      for (size_t i = 0; i < k; ++i) {
        const Byte* const step =
            static_cast<const Byte*>(packed) + n / kPanel * panel(k, group) + i / kDeep * 2 * kTile;
        std::uint16_t half;
        __builtin_memcpy(&half, step + n % kPanel * kLine + i % kDeep * 2, 2);
        static_cast<float*>(values)[n * k + i] =
            __builtin_bit_cast(float, static_cast<std::uint32_t>(half) << 16);
      }
  }
};

// --- Quantized weights -------------------------------------------------------------------------

// Panel: for each group 32 f16 scales (or 32 f32 scales and as many minima, or for groups of 16 the
// scales of the first and of the second 16 of a step), then its steps; for
// one scale per output 32 f32 scales, then all steps. A step: outputs 0-15, then 16-31. 8-bit: each
// output's 32 codes. 4-bit, as 0 to 15: of each four outputs 32 words, whose j'th nibbles are the
// j'th output's.

constexpr size_t kProducts = 16 * sizeof(std::uint16_t);  // bytes: 16 codes times a scale, as bf16

template <class F>
struct Codes {
  using Scale = typename F::Scale;
  static constexpr int bits = F::Codes::bits;
  static constexpr bool per_block = F::per_group;
  static constexpr size_t unit = kStrip * kDeep * bits / 8;
  static constexpr bool kMinimum = kHasMinimum<Scale>, kHalves = kUnitOf<Scale> != kDeep;
  static constexpr size_t scale = kMinimum ? sizeof(float) : sizeof(Scale);
  static constexpr size_t scales = kPanel * sizeof(Scale) * (kHalves ? 2 : 1);
  /// Of an output's products with its scale, or with those of its halves.
  static constexpr size_t table = (kHalves ? 2 : 1) * kProducts;
  /// Of K, that share scales, or those of its halves.
  static size_t run(size_t group) { return kHalves ? kDeep : group; }
  static size_t panel(size_t k, size_t group) {
    return (per_block ? k / run(group) : 1) * scales + steps_of(k) * 2 * unit;
  }

  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    return quotient_up(n, kPanel) * panel(k, group);
  }

  static void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
    for (size_t n = n0; n < n1; n += kPanel) {
      Byte* out = static_cast<Byte*>(packed) + n / kPanel * panel(w.k, w.group);
      const auto put = [&](size_t g) {
        put_scales<F>(w, n, g * (kHalves ? 2 : 1), kPanel, out);
        if constexpr (kHalves) put_scales<F>(w, n, 2 * g + 1, kPanel, out + scales / 2);
        out += scales;
      };
      if constexpr (!per_block) put(0);
      for (size_t k = 0; k < w.k; k += kDeep) {
        if constexpr (per_block)
          if (k % run(w.group) == 0) put(k / run(w.group));
        for (size_t c = 0; c < kPanel; c += 4, out += 4 * kDeep * bits / 8)
          pack_four(w, n + c, k, out);
      }
    }
  }

  static void pack_four(const Weights& w, size_t n, size_t k, Byte* out) {
    __m512i words = _mm512_setzero_si512();
    for (unsigned j = 0; j < 4; ++j) {
      const __m256i codes = _mm512_castsi512_si256(codes_of<F>(w, n + j, k, kDeep));
      if constexpr (bits == 8)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out) + j, codes);
      else
        words = _mm512_or_si512(words, _mm512_slli_epi16(_mm512_cvtepu8_epi16(codes), 4 * j));
    }
    if constexpr (bits == 4) store(out, words);
  }

  static void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1,
                     void* codes) {
    for (size_t n = n0; n < n1; ++n)
      for (size_t i = 0; i < k; ++i) {
        const Byte* const step = static_cast<const Byte*>(packed) + n / kPanel * panel(k, group) +
                                 (per_block ? i / run(group) + 1 : 1) * scales +
                                 i / kDeep * 2 * unit;
        const size_t output = n % kPanel, at = i % kDeep;
        int code;
        if constexpr (bits == 8) {
          code = static_cast<std::int8_t>(step[output * kDeep + at]);
        } else {
          const int byte = step[output / 4 * kLine + at * 2 + output % 4 / 2];
          code = F::Codes::value(output % 2 ? byte >> 4 : byte & 15);
        }
        static_cast<std::int8_t*>(codes)[n * k + i] = static_cast<std::int8_t>(code);
      }
  }
};

// --- Activations -------------------------------------------------------------------------------

/// A tile: for each pair of K the 16 rows' two bf16; zeros for rows that there aren't.
void prepare(const void* x, size_t m, size_t k, size_t, size_t m0, size_t m1, void* workspace) {
  const size_t steps = steps_of(k);
  for (size_t row = m0; row < m1; row += kRows) {
    const float* const from = static_cast<const float*>(x) + row * k;
    Byte* to = static_cast<Byte*>(workspace) + row / kRows * row_tiles(steps);
    for (size_t i = 0; i < k; i += kDeep, to += kTile) {
      const std::uint64_t mask = first(k - i);
      alignas(64) Byte rows[kTile];
      for (size_t r = 0; r < kRows; ++r)
        store(rows + r * kLine, row + r < m ? rounded(load_some(from + r * k + i, mask),
                                                      load_some(from + r * k + i + 16, mask >> 16))
                                            : _mm512_setzero_si512());
      __m512i v[16];
      transpose(rows, kLine, v);
      for (size_t j = 0; j < 16; ++j) store(to + j * kLine, v[j]);
    }
  }
}

size_t workspace_bytes(size_t m, size_t, size_t k, size_t) {
  return activation_bytes(m, steps_of(k));
}

// --- Products ----------------------------------------------------------------------------------

struct Sums {
  Columns columns;
  size_t rows;

  /// Of 16 rows the panel's two strips each.
  static constexpr size_t pieces(size_t count) { return 2 * quotient_up(count, kRows); }

  template <bool split>
  [[gnu::always_inline]] void store(const std::int32_t* sums, size_t piece) const {
    turn<split>(*this, sums, piece);
  }

  /// Not inline, so that the steps' loop stays small.
  template <bool split>
  [[gnu::noinline]] static void turn(const Sums out, const std::int32_t* sums, size_t piece) {
    const size_t row0 = piece / 2 * kRows, strip = piece % 2;
    const std::int32_t* const from = sums + row0 * kPanel + strip * kStrip;
    __m512i v[16];
    if constexpr (split) {
      alignas(64) float both[kStrip * kRows];
      for (size_t output = 0; output < kStrip; ++output)
        _mm512_storeu_ps(both + output * kRows,
                         _mm512_add_ps(_mm512_loadu_ps(from + output * kPanel),
                                       _mm512_loadu_ps(from + (kRows + output) * kPanel)));
      transpose(both, kLine, v);
    } else {
      transpose(from, kPanel * sizeof(float), v);
    }
    QB_UNROLL for (size_t r = 0; r < kRows; ++r) if (row0 + r < out.rows)
        out.columns.store(row0 + r, strip, _mm512_castsi512_ps(v[r]));
  }
};

template <class P>
struct Walk;

template <>
struct Walk<Floats> {
  using Products = Bf16;
  using Output = Sums;
  static constexpr bool kTurned = true, kDecodes = false;
  static constexpr size_t kUnit = kTile;

  struct Panel {
    const Byte* tiles;
    const Byte* tile(size_t u) const { return tiles + u * kUnit; }
  };
  static Panel panel(const Byte* packed, size_t, Byte*) { return {packed}; }
};

template <class F>
struct Walk<Codes<F>> {
  using Products = Bf16;
  using Output = Sums;
  using C = Codes<F>;
  static constexpr bool kTurned = true, kDecodes = true;
  static constexpr size_t kUnit = C::unit;

  struct Panel {
    const Byte* packed;
    unsigned group_shift;  ///< steps to groups
    Byte* tables;          ///< of the panel's outputs, for the group that is being decoded

    /// 16 rows of 32 of K, of an output each.
    [[gnu::always_inline]] void decode(size_t u, Byte* to) const {
      const size_t step = u / 2, strip = u % 2, group = C::per_block ? step >> group_shift : 0;
      const Byte* const header =
          packed + group * (C::scales + (C::per_block ? 2 * kUnit << group_shift : 0)) +
          strip * kStrip * C::scale;
      const Byte* const from = packed + (group + 1) * C::scales + u * kUnit;
      for (size_t line = 0; line < kUnit; line += kLine)
        _mm_prefetch(reinterpret_cast<const char*>(from + 2 * kDepth * kUnit + line), _MM_HINT_T0);
      if constexpr (C::bits == 8) {
        alignas(64) float d[kStrip];
        [[maybe_unused]] alignas(64) float second[kStrip];
        scales_of(header, d);
        if constexpr (C::kHalves || C::kMinimum) scales_of(header + C::scales / 2, second);
        QB_UNROLL for (size_t c = 0; c < kStrip; ++c) {
          const auto dequantized = [&](size_t at, float by) {
            const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at));
            const __m512 codes = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
            if constexpr (C::kMinimum)
              return _mm512_fmsub_ps(codes, _mm512_set1_ps(by), _mm512_set1_ps(second[c]));
            else
              return _mm512_mul_ps(codes, _mm512_set1_ps(by));
          };
          store(to + c * kLine,
                rounded(dequantized(kDeep * c, d[c]),
                        dequantized(kDeep * c + 16, C::kHalves ? second[c] : d[c])));
        }
      } else {
        Byte* const table = tables + strip * kStrip * C::table;
        if (C::per_block ? (step & ((size_t{1} << group_shift) - 1)) == 0 : step == 0)
          tabulate(header, table);
        QB_UNROLL for (size_t four = 0; four < kStrip; four += 4) {
          const __m512i words = load(from + four / 4 * kLine);
          QB_UNROLL for (unsigned j = 0; j < 4; ++j) {
            store(to + (four + j) * kLine,
                  looked_up(table + (four + j) * C::table, _mm512_srli_epi16(words, 4 * j)));
          }
        }
      }
    }

    /// Of the words' first nibbles.
    [[gnu::always_inline]] static __m512i looked_up(const Byte* products, __m512i words) {
      if constexpr (C::kHalves)
        return _mm512_permutexvar_epi16(index_of_halves(words), load(products));
      // Twice over: the nibble next to the index is in its way.
      const __m256i once = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(products));
      return _mm512_permutexvar_epi16(words, _mm512_broadcast_i64x4(once));
    }
    /// Through memory, from where they are broadcast for nothing.
    static void scales_of(const Byte* header, float* d) {
      if constexpr (C::kMinimum)
        _mm512_storeu_ps(d, _mm512_loadu_ps(header));
      else
        _mm512_storeu_ps(d, group_scales<typename C::Scale>(header));
      stored(d);
    }
    /// The 16 values of each of 16 outputs.
    static void tabulate(const Byte* header, Byte* table) {
      alignas(64) float d[kStrip];
      scales_of(header, d);
      const __m512 codes = _mm512_loadu_ps(F::Codes::kFloats);
      [[maybe_unused]] alignas(64) float second[kStrip];  // minima, or scales of second halves
      if constexpr (C::kMinimum || C::kHalves) scales_of(header + C::scales / 2, second);
      const auto values = [&](size_t c) {
        if constexpr (C::kMinimum)
          return _mm512_fmsub_ps(codes, _mm512_set1_ps(d[c]), _mm512_set1_ps(second[c]));
        else
          return _mm512_mul_ps(codes, _mm512_set1_ps(d[c]));
      };
      if constexpr (C::kHalves)
        QB_UNROLL for (size_t c = 0; c < kStrip; ++c)
            store(table + c * C::table,
                  rounded(values(c), _mm512_mul_ps(codes, _mm512_set1_ps(second[c]))));
      else
        QB_UNROLL for (size_t c = 0; c < kStrip; c += 2)
            store(table + c * C::table, rounded(values(c), values(c + 1)));
    }
  };
  static Panel panel(const Byte* packed, size_t group, Byte* tables) {
    return {packed, group >= 4 * kDeep ? 2u : group >= 2 * kDeep ? 1u : 0u, tables};
  }
};

template <class P>
void run(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
         size_t n0, size_t n1, void* out) {
  using W = Walk<P>;
  const size_t bytes = P::panel(w.k, w.group);
  float* const y = static_cast<float*>(out);
  alignas(64) Byte tables[kPanel * 2 * kProducts];  // two scales an output if halves have their own
  const bool stream = streams(w, P::packed_bytes(w.n, w.k, w.group), m, y);
  walk<W>(
      static_cast<const Byte*>(workspace), m, steps_of(w.k), n0, n1,
      [&](size_t n) {
        return W::panel(static_cast<const Byte*>(packed) + n / kPanel * bytes, w.group, tables);
      },
      [&](size_t row, size_t n, size_t columns) {
        return Sums{Columns(y + row * w.n + n, w.n, columns, stream), least(m - row, 2 * kRows)};
      });
  if (stream) _mm_sfence();
}

/// Loops: P, or what its loops need of it.
template <class P, class Loops = P>
constexpr Kernel kernel_of() {
  return {.n_step = kPanel,
          .packed_bytes = P::packed_bytes,
          .pack = P::pack,
          .unpack = P::unpack,
          .workspace_bytes = workspace_bytes,
          .m_step = kRows,
          .prepare = prepare,
          .run = run<Loops>};
}

template <class F>
constexpr Kernel kernel_of_format() {
  if constexpr (__is_same(F, source::f16))
    return {};
  else if constexpr (__is_same(F, source::f32))
    return kernel_of<Floats>();
  else
    return kernel_of<Codes<F>, Codes<KindsOf<F>>>();
}

}  // namespace

constexpr Kernels matmul_abf16_amx =
    every_format([](auto format) { return kernel_of_format<decltype(format)>(); });

}  // namespace qb::matmul
