// Products of bf16 activations, AVX512-BF16.
//
// vdpbf16ps adds two products to each of 16 sums, two roundings and no subnormals: within the
// contract's bound and floor. On a Zen 4 it is one zmm a cycle, as f32's FMA is, and so twice its
// products.
//
// A vector of weights holds eight of K of four outputs, and meets eight of K of a row of
// activations, repeated four times by its load; so a sum comes in four parts, which are added at
// the end. Eight bf16 that lie together are what packing, decoding and rounding give without any
// interleaving, and four outputs are what a table can serve: of 4-bit codes the 16 products of code
// and scale are rounded once for each output (or its group), and vpermi2w, which takes 6 bits of
// index, two of them for the output, looks 32 up. That is a shift for three in four, a mask, and
// the look-up. 8-bit codes take eight: two to widen, two to convert, two to scale, and a rounding
// that counts for two.
//
// Up to six rows meet the weights as they are decoded. Of more, the first six do, so that decoding
// fills the pipes that their products leave idle, and 512 of K of a panel stay in L1 for the rest:
// tiles of 6 rows x 16 outputs, 24 products for 4 loads and 6 repeated ones.
#include "matmul/row_codes.h"

#if !defined(__AVX512BF16__) || !defined(__AVX512BW__) || !defined(__AVX512DQ__)
#error "compile with the flags of cmake/Isa.cmake for avx512bf16"
#endif

namespace qb::matmul {
namespace {

constexpr size_t kPanel = 16;                // outputs
constexpr size_t kQuads = 4;                 // vectors of them: outputs q, 4+q, 8+q and 12+q
constexpr size_t kVector = 64;               // bytes: eight of K of four outputs, bf16
constexpr size_t kEight = kQuads * kVector;  // eight of K of a panel
constexpr size_t kUnit = 4 * kEight;         // a block of K of a panel
constexpr size_t kRows = 6;                  // of a tile
constexpr size_t kDepth = 16;                // blocks of K that are decoded at a time: 16 KiB
constexpr size_t kAhead = 1024;              // bytes that are prefetched ahead
constexpr size_t kBlockRows = 192;
constexpr size_t kBlockOutputs = 128;
constexpr size_t kStaysInL2 = 512 * 1024;  // bytes of activations

constexpr size_t blocks_of(size_t k) { return quotient_up(k, kBlock); }

// Bytes of a row of the workspace: an odd number of lines, so that rows share no set of L1.
constexpr size_t row_bytes(size_t k) { return (blocks_of(k) | 1) * kBlock * 2; }

// --- f32 weights, and what was decoded -----------------------------------------------------------

// Packed: for each eight of K the quads; of each its four outputs.

struct Floats {
  static constexpr bool decodes = false;
  static constexpr bool per_block = false;
  static constexpr size_t header = 0;

  static size_t panel(size_t k, size_t) { return blocks_of(k) * kUnit; }

  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    return quotient_up(n, kPanel) * panel(k, group);
  }

  static void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
    for (size_t n = n0; n < n1; n += kPanel) {
      Byte* out = static_cast<Byte*>(packed) + n / kPanel * panel(w.k, w.group);
      for (size_t k = 0; k < w.k; k += kBlock, out += kUnit)
        for (size_t c = 0; c < kPanel; ++c) {
          const __m512i v = bf16_of(w, n + c, k);
          Byte eights[kVector];
          store(eights, v);
          for (size_t i = 0; i < 4; ++i)
            __builtin_memcpy(out + i * kEight + c % kQuads * kVector + c / kQuads * 16,
                             eights + i * 16, 16);
        }
    }
  }

  static void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1,
                     void* values) {
    for (size_t n = n0; n < n1; ++n)
      for (size_t i = 0; i < k; ++i) {
        const size_t c = n % kPanel;
        const Byte* const at = static_cast<const Byte*>(packed) + n / kPanel * panel(k, group) +
                               i / 8 * kEight + c % kQuads * kVector + c / kQuads * 16 + i % 8 * 2;
        std::uint16_t half;
        __builtin_memcpy(&half, at, sizeof half);
        static_cast<float*>(values)[n * k + i] =
            __builtin_bit_cast(float, static_cast<std::uint32_t>(half) << 16);
      }
  }
};

// --- Quantized weights
// -----------------------------------------------------------------------------

/// Output 4l+q's scale in the eight floats of lane l, for lanes l and l+1.
inline __m512i of_lanes(const float* scales, size_t q, size_t l) {
  const __m512 both = _mm512_set1_ps(scales[4 * l + q]);
  return _mm512_castps_si512(
      _mm512_mask_broadcastss_ps(both, 0xff00, _mm_load_ss(scales + 4 * l + 4 + q)));
}

/// Eight of K of four outputs are 32 bytes.
struct Widened {
  static constexpr size_t quad = 4 * 32;
  static constexpr size_t kFactors = 2;
  /// Scales of outputs in lanes 0 and 1, and in 2 and 3.
  static void factors(const float* scales, size_t q, __m512i (&f)[2]) {
    f[0] = of_lanes(scales, q, 0);
    f[1] = of_lanes(scales, q, 2);
  }
  static __m512 scaled(const Byte* p, __m512i scale) {
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(
                             _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))),
                         _mm512_castsi512_ps(scale));
  }
  template <size_t i>
  static __m512i get(const Byte* p, const __m512i (&f)[2]) {
    return rounded(scaled(p + i * 32, f[0]), scaled(p + i * 32 + 16, f[1]));
  }
  /// K 0-31 of output c, a byte each, to their places.
  static void put(const Byte* codes, size_t c, Byte* unit) {
    for (size_t i = 0; i < 4; ++i)
      __builtin_memcpy(unit + (c % kQuads * 4 + i) * 32 + c / kQuads * 8, codes + 8 * i, 8);
  }
  static int code(const Byte* unit, size_t c, size_t k) {
    return static_cast<std::int8_t>(unit[(c % kQuads * 4 + k / 8) * 32 + c / kQuads * 8 + k % 8]);
  }
};

/// Word j of an output holds K j, 8+j, 16+j and 24+j, stored +8.
struct LookedUp {
  static constexpr size_t quad = 64;
  static constexpr size_t kFactors = 2;
  /// The products of outputs in lanes 0 and 1, and in 2 and 3, 16 each.
  static void factors(const float* scales, size_t q, __m512i (&f)[2]) {
    const __m512 codes = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    const auto products = [&](size_t lane) {
      return _mm512_mul_ps(codes, _mm512_set1_ps(scales[4 * lane + q]));
    };
    f[0] = rounded(products(0), products(1));
    f[1] = rounded(products(2), products(3));
  }
  template <size_t i>
  static __m512i get(const Byte* p, const __m512i (&f)[2]) {
    const __m512i lane =
        _mm512_setr_epi64(0, 0, 0x0010001000100010, 0x0010001000100010, 0x0020002000200020,
                          0x0020002000200020, 0x0030003000300030, 0x0030003000300030);
    __m512i v = load(p);
    if constexpr (i > 0) v = _mm512_srli_epi16(v, 4 * i);
    // 0xea: (v & 15) | lane
    v = _mm512_ternarylogic_epi32(v, _mm512_set1_epi16(15), lane, 0xea);
    return _mm512_permutex2var_epi16(f[0], v, f[1]);
  }
  static void put(const Byte* codes, size_t c, Byte* unit) {
    Byte* const to = unit + c % kQuads * quad + c / kQuads * 16;
    for (size_t j = 0; j < 8; ++j) {
      const auto up = [&](size_t i) { return static_cast<Byte>(codes[8 * i + j] + 8); };
      to[2 * j] = static_cast<Byte>(up(0) | up(1) << 4);
      to[2 * j + 1] = static_cast<Byte>(up(2) | up(3) << 4);
    }
  }
  static int code(const Byte* unit, size_t c, size_t k) {
    const int byte = unit[c % kQuads * quad + c / kQuads * 16 + k % 8 * 2 + k / 16];
    return (k / 8 % 2 ? byte >> 4 : byte & 15) - 8;
  }
};

template <int bits>
struct HowTo;
template <>
struct HowTo<8> : Widened {};
template <>
struct HowTo<4> : LookedUp {};

/// Panel: for each group 16 f16 scales, then its blocks; for one scale per output 16 f32 scales,
/// then all blocks. A block: its quads.
template <class F>
struct Codes : HowTo<F::bits> {
  using How = HowTo<F::bits>;
  static constexpr bool decodes = true;
  static constexpr bool per_block = F::per_block;
  static constexpr size_t unit = kQuads * How::quad;
  static constexpr size_t header = kPanel * (per_block ? sizeof(f16) : sizeof(float));

  static size_t panel(size_t k, size_t group) {
    return (per_block ? k / group : 1) * header + blocks_of(k) * unit;
  }

  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    return quotient_up(n, kPanel) * panel(k, group);
  }

  static void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
    for (size_t n = n0; n < n1; n += kPanel) {
      Byte* out = static_cast<Byte*>(packed) + n / kPanel * panel(w.k, w.group);
      if constexpr (!per_block) {
        for (size_t c = 0; c < kPanel; ++c, out += sizeof(float)) {
          const float d = n + c < w.n ? static_cast<const float*>(w.scales)[n + c] : 0.0f;
          __builtin_memcpy(out, &d, sizeof d);
        }
      }
      for (size_t k = 0; k < w.k; k += kBlock, out += unit) {
        if constexpr (per_block) {
          if (k % w.group == 0)
            for (size_t c = 0; c < kPanel; ++c, out += sizeof(f16)) {
              const f16 d = n + c < w.n ? F::scale(w, n + c, k / w.group) : f16{};
              __builtin_memcpy(out, &d, sizeof d);
            }
        }
        for (size_t c = 0; c < kPanel; ++c) {
          Byte codes[64];
          store(codes, codes_of<F>(w, n + c, k, kBlock));
          How::put(codes, c, out);
        }
      }
    }
  }

  static void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1,
                     void* codes) {
    for (size_t n = n0; n < n1; ++n)
      for (size_t i = 0; i < k; ++i) {
        const Byte* const at = static_cast<const Byte*>(packed) + n / kPanel * panel(k, group) +
                               (per_block ? i / group + 1 : 1) * header + i / kBlock * unit;
        static_cast<std::int8_t*>(codes)[n * k + i] =
            static_cast<std::int8_t>(How::code(at, n % kPanel, i % kBlock));
      }
  }
};

// --- Activations
// -----------------------------------------------------------------------------------

/// Rows as they are, zeros behind them up to a block.
void prepare(const void* x, size_t, size_t k, size_t, size_t m0, size_t m1, void* workspace) {
  for (size_t row = m0; row < m1; ++row) {
    const float* const from = static_cast<const float*>(x) + row * k;
    Byte* const to = static_cast<Byte*>(workspace) + row * row_bytes(k);
    size_t i = 0;
    for (; i + kBlock <= k; i += kBlock)
      store(to + 2 * i, rounded(_mm512_loadu_ps(from + i), _mm512_loadu_ps(from + i + 16)));
    if (i < k)
      store(to + 2 * i, rounded(load_some(from + i, first(k - i)),
                                load_some(from + i + 16, first(k - i) >> 16)));
  }
}

size_t workspace_bytes(size_t m, size_t, size_t k, size_t) { return m * row_bytes(k); }

// --- Products ----------------------------------------------------------------------------------

/// Keeps the compiler from holding what it read at p: there are no registers to hold it in.
inline void forget(const Byte*& p) { asm("" : "+r"(p)); }

/// Eight of K of a row, for each of four outputs.
inline __m512i repeated(const Byte* x) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
}

inline __m512 dot(__m512 sum, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(sum, __builtin_bit_cast(__m512bh, a), __builtin_bit_cast(__m512bh, b));
}

/// Four quads' sums, in four parts each, to those of 16 outputs in order.
inline __m512 joined(const __m512 (&quad)[kQuads]) {
  const auto halved = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  };
  const __m512d a = _mm512_castps_pd(halved(quad[0], quad[1]));
  const __m512d b = _mm512_castps_pd(halved(quad[2], quad[3]));
  return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                       _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
}

/// Where the sums of panels side by side come from (null: from nothing) and go to, a row each.
struct Sums {
  const float* from;
  float* to;
  size_t stride;   ///< of `to`; `from` is of one panel, without gaps
  size_t outputs;  ///< that are there
};

/// Sums of R rows and P panels, in kTurns sets that take turns.
template <int R, int P, int kTurns>
struct Accumulators {
  __m512 sum[kTurns][P][R][kQuads];

  [[gnu::always_inline]] void clear() {
    QB_UNROLL for (int t = 0; t < kTurns; ++t) QB_UNROLL for (int s = 0; s < P; ++s)
        QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (size_t q = 0; q < kQuads; ++q)
            sum[t][s][r][q] = _mm512_setzero_ps();
  }
  /// The i'th eight of K of panel s, quad q, and of row r.
  [[gnu::always_inline]] void add(size_t i, int s, int r, size_t q, __m512i weights, __m512i row) {
    __m512& to = sum[i % kTurns][s][r][q];
    to = dot(to, weights, row);
  }
  [[gnu::always_inline]] void write(const Sums& sums) {
    QB_UNROLL for (int s = 0; s < P; ++s) QB_UNROLL for (int r = 0; r < R; ++r) {
      if constexpr (kTurns > 1)
        QB_UNROLL for (size_t q = 0; q < kQuads; ++q) sum[0][s][r][q] =
            _mm512_add_ps(sum[0][s][r][q], sum[1][s][r][q]);
      __m512 y = joined(sum[0][s][r]);
      if (P == 1 && sums.from)
        y = _mm512_add_ps(y, _mm512_loadu_ps(sums.from + size_t(r) * kPanel));
      const size_t before = size_t(s) * kPanel;
      _mm512_mask_storeu_ps(sums.to + size_t(r) * sums.stride + before,
                            static_cast<__mmask16>(first(sums.outputs - before)), y);
    }
  }
};

/// R rows at x, x_stride bytes apart, times `blocks` blocks of P panels' bf16 at p, p_stride apart.
template <int R, int P = 1>
[[gnu::noinline]] void tile(const Byte* p, size_t p_stride, size_t blocks, const Byte* x,
                            size_t x_stride, const Sums& sums) {
  Accumulators<R, P, 1> acc;
  acc.clear();
  for (size_t b = 0; b < blocks; ++b, p += kUnit, x += kBlock * 2)
    QB_UNROLL for (size_t i = 0; i < 4; ++i) QB_UNROLL for (int s = 0; s < P; ++s) {
      const Byte* const here = p + size_t(s) * p_stride + i * kEight;
      __m512i w[kQuads];
      QB_UNROLL for (size_t q = 0; q < kQuads; ++q) {
        w[q] = load(here + q * kVector);
        _mm_prefetch(reinterpret_cast<const char*>(here + q * kVector + 4 * kAhead / P),
                     _MM_HINT_T0);
      }
      QB_UNROLL for (int r = 0; r < R; ++r) {
        const __m512i row = repeated(x + size_t(r) * x_stride + 16 * i);
        QB_UNROLL for (size_t q = 0; q < kQuads; ++q) acc.add(i, s, r, q, w[q], row);
      }
    }
  acc.write(sums);
}

/// The same with packed codes at p, behind their scales or, of one scale per output, with those at
/// `scales`. group: blocks that share scales. kKeeps: what is decoded goes to `kept` as well.
template <class C, int R, bool kKeeps>
[[gnu::noinline]] void decode_and_multiply(const Byte* p, const Byte* scales, size_t blocks,
                                           size_t group, const Byte* x, size_t x_stride, Byte* kept,
                                           const Sums& sums) {
  Accumulators<R, 1, R <= 2 ? 2 : 1> acc;  // few rows wait for a product's latency
  acc.clear();
  alignas(64) float scale[kPanel];
  __m512i factors[kQuads][C::kFactors];
  const auto spread = [&](__m512 v) __attribute__((always_inline)) {
    // From memory, where a load repeats them: the compiler would rather permute.
    _mm512_store_ps(scale, v);
    const float* from = scale;
    asm("" : "+r"(from) : "m"(scale));
    QB_UNROLL for (size_t q = 0; q < kQuads; ++q) C::factors(from, q, factors[q]);
  };
  if constexpr (!C::per_block) spread(_mm512_loadu_ps(scales));
  for (size_t b = 0; b < blocks;) {
    if constexpr (C::per_block) {
      spread(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
      p += C::header;
    }
    for (const size_t end = C::per_block ? b + group : blocks; b < end;
         ++b, p += C::unit, x += kBlock * 2) {
      QB_UNROLL for (size_t q = 0; q < kQuads; ++q) {
        const Byte* const codes = p + q * C::quad;
        QB_UNROLL for (size_t line = 0; line < C::quad; line += 64)
            _mm_prefetch(reinterpret_cast<const char*>(codes + line + kAhead), _MM_HINT_T0);
        if constexpr (R > 1) forget(x);
        const auto add = [&](size_t i, __m512i w) __attribute__((always_inline)) {
          if constexpr (kKeeps) store(kept + b * kUnit + i * kEight + q * kVector, w);
          QB_UNROLL for (int r = 0; r < R; ++r)
              acc.add(i, 0, r, q, w, repeated(x + size_t(r) * x_stride + 16 * i));
        };
        add(0, C::template get<0>(codes, factors[q]));
        add(1, C::template get<1>(codes, factors[q]));
        add(2, C::template get<2>(codes, factors[q]));
        add(3, C::template get<3>(codes, factors[q]));
      }
    }
  }
  acc.write(sums);
}

/// What the products of one call have in common.
struct Call {
  size_t blocks;    ///< of K
  size_t group;     ///< blocks that share scales
  size_t panel;     ///< bytes of a panel
  size_t x_stride;  ///< bytes from row to row of the workspace
};

/// Blocks [b0,b1) of a panel, for `rows` rows, at most R.
template <class C, int R>
void first_rows(const Call& call, size_t rows, const Byte* panel, size_t b0, size_t b1,
                const Byte* x, Byte* kept, const Sums& sums) {
  if constexpr (R > 0) {
    if (rows < R) return first_rows<C, R - 1>(call, rows, panel, b0, b1, x, kept, sums);
    if constexpr (C::decodes) {
      const Byte* p = panel + b0 * C::unit + (C::per_block ? b0 / call.group : 1) * C::header;
      if (kept)
        decode_and_multiply<C, R, true>(p, panel, b1 - b0, call.group, x, call.x_stride, kept,
                                        sums);
      else
        decode_and_multiply<C, R, false>(p, panel, b1 - b0, call.group, x, call.x_stride, kept,
                                         sums);
    } else {
      tile<R>(panel + b0 * kUnit, 0, b1 - b0, x, call.x_stride, sums);
    }
  }
}

template <int R>
void more_rows(size_t rows, const Byte* decoded, size_t blocks, const Byte* x, size_t x_stride,
               const Sums& sums) {
  if constexpr (R > 0) {
    if (rows < R) return more_rows<R - 1>(rows, decoded, blocks, x, x_stride, sums);
    tile<R>(decoded, 0, blocks, x, x_stride, sums);
  }
}

template <class C>
void run(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
         size_t n0, size_t n1, void* out) {
  const Call call = {blocks_of(w.k), C::per_block ? w.group / kBlock : 1, C::panel(w.k, w.group),
                     row_bytes(w.k)};
  const auto* const x = static_cast<const Byte*>(workspace);
  auto* const y = static_cast<float*>(out);
  const auto panel_of = [&](size_t n) {
    return static_cast<const Byte*>(packed) + n / kPanel * call.panel;
  };
  if (m == 0) return;
  if (m <= kRows) {
    size_t n = n0;
    // Memory binds what is not decoded, and several streams arrive faster than one.
    if constexpr (!C::decodes)
      for (const size_t panels = m == 1 ? 4 : 2; m <= 3 && n + (panels - 1) * kPanel < n1;
           n += panels * kPanel) {
        const auto streams = m == 1 ? tile<1, 4> : m == 2 ? tile<2, 2> : tile<3, 2>;
        streams(panel_of(n), call.panel, call.blocks, x, call.x_stride,
                {nullptr, y + n, w.n, n1 - n});
      }
    for (; n < n1; n += kPanel)
      first_rows<C, kRows>(call, m, panel_of(n), 0, call.blocks, x, nullptr,
                           {nullptr, y + n, w.n, n1 - n});
    return;
  }
  // Where all activations stay in L2 a panel can be read in one go, as it lies in memory.
  const size_t outputs = m * call.x_stride <= kStaysInL2 ? kPanel : kBlockOutputs;
  alignas(64) Byte decoded[C::decodes ? kDepth * kUnit : 64];
  alignas(64) float waiting[kBlockOutputs / kPanel][kBlockRows * kPanel];
  for (size_t m0 = 0; m0 < m; m0 += kBlockRows) {
    const size_t m1 = least(m0 + kBlockRows, m);
    for (size_t from = n0; from < n1; from += outputs) {
      size_t b0 = 0;
      do {
        const size_t b1 = least(b0 + kDepth, call.blocks);
        for (size_t n = from; n < least(from + outputs, n1); n += kPanel) {
          float* const sums = waiting[(n - from) / kPanel];
          const Byte* const weights = C::decodes ? decoded : panel_of(n) + b0 * kUnit;
          // In tiles as equal as can be: one of a row or two would wait for its own sums.
          size_t tiles = quotient_up(m1 - m0, kRows);
          for (size_t row = m0, rows; row < m1; row += rows, --tiles) {
            rows = quotient_up(m1 - row, tiles);
            const Byte* const here = x + row * call.x_stride + b0 * kBlock * 2;
            float* const sum = sums + (row - m0) * kPanel;
            Sums s = {b0 ? sum : nullptr, sum, kPanel, kPanel};
            if (b1 == call.blocks) s = {s.from, y + row * w.n + n, w.n, n1 - n};
            if (C::decodes && row == m0)
              first_rows<C, kRows>(call, rows, panel_of(n), b0, b1, here, decoded, s);
            else
              more_rows<kRows>(rows, weights, b1 - b0, here, call.x_stride, s);
          }
        }
        b0 = b1;
      } while (b0 < call.blocks);
    }
  }
}

template <class C>
constexpr Kernel kernel_of() {
  return {.n_step = kPanel,
          .packed_bytes = C::packed_bytes,
          .pack = C::pack,
          .unpack = C::unpack,
          .workspace_bytes = workspace_bytes,
          .m_step = 1,
          .prepare = prepare,
          .run = run<C>};
}

}  // namespace

constexpr Kernel matmul_abf16_f32_avx512bf16 = kernel_of<Floats>();
constexpr Kernel matmul_abf16_s8_avx512bf16 = kernel_of<Codes<S8>>();
constexpr Kernel matmul_abf16_s4_avx512bf16 = kernel_of<Codes<S4>>();
constexpr Kernel matmul_abf16_s8g_avx512bf16 = kernel_of<Codes<S8g>>();
constexpr Kernel matmul_abf16_s4g_avx512bf16 = kernel_of<Codes<S4g>>();
constexpr Kernel matmul_abf16_q8_0_avx512bf16 = kernel_of<Codes<Q8_0>>();
constexpr Kernel matmul_abf16_q4_0_avx512bf16 = kernel_of<Codes<Q4_0>>();

}  // namespace qb::matmul
