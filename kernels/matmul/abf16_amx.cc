// Products of bf16 activations, AMX.
//
// tdpbf16ps adds the products of 16 rows of activations and 16 outputs, 32 of K at a time, in 16
// cycles (amx_tiles.h has the blocking). It adds up even and odd K apart, then both, then that to
// the sum, each rounded to nearest with subnormals taken for zero: no more roundings than products,
// and so within the contract's bound and floor.
//
// f32 weights are packed as rounded tiles. Quantized ones are dequantized in f32, rounded by
// vcvtne2ps2bf16 and kept in L1 as tiles, a block of a panel at a time, while the last block is
// multiplied: for 32 weights two shifts and two permutes that look the nibbles up (8-bit: two
// widening loads and two conversions), two multiplications and the rounding's four, 10 uops of the
// two vector ports. Codes lie so that the registers that are rounded hold pairs of K, and nothing
// has to be interleaved. A tile of 512 weights takes 80 cycles at best (llvm-mca: 93, with more on
// one port than on the other), and 32 rows multiply it in 32: below some 90 rows decoding binds,
// one row or many, and beyond them the tiles.
#include "matmul/amx_tiles.h"

#if !(defined(__AMX_BF16__) || defined(__AMXBF16__)) || !defined(__AVX512BF16__)  // clang 14's
#error "compile with the flags of cmake/Isa.cmake for amx"
#endif

namespace qb::matmul {
namespace {

QB_TILE_PRODUCTS(Bf16, _tile_dpbf16ps)

constexpr size_t kDeep = 32;  // of K in a step

constexpr size_t steps_of(size_t k) { return quotient_up(k, kDeep); }

// --- f32 weights -------------------------------------------------------------------------------

// Panel: for each step the tiles of outputs 0-15 and 16-31. A tile: rows of two bf16 of each
// output.

struct Floats {
  static size_t panel(size_t k, size_t) { return steps_of(k) * 2 * kTile; }

  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    return quotient_up(n, kPanel) * panel(k, group);
  }

  static void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
    for (size_t n = n0; n < n1; n += kPanel) {
      Byte* out = static_cast<Byte*>(packed) + n / kPanel * panel(w.k, w.group);
      for (size_t k = 0; k < w.k; k += kDeep)
        for (size_t strip = n; strip < n + kPanel; strip += kStrip, out += kTile) {
          __m512i v[16];
          for (size_t c = 0; c < kStrip; ++c) v[c] = bf16_of(w, strip + c, k);
          transpose(v);
          for (size_t j = 0; j < 16; ++j) store(out + j * kLine, v[j]);
        }
    }
  }

  static void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1,
                     void* values) {
    for (size_t n = n0; n < n1; ++n)
      for (size_t i = 0; i < k; ++i) {
        const Byte* const tile = static_cast<const Byte*>(packed) + n / kPanel * panel(k, group) +
                                 (i / kDeep * 2 + n % kPanel / kStrip) * kTile;
        std::uint16_t half;
        __builtin_memcpy(&half, tile + i % kDeep / 2 * kLine + n % kStrip * 4 + i % 2 * 2, 2);
        static_cast<float*>(values)[n * k + i] =
            __builtin_bit_cast(float, static_cast<std::uint32_t>(half) << 16);
      }
  }
};

// --- Quantized weights -------------------------------------------------------------------------

// Panel: for each group 32 f16 scales, then its steps; for one scale per output 32 f32 scales, then
// all steps. A step: outputs 0-15, then 16-31. 16 outputs' codes are in the order in which their
// tile will have them: pairs of K, for each the outputs in turn. 8-bit: as bytes. 4-bit: stored +8;
// for K+0..15 and K+16..31 apart outputs 0-7 and 8-15 apart, in 16 dwords (two of K for each
// output), whose j'th nibbles are the j'th pair's.

template <class F>
struct Codes {
  static constexpr int bits = F::bits;
  static constexpr bool per_block = F::per_block;
  static constexpr size_t unit = kStrip * kDeep * bits / 8;
  static constexpr size_t scale = per_block ? sizeof(f16) : sizeof(float);
  static constexpr size_t scales = kPanel * scale;
  static size_t panel(size_t k, size_t group) {
    return (per_block ? k / group : 1) * scales + steps_of(k) * 2 * unit;
  }

  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    return quotient_up(n, kPanel) * panel(k, group);
  }

  static void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
    for (size_t n = n0; n < n1; n += kPanel) {
      Byte* out = static_cast<Byte*>(packed) + n / kPanel * panel(w.k, w.group);
      if constexpr (!per_block) {
        for (size_t c = 0; c < kPanel; ++c, out += scale) {
          const float d = n + c < w.n ? static_cast<const float*>(w.scales)[n + c] : 0.0f;
          __builtin_memcpy(out, &d, sizeof d);
        }
      }
      for (size_t k = 0; k < w.k; k += kDeep) {
        if constexpr (per_block) {
          if (k % w.group == 0)
            for (size_t c = 0; c < kPanel; ++c, out += scale) {
              const f16 d = n + c < w.n ? F::scale(w, n + c, k / w.group) : f16{};
              __builtin_memcpy(out, &d, sizeof d);
            }
        }
        for (size_t strip = n; strip < n + kPanel; strip += kStrip, out += unit)
          pack_strip(w, strip, k, out);
      }
    }
  }

  static void pack_strip(const Weights& w, size_t n, size_t k, Byte* out) {
    __m512i v[16];
    for (size_t c = 0; c < kStrip; ++c) v[c] = codes_of<F>(w, n + c, k, kDeep);
    transpose(v);
    __m256i pair[16];
    for (int j = 0; j < 8; ++j) {
      pair[2 * j] = _mm512_cvtepi32_epi16(v[j]);
      pair[2 * j + 1] = _mm512_cvtepi32_epi16(_mm512_srli_epi32(v[j], 16));
    }
    if constexpr (bits == 8) {
      for (int j = 0; j < 16; ++j)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out) + j, pair[j]);
    } else {
      for (int half = 0; half < 2; ++half) {
        __m512i low = _mm512_setzero_si512(), high = low;
        for (unsigned j = 0; j < 8; ++j) {
          const __m256i p = _mm256_add_epi8(pair[8 * half + j], _mm256_set1_epi8(8));
          low = _mm512_or_si512(
              low, _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm256_castsi256_si128(p)), 4 * j));
          high = _mm512_or_si512(
              high, _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm256_extracti128_si256(p, 1)), 4 * j));
        }
        store(out + 2 * half * kLine, low);
        store(out + (2 * half + 1) * kLine, high);
      }
    }
  }

  static void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1,
                     void* codes) {
    for (size_t n = n0; n < n1; ++n)
      for (size_t i = 0; i < k; ++i) {
        const Byte* const strip = static_cast<const Byte*>(packed) + n / kPanel * panel(k, group) +
                                  (per_block ? i / group + 1 : 1) * scales +
                                  (i / kDeep * 2 + n % kPanel / kStrip) * unit;
        const size_t pair = i % kDeep / 2, place = n % kStrip * 2 + i % 2;
        int code;
        if constexpr (bits == 8) {
          code = static_cast<std::int8_t>(strip[pair * kStrip * 2 + place]);
        } else {
          const int byte =
              strip[(pair / 8 * 2 + place / 16) * kLine + place % 16 * 4 + pair % 8 / 2];
          code = (pair % 2 ? byte >> 4 : byte & 15) - 8;
        }
        static_cast<std::int8_t*>(codes)[n * k + i] = static_cast<std::int8_t>(code);
      }
  }
};

// --- Activations -------------------------------------------------------------------------------

void prepare(const void* x, size_t m, size_t k, size_t, size_t m0, size_t m1, void* workspace) {
  const size_t steps = steps_of(k);
  Byte* const tiles = static_cast<Byte*>(workspace);
  for (size_t row = m0; row < m1; ++row) {
    const float* from = static_cast<const float*>(x) + row * k;
    Byte* to = tiles + row / kRows * row_tiles(steps) + row % kRows * kLine;
    size_t i = 0;
    for (; i + kDeep <= k; i += kDeep, to += kTile)
      store(to, rounded(_mm512_loadu_ps(from + i), _mm512_loadu_ps(from + i + 16)));
    if (i < k)
      store(to, rounded(load_some(from + i, first(k - i)),
                        load_some(from + i + 16, first(k - i) >> 16)));
  }
  if (m1 == m) clear_missing_rows(tiles, m, steps);
}

size_t workspace_bytes(size_t m, size_t, size_t k, size_t) {
  return activation_bytes(m, steps_of(k));
}

// --- Products ----------------------------------------------------------------------------------

struct Sums {
  Columns columns;

  template <bool split>
  [[gnu::always_inline]] void store(const std::int32_t* sums, size_t row) const {
    __m512 y[2];
    QB_UNROLL for (size_t c = 0; c < 2; ++c) {
      y[c] = _mm512_loadu_ps(sums + row * kPanel + c * kStrip);
      if constexpr (split)
        y[c] = _mm512_add_ps(y[c], _mm512_loadu_ps(sums + (kRows + row) * kPanel + c * kStrip));
    }
    columns.store(row, y[0], y[1]);
  }
};

template <class P>
struct Walk;

template <>
struct Walk<Floats> {
  using Products = Bf16;
  using Output = Sums;
  static constexpr bool kDecodes = false;
  static constexpr size_t kUnit = kTile;

  struct Panel {
    const Byte* tiles;
    const Byte* tile(size_t u) const { return tiles + u * kUnit; }
  };
  static Panel panel(const Byte* packed, size_t) { return {packed}; }
};

template <class F>
struct Walk<Codes<F>> {
  using Products = Bf16;
  using Output = Sums;
  using C = Codes<F>;
  static constexpr bool kDecodes = true;
  static constexpr size_t kUnit = C::unit;

  struct Panel {
    const Byte* packed;
    unsigned group_shift;  ///< steps to groups

    /// 16 rows of 16 outputs' pairs of K.
    [[gnu::always_inline]] void decode(size_t u, Byte* to) const {
      const size_t group = C::per_block ? u / 2 >> group_shift : 0, strip = u % 2;
      const Byte* const header =
          packed + group * (C::scales + (C::per_block ? 2 * kUnit << group_shift : 0)) +
          strip * kStrip * C::scale;
      const Byte* const from = packed + (group + 1) * C::scales + u * kUnit;
      for (size_t line = 0; line < kUnit; line += kLine)
        _mm_prefetch(reinterpret_cast<const char*>(from + 2 * kDepth * kUnit + line), _MM_HINT_T0);
      __m512 d;
      if constexpr (C::per_block)
        d = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(header)));
      else
        d = _mm512_loadu_ps(header);
      const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
      const __m512 d0 = _mm512_permutexvar_ps(twice, d);
      const __m512 d1 = _mm512_permutexvar_ps(_mm512_add_epi32(twice, _mm512_set1_epi32(8)), d);
      if constexpr (C::bits == 8) {
        const auto widened = [&](size_t at) {
          return _mm512_cvtepi32_ps(
              _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at))));
        };
        QB_UNROLL for (size_t j = 0; j < 16; ++j) store(
            to + j * kLine,
            rounded(_mm512_mul_ps(widened(32 * j), d0), _mm512_mul_ps(widened(32 * j + 16), d1)));
      } else {
        const __m512 table = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
        QB_UNROLL for (size_t half = 0; half < 2; ++half) {
          const __m512i low = load(from + 2 * half * kLine);
          const __m512i high = load(from + (2 * half + 1) * kLine);
          QB_UNROLL for (unsigned j = 0; j < 8; ++j) {
            const __m512 f0 = _mm512_permutexvar_ps(_mm512_srli_epi32(low, 4 * j), table);
            const __m512 f1 = _mm512_permutexvar_ps(_mm512_srli_epi32(high, 4 * j), table);
            store(to + (8 * half + j) * kLine,
                  rounded(_mm512_mul_ps(f0, d0), _mm512_mul_ps(f1, d1)));
          }
        }
      }
    }
  };
  static Panel panel(const Byte* packed, size_t group) {
    return {packed, group >= 4 * kDeep ? 2u : group >= 2 * kDeep ? 1u : 0u};
  }
};

template <class P>
void run(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
         size_t n0, size_t n1, void* out) {
  using W = Walk<P>;
  const size_t bytes = P::panel(w.k, w.group);
  float* const y = static_cast<float*>(out);
  const bool stream = streams(w, P::packed_bytes(w.n, w.k, w.group), m, y);
  walk<W>(
      static_cast<const Byte*>(workspace), m, steps_of(w.k), n0, n1,
      [&](size_t n) {
        return W::panel(static_cast<const Byte*>(packed) + n / kPanel * bytes, w.group);
      },
      [&](size_t row, size_t n, size_t columns) {
        return Sums{Columns(y + row * w.n + n, w.n, columns, stream)};
      });
  if (stream) _mm_sfence();
}

template <class P>
constexpr Kernel kernel_of() {
  return {.n_step = kPanel,
          .packed_bytes = P::packed_bytes,
          .pack = P::pack,
          .unpack = P::unpack,
          .workspace_bytes = workspace_bytes,
          .m_step = kRows,
          .prepare = prepare,
          .run = run<P>};
}

}  // namespace

constexpr Kernel matmul_abf16_f32_amx = kernel_of<Floats>();
constexpr Kernel matmul_abf16_s8_amx = kernel_of<Codes<S8>>();
constexpr Kernel matmul_abf16_s4_amx = kernel_of<Codes<S4>>();
constexpr Kernel matmul_abf16_s8g_amx = kernel_of<Codes<S8g>>();
constexpr Kernel matmul_abf16_s4g_amx = kernel_of<Codes<S4g>>();
constexpr Kernel matmul_abf16_q8_0_amx = kernel_of<Codes<Q8_0>>();
constexpr Kernel matmul_abf16_q4_0_amx = kernel_of<Codes<Q4_0>>();

}  // namespace qb::matmul
