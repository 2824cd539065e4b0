// Products of bf16 activations, AVX512-BF16.
//
// vdpbf16ps adds two products to each of 16 sums, two roundings and no subnormals: within the
// contract's bound and floor. On a Zen 4 it is one zmm a cycle, as f32's FMA is, and so twice its
// products.
//
// One row of codes is bound by decoding them, and of the vector pipes (on a Zen 4 four of 256 bits:
// products have two, shuffles, roundings and shifts share the others, blends and logic have all)
// the layouts are made for. Halves of a zmm instruction for 32 weights, where four are a cycle:
//
//   4-bit, a table there     1.5 to shift, 2 to look up, 2 for the product             5.5
//   4-bit, groups of 32      and 2 to multiply, 4 to round                             11.5
//   8-bit, a table there     2 to look up, 2 to interleave, 1 for the sign, 2           7
//   8-bit, groups            4 to blend, 4 to multiply and add, 4 to round, 2          14
//
// Where a table pays, a vector of weights is 32 of K of one output and meets rows as they lie. Of
// 4-bit codes the 16 products of code and scale are rounded once for each output (or its group);
// they stand in the register twice, so that what follows the code in the index need not be masked.
// Of 8-bit codes with one scale per output the 128 products with the magnitude are rounded once,
// and vpermi2b looks 64 low and 64 high bytes up (VBMI, which the instruction set is taken to
// include: all CPUs with BF16 but Cooper Lake have it), with two unpacks to join them. Scales
// become floats, and floats tables, ahead of their use: broadcasts of what has just been stored
// wait for the store, and products for the rounding.
//
// 8-bit codes in groups have as many products as a table would. A vector holds four of K of eight
// outputs, so that a quarter of the scales needs one shuffle and rows are repeated by a mere load;
// loads at another byte spare shifts.
//
// What is decoded in rows meets up to 6 rows at once, 24 sums. More rows than that are taken by
// four at first, which leave registers to decode with, and what is decoded, 8 KiB at a time, stays
// in L1 for the rest, by six. 4-bit codes with tables at hand are decoded for each six rows anew,
// in the shadow of their products, as long as the rows stay in L2: others would lose 10 to 25 %.
// Codes in groups of 8 bits meet up to 12 rows at once, the first of which decode for all. f32
// weights are not decoded: a vector holds eight of K of four outputs, as those values lie that are
// repeated best, and tiles of 6 rows go through 4096 of K at once, for as many rows as stay in L2
// meanwhile. Of weights that only memory holds up to six rows meet two panels or four at a time
// (three in turns: several streams arrive faster than one), and each tile of more rows fetches its
// part of the panel that comes next; in cache that instruction alone would cost 2 %.
//
// Seen on a Zen 4, one thread, when this was written (README.md has the figures of a whole run):
// one row takes 1.75 cycles for 32 weights of 4 bits, 3.4 in groups of 32, 2.8 of 8 bits, 4.4
// to 4.7 in groups; of f32 weights memory binds it. Of the products' peak four rows reach 94 % with
// 4 bits (67 in groups of 32), 77 with 8 (50), twelve 95 (81) and 83 (70), 32 rows 95 (88) and 88
// (82), and 92 to 97 with f32 weights. Tried and not better: groups of 32 in halves of vectors,
// 8-bit groups in rows as well, f32 weights prefetched farther ahead.
#include "matmul/rows_avx512.h"

#if !defined(__AVX512BF16__) || !defined(__AVX512VBMI__) || !defined(__AVX512BW__) || \
    !defined(__AVX512VL__) || !defined(__AVX512DQ__)
#error "compile with the flags of cmake/Isa.cmake for avx512bf16"
#endif

namespace qb::matmul {
namespace {

constexpr size_t kPanel = 16;      // outputs
constexpr size_t kVector = 64;     // bytes
constexpr size_t kUnit = 16 * 64;  // a block of K of a panel, bf16
constexpr size_t kDecoded = 16;    // blocks of K that are decoded at a time: 16 KiB
constexpr size_t kDepth = 128;     // that are read at a time of what is not decoded
/// Bytes that are prefetched ahead. For one row, which memory or the third cache binds, what is
/// farther off costs their bandwidth on a Zen 4; more rows leave time for it.
constexpr size_t ahead(int rows) { return rows == 1 ? 256 : 1024; }
/// The same in quads. Rows together leave L1 no room for what comes much later, and memory needs it
/// asked for that early: it waits in L2. What is kept comes in parts of quads: there the same part
/// of the next one is fetched.
constexpr size_t in_quads(int rows) { return rows == 1 ? 256 : 8192; }
/// Weights of fewer bytes are likely in cache, and asking for them early costs more than it brings.
constexpr size_t kFar = size_t{16} << 20;
constexpr size_t kBlockRows = 192;
constexpr size_t kBlockOutputs = 128;
constexpr size_t kStaysInL2 = 512 * 1024;  // bytes of activations

constexpr size_t blocks_of(size_t k) { return quotient_up(k, kBlock); }

// Bytes of a row of the workspace, up to a whole pair of blocks: an odd number of lines, so that
// rows share no set of L1.
constexpr size_t row_bytes(size_t k) { return (blocks_of(k) + 1) / 2 * 4 * kBlock + kVector; }

// --- Layouts -----------------------------------------------------------------------------------

// A step of a panel: so many vectors, `depth` of K of all outputs. place: of an output's k in a
// block, in bytes. output: which one's k's are lane l of the q'th quarter of a step.

/// Eight of K of four outputs: q, 4+q, 8+q and 12+q in vector q.
struct Eights {
  static constexpr size_t vectors = 4, depth = 8;
  static constexpr int rows = 6;  ///< of a tile
  static constexpr size_t place(size_t c, size_t k) {
    return k / 8 * 256 + c % 4 * 64 + c / 4 * 16 + k % 8 * 2;
  }
  /// A load that shuffles as well.
  static __m512i repeated(const Byte* x) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
  }
  /// Element e of lane l: the sum of vector e's lane l.
  static __m512 lanes(const __m512 (&sum)[vectors]) {
    const auto halved = [](__m512 a, __m512 b) {
      return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    };
    const __m512d a = _mm512_castps_pd(halved(sum[0], sum[1]));
    const __m512d b = _mm512_castps_pd(halved(sum[2], sum[3]));
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  /// Sums in four parts each to those of 16 outputs in order.
  static __m512 joined(const __m512 (&sum)[vectors]) { return lanes(sum); }
};

/// Four of K of eight outputs: 0, 1, 4, 5, 8, 9, 12 and 13 in vector 0.
struct Fours {
  static constexpr size_t vectors = 2, depth = 4;
  static constexpr int rows = 12;
  static constexpr size_t output(size_t q, size_t l) {
    return q % 2 * 8 + q / 2 * 2 + l / 2 * 4 + l % 2;
  }
  static constexpr size_t place(size_t c, size_t k) {
    return k / 4 * 128 + c / 2 % 2 * 64 + (c / 4 * 2 + c % 2) * 8 + k % 4 * 2;
  }
  /// A mere load.
  static __m512i repeated(const Byte* x) {
    long long four;
    __builtin_memcpy(&four, x, sizeof four);
    return _mm512_set1_epi64(four);
  }
  static __m512 joined(const __m512 (&sum)[vectors]) {
    return _mm512_add_ps(_mm512_shuffle_ps(sum[0], sum[1], 0x88),
                         _mm512_shuffle_ps(sum[0], sum[1], 0xdd));
  }
};

template <class L>
constexpr size_t kSteps = kBlock / L::depth;

// --- f32 weights, and what was decoded -----------------------------------------------------------

// Packed: blocks of bf16 as they are laid out.

struct Floats {
  using Layout = Eights;
  static constexpr bool decodes = false;

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

/// What is in v is done before what needs it begins.
template <class V, size_t count>
[[gnu::always_inline]] inline void stage(V (&v)[count]) {
  if constexpr (count == 4) asm("" : "+v"(v[0]), "+v"(v[1]), "+v"(v[2]), "+v"(v[3]));
}

/// Four of K of all outputs, a quarter of them in a vector of floats: byte q of dword 4l+j of a
/// step's register is j of the output in lane l of vector q, stored +128. As the second byte of
/// 32768 it is a float with 32768 to spare.
struct Widened {
  using Layout = Fours;
  static constexpr size_t unit = kBlock * kPanel;
  static constexpr size_t slack = 2;  ///< bytes behind the last panel that are read
  static constexpr size_t kFactors = 8;
  static constexpr float kSpare = 32768 + 128;
  /// Scales of the quarters, and what is to spare.
  [[gnu::always_inline]] static void factors(__m512 scales, __m512i (&f)[kFactors]) {
    const __m512 quarter[] = {_mm512_permute_ps(scales, 0), _mm512_permute_ps(scales, 0x55),
                              _mm512_permute_ps(scales, 0xaa), _mm512_permute_ps(scales, 0xff)};
    QB_UNROLL for (size_t q = 0; q < 4; ++q) {
      f[q] = _mm512_castps_si512(quarter[q]);
      f[4 + q] = _mm512_castps_si512(_mm512_mul_ps(quarter[q], _mm512_set1_ps(-kSpare)));
    }
  }
  /// Vectors of step i from the `from`th on.
  template <size_t count>
  [[gnu::always_inline]] static void get(const Byte* p, size_t i, size_t from, const __m512i* f,
                                         __m512i (&to)[count]) {
    __m512 v[2 * count];
    QB_UNROLL for (size_t j = 0; j < 2 * count; ++j) {
      // Loads that start up to two bytes before or after bring a byte to the second's place, where
      // any pipe blends; shifts and shuffles share theirs with products and conversions.
      const __m512i codes = load(p + i * 64 + 2 * from + j - 1);
      v[j] = _mm512_castsi512_ps(
          _mm512_mask_blend_epi8(0x2222222222222222, _mm512_set1_epi32(0x47000000), codes));
    }
    stage(v);
    QB_UNROLL for (size_t j = 0; j < 2 * count; ++j) {
      const __m512 scale = _mm512_castsi512_ps(f[2 * from + j]);
      // Of an f16 scale all products are exact, and so is their difference.
      v[j] = _mm512_fmadd_ps(v[j], scale, _mm512_castsi512_ps(f[4 + 2 * from + j]));
    }
    stage(v);
    QB_UNROLL for (size_t j = 0; j < count; ++j) to[j] = rounded(v[2 * j], v[2 * j + 1]);
  }
  /// K 0-31 of all outputs, a byte each, to their places.
  static void put(const __m256i (&codes)[kPanel], Byte* to) {
    for (size_t l = 0; l < 4; ++l) {
      const auto at = [&](size_t q) {
        return _mm256_xor_si256(codes[Layout::output(q, l)], _mm256_set1_epi8(-128));
      };
      const __m256i a = at(0), b = at(1), c = at(2), d = at(3);
      const __m256i low[] = {_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d)};
      const __m256i high[] = {_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d)};
      const __m256i steps[] = {
          _mm256_unpacklo_epi16(low[0], low[1]), _mm256_unpackhi_epi16(low[0], low[1]),
          _mm256_unpacklo_epi16(high[0], high[1]), _mm256_unpackhi_epi16(high[0], high[1])};
      for (size_t i = 0; i < 4; ++i) {
        auto* const lane = reinterpret_cast<__m128i*>(to + i * 64 + l * 16);
        _mm_storeu_si128(lane, _mm256_castsi256_si128(steps[i]));
        _mm_storeu_si128(lane + 16, _mm256_extracti128_si256(steps[i], 1));
      }
    }
  }
  static int code(const Byte* block, size_t c, size_t k) {
    const size_t q = c / 8 + c / 2 % 2 * 2, l = c / 4 % 2 * 2 + c % 2;
    return block[k / 4 * 64 + l * 16 + k % 4 * 4 + q] - 128;
  }
};

/// Panel: for each group 16 f16 scales, then its blocks. Scales stand lane by lane, four quarters
/// in each.
template <class F>
struct Codes : Widened {
  static constexpr bool decodes = true;
  static constexpr size_t header = kPanel * sizeof(f16);

  static size_t panel(size_t k, size_t group) { return k / group * header + blocks_of(k) * unit; }

  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    const size_t panels = quotient_up(n, kPanel) * panel(k, group);
    return panels ? panels + slack : 0;
  }

  static void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
    for (size_t n = n0; n < n1; n += kPanel) {
      Byte* out = static_cast<Byte*>(packed) + n / kPanel * panel(w.k, w.group);
      for (size_t k = 0; k < w.k; k += kBlock, out += unit) {
        if (k % w.group == 0)
          for (size_t i = 0; i < kPanel; ++i, out += sizeof(f16)) {
            const size_t c = Layout::output(i % 4, i / 4);
            const f16 d = n + c < w.n ? F::scale(w, n + c, k / w.group) : f16{};
            __builtin_memcpy(out, &d, sizeof d);
          }
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
                               (i / group + 1) * header + i / kBlock * unit;
        static_cast<std::int8_t*>(codes)[n * k + i] =
            static_cast<std::int8_t>(code(at, n % kPanel, i % kBlock));
      }
  }
};

// --- Quantized weights by rows -------------------------------------------------------------------

// Panel: four quads, each of four neighbouring outputs: a line of scales, those of eight groups of
// each output or the single ones, the codes they belong to, the next line, and so on: read in two
// places, scales and codes came from memory at two thirds of the speed (when this was written). A
// vector of weights is 32 of K of one output, so that what is looked up needs no index but the
// code.

template <class Codes>
struct InQuads;

/// Word j of a block of a quad: K j of its four outputs, as 0 to 15.
template <class Codes>
struct InQuadsOf4Bits {
  static constexpr bool kMagnitudes = false;  ///< whether codes are stored as sign and magnitude
  static constexpr size_t together = 1;       ///< blocks that are decoded at once
  static constexpr size_t unit = 64;          ///< bytes of a quad's block
  static constexpr size_t kTables = 4;
  /// Of each output the 16 products, twice: vpermw sees one bit of what follows the code.
  [[gnu::always_inline]] static void tables(const float* scales, __m512i (&t)[kTables]) {
    const __m512 codes = _mm512_loadu_ps(Codes::kFloats);
    QB_UNROLL for (size_t c = 0; c < 4; ++c) {
      const __m512 product = _mm512_mul_ps(codes, _mm512_set1_ps(scales[c]));
      t[c] = rounded(product, product);
    }
  }
  /// Output c's weights of the unit at p. Tables stand at t, and every other one at `also` as well.
  [[gnu::always_inline]] static void get(const Byte* p, size_t c, const __m512i* t, const __m512i*,
                                         __m512i* w) {
    const __m512i v = load(p);
    w[0] =
        _mm512_permutexvar_epi16(c ? _mm512_srli_epi16(v, static_cast<unsigned>(4 * c)) : v, t[c]);
  }
  static void put(const __m512i (&codes)[4], Byte* to) {
    __m512i words = _mm512_setzero_si512();
    for (unsigned c = 0; c < 4; ++c) {
      const __m256i v = _mm512_castsi512_si256(codes[c]);
      words = _mm512_or_si512(words, _mm512_slli_epi16(_mm512_cvtepu8_epi16(v), 4 * c));
    }
    store(to, words);
  }
  static int code(const Byte* quad, size_t c, size_t k) {
    const int byte = quad[k / kBlock * unit + k % kBlock * 2 + c / 2];
    return Codes::value(c % 2 ? byte >> 4 : byte & 15);
  }
};
template <>
struct InQuads<Nibbles> : InQuadsOf4Bits<Nibbles> {};

/// Two blocks of a quad: a line of each output, sign and magnitude. In each lane eight of K of
/// either block, so that both bytes of the products, looked up apart, come together in order. The
/// code -128 is stored as 0x80, a magnitude of 0 with a sign, which no other code has. The tables
/// have no product for it: quads that hold it are marked, and decoded without tables.
template <>
struct InQuads<Bytes> {
  static constexpr bool kMagnitudes = true;
  static constexpr size_t together = 2;
  static constexpr size_t unit = 128;
  static constexpr size_t kTables = 16;
  /// Of each output the products of 0 to 127: their low bytes, then their high ones.
  [[gnu::always_inline]] static void tables(const float* scales, __m512i (&t)[kTables]) {
    const __m512 first16 = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    alignas(64) Byte even[64];
    for (size_t i = 0; i < 64; ++i) even[i] = static_cast<Byte>(2 * i);
    const __m512i low = load(even), high = _mm512_or_si512(low, _mm512_set1_epi8(1));
    QB_UNROLL for (size_t c = 0; c < 4; ++c) {
      const __m512 scale = _mm512_set1_ps(scales[c]);
      __m512i words[4];
      QB_UNROLL for (size_t i = 0; i < 4; ++i) {
        const __m512 a = _mm512_add_ps(first16, _mm512_set1_ps(float(32 * i)));
        const __m512 b = _mm512_add_ps(first16, _mm512_set1_ps(float(32 * i + 16)));
        words[i] = rounded(_mm512_mul_ps(a, scale), _mm512_mul_ps(b, scale));
      }
      QB_UNROLL for (size_t i = 0; i < 2; ++i) {
        t[4 * c + i] = _mm512_permutex2var_epi8(words[2 * i], low, words[2 * i + 1]);
        t[4 * c + 2 + i] = _mm512_permutex2var_epi8(words[2 * i], high, words[2 * i + 1]);
      }
    }
  }
  [[gnu::always_inline]] static void get(const Byte* p, size_t c, const __m512i* t,
                                         const __m512i* also, __m512i* w) {
    __m512i v = load(p + c * 64);
    asm("" : "+v"(v));  // once: what is copied costs less than another load
    const __m512i low = _mm512_permutex2var_epi8(t[4 * c], v, also[4 * c + 1]);
    __m512i high = _mm512_permutex2var_epi8(t[4 * c + 2], v, also[4 * c + 3]);
    // 0x78: high ^ (v & 0x80), the sign
    high = _mm512_ternarylogic_epi32(high, v, _mm512_set1_epi8(-128), 0x78);
    w[0] = _mm512_unpacklo_epi8(low, high);
    w[1] = _mm512_unpackhi_epi8(low, high);
  }
  static void put(const __m512i (&codes)[4], Byte* to) {
    const __m512i pairs = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
    for (size_t c = 0; c < 4; ++c) {
      // 0xf8: |code| | (code & 0x80)
      const __m512i v = _mm512_ternarylogic_epi32(_mm512_abs_epi8(codes[c]), codes[c],
                                                  _mm512_set1_epi8(-128), 0xf8);
      store(to + c * 64, _mm512_permutexvar_epi64(pairs, v));
    }
  }
  static int code(const Byte* quad, size_t c, size_t k) {
    const int byte = quad[k / 64 * 256 + c * 64 + k % 32 / 8 * 16 + k % 64 / 32 * 8 + k % 8];
    return byte == 128 ? -128 : byte & 128 ? -(byte & 127) : byte;
  }
  /// What put() stored at p, as signed bytes in order of K.
  static __m512i codes(const Byte* p) {
    const __m512i blocks = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    const __m512i v = _mm512_permutexvar_epi64(blocks, load(p)), least = _mm512_set1_epi8(-128);
    const __m512i magnitude = _mm512_andnot_si512(least, v);
    const __m512i code =
        _mm512_mask_sub_epi8(magnitude, _mm512_movepi8_mask(v), _mm512_setzero_si512(), magnitude);
    return _mm512_mask_mov_epi8(code, _mm512_cmpeq_epi8_mask(v, least), least);
  }
};

template <class F>
struct Quads : InQuads<typename F::Codes> {
  using How = InQuads<typename F::Codes>;
  using How::unit, How::together;
  using Scale = typename F::Scale;
  static constexpr bool per_block = F::per_group;

  /// Blocks whose scales share a line: all, if there is one scale an output.
  static size_t line_blocks(size_t group_blocks) {
    return per_block ? 8 * group_blocks : static_cast<size_t>(-1);
  }
  /// Bytes of the lines of scales before block b.
  static size_t lines(size_t b, size_t group_blocks) {
    return (b / line_blocks(group_blocks) + 1) * kVector;
  }
  static size_t quad(size_t k, size_t group) {
    const size_t blocks = blocks_of(k);
    return lines(blocks ? blocks - 1 : 0, group / kBlock) +
           quotient_up(blocks, together) * together * unit;
  }
  static size_t panel(size_t k, size_t group) { return 4 * quad(k, group); }
  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    return quotient_up(n, kPanel) * panel(k, group);
  }

  /// Where the line of single scales says that the quad holds the code -128.
  static constexpr size_t kMark = 4 * sizeof(float);

  static void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
    for (size_t n = n0; n < quotient_up(n1, kPanel) * kPanel; n += 4) {
      Byte* const first = static_cast<Byte*>(packed) + n / 4 * quad(w.k, w.group);
      Byte* out = first;
      size_t b = 0;
      do {
        put_scales(w, n, b, out);
        out += kVector;
        const size_t end = least(blocks_of(w.k) - b, line_blocks(w.group / kBlock)) + b;
        for (; b < end; b += together, out += together * unit) {
          __m512i codes[4];
          for (size_t c = 0; c < 4; ++c) {
            codes[c] = codes_of<F>(w, n + c, b * kBlock, together * kBlock);
            if constexpr (How::kMagnitudes)
              if (_mm512_cmpeq_epi8_mask(codes[c], _mm512_set1_epi8(-128))) first[kMark] = 1;
          }
          How::put(codes, out);
        }
      } while (b < blocks_of(w.k));
    }
  }
  /// A line of scales, from block b on.
  static void put_scales(const Weights& w, size_t n, size_t b, Byte* to) {
    __builtin_memset(to, 0, kVector);
    for (size_t c = 0; c < 4 && n + c < w.n; ++c) {
      if constexpr (per_block) {
        const size_t g0 = b * kBlock / w.group;
        for (size_t g = 0; g < 8 && g0 + g < w.k / w.group; ++g) {
          const Scale d = F::scale(w, n + c, g0 + g);
          __builtin_memcpy(to + (4 * g + c) * sizeof d, &d, sizeof d);
        }
      } else {
        const Scale d = F::scale(w, n + c, 0);
        __builtin_memcpy(to + c * sizeof d, &d, sizeof d);
      }
    }
  }

  static void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1,
                     void* codes) {
    for (size_t n = n0; n < n1; ++n) {
      const Byte* const at = static_cast<const Byte*>(packed) + n / 4 * quad(k, group);
      for (size_t i = 0; i < k; ++i)
        static_cast<std::int8_t*>(codes)[n * k + i] =
            static_cast<std::int8_t>(How::code(at + lines(i / kBlock, group / kBlock), n % 4, i));
    }
  }
};

// --- Activations ---------------------------------------------------------------------------------

/// Rows as they are, zeros behind them up to a pair of blocks.
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
    if (blocks_of(k) % 2) store(to + blocks_of(k) * kVector, _mm512_setzero_si512());
  }
}

size_t workspace_bytes(size_t m, size_t, size_t k, size_t) { return m * row_bytes(k); }

// --- Products ----------------------------------------------------------------------------------

/// Keeps the compiler from holding what it read at p: there are no registers to hold it in.
inline void forget(const Byte*& p) { asm("" : "+r"(p)); }

inline __m512 dot(__m512 sum, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(sum, __builtin_bit_cast(__m512bh, a), __builtin_bit_cast(__m512bh, b));
}

/// Where the sums of panels side by side come from (null: from nothing) and go to, a row each.
struct Sums {
  const float* from;
  float* to;
  size_t stride;   ///< of `to`; `from` is of one panel, without gaps
  size_t outputs;  ///< that are there
};

template <class L, int R>
[[gnu::always_inline]] inline void clear(__m512 (&sum)[R][L::vectors]) {
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (size_t v = 0; v < L::vectors; ++v)
      sum[r][v] = _mm512_setzero_ps();
}

/// A panel's sums, `before` outputs behind the first of `sums`.
template <class L, int R>
[[gnu::always_inline]] inline void write(const __m512 (&sum)[R][L::vectors], size_t before,
                                         const Sums& sums) {
  QB_UNROLL for (int r = 0; r < R; ++r) {
    __m512 y = L::joined(sum[r]);
    if (sums.from) y = _mm512_add_ps(y, _mm512_loadu_ps(sums.from + size_t(r) * kPanel));
    _mm512_mask_storeu_ps(sums.to + size_t(r) * sums.stride + before,
                          static_cast<__mmask16>(first(sums.outputs - before)), y);
  }
}

/// R rows of the workspace. Of every third a pointer is kept: an address adds the stride once or
/// twice.
template <int R>
struct Rows {
  const Byte* third[(R + 2) / 3];
  size_t stride;
  Rows(const Byte* x, size_t x_stride) : stride(x_stride) {
    QB_UNROLL for (int r = 0; r < R; r += 3) third[r / 3] = x + size_t(r) * x_stride;
  }
  [[gnu::always_inline]] const Byte* operator[](int r) const {
    return third[r / 3] + size_t(r % 3) * stride;
  }
  [[gnu::always_inline]] void advance(size_t bytes) {
    QB_UNROLL for (int r = 0; r < R; r += 3) {
      third[r / 3] += bytes;
      forget(third[r / 3]);
    }
  }
};

/// What is fetched meanwhile for what comes next: `bytes` more at every step.
struct Next {
  const Byte* p = nullptr;
  size_t bytes = 0;
};

/// R rows at x, x_stride bytes apart, times `blocks` blocks of P panels' bf16 at p, p_stride apart.
template <class L, int R, int P = 1, bool kFetches = false>
[[gnu::noinline]] void tile(const Byte* p, size_t p_stride, size_t blocks, const Byte* x,
                            size_t x_stride, const Sums& sums, Next next) {
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

/// What the products of one call have in common.
struct Call {
  size_t k, group;
  size_t blocks;        ///< of K
  size_t group_blocks;  ///< that share scales
  size_t panel;         ///< bytes of a panel
  size_t x_stride;      ///< bytes from row to row of the workspace
};

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
    C::factors(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), factors);
    p += C::header;
    for (const size_t end = b + call.group_blocks; b < end;
         ++b, p += C::unit, row.advance(kBlock * 2)) {
      QB_UNROLL for (size_t line = 0; line < C::unit; line += 64)
          _mm_prefetch(reinterpret_cast<const char*>(p + line + ahead(R)), _MM_HINT_T0);
      QB_UNROLL for (size_t i = 0; i < kSteps<L>; ++i) {
        __m512i w[vectors];
        if constexpr (R <= L::rows / 3) {
          C::template get<vectors>(p, i, 0, factors, w);
        } else {
          // The sums need the registers: factors are read where they are used.
          const __m512i* in_memory = factors;
          asm("" : "+r"(in_memory) : "m"(factors));
          QB_UNROLL for (size_t v = 0; v < vectors; ++v) {
            forget(p);
            __m512i one[1];
            C::template get<1>(p, i, v, in_memory, one);
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
               const Sums& sums, Next next) {
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
      w.k, w.group, blocks_of(w.k), w.group / kBlock, C::panel(w.k, w.group), row_bytes(w.k)};
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
          Next next = {n + kPanel < n1 ? here + call.panel : here,
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

// --- Products by rows ----------------------------------------------------------------------------

constexpr size_t kQuadBlocks = 32;  // of K that are decoded at a time, for more rows than a tile
constexpr size_t kKeptRows = 4;

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
                                                const __m512i* also, size_t far_ahead,
                                                const Rows<R>& row, int turn, Byte* kept,
                                                __m512 (&sum)[T][R][4]) {
  QB_UNROLL for (size_t line = 0; line < C::unit * C::together; line += 64) _mm_prefetch(
      reinterpret_cast<const char*>(p + line + far_ahead), R == 1 ? _MM_HINT_T0 : _MM_HINT_T1);
  QB_UNROLL for (size_t c = 0; c < 4; c += 2) {
    __m512i w[2][C::together];
    QB_UNROLL for (size_t j = 0; j < 2; ++j) C::get(p, c + j, tables, also, w[j]);
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

/// R rows times blocks [b0, b1) of a quad; of one scale per output its tables. kAlone: each block
/// has scales of its own. kKeeps: what is decoded goes to `kept` as well.
template <class C, int R, bool kAlone, bool kKeeps>
[[gnu::noinline]] void decode_and_multiply_quad(const Call& call, const Byte* quad,
                                                const __m512i* channel, size_t b0, size_t b1,
                                                const Byte* x, Byte* kept, const Sums& sums) {
  constexpr int turns = R == 1 && C::together == 1 ? 2 : 1;  // of sums, which hides their latency
  __m512 sum[turns][R][4] = {};
  Rows<R> row(x, call.x_stride);
  const Byte* p = quad + C::lines(b0, call.group_blocks) + b0 * C::unit;
  const size_t far_ahead = kKeeps ? call.panel / 4 : in_quads(R);
  const auto step = [&](const __m512i* t, const __m512i* also, int turn)
      __attribute__((always_inline)) {
    step_of_quad<C, R, kKeeps>(p, t, also, far_ahead, row, turn, kept, sum);
    p += C::together * C::unit;
    row.advance(C::together * kBlock * 2);
    if constexpr (kKeeps) kept += C::together * kQuad;
  };
  if constexpr (!C::per_block) {
    __m512i tables[C::kTables];
    // What the sums leave no registers for is read where it is used.
    constexpr bool holds_all = C::together == 1 || R == 1, holds_half = R <= 4;
    QB_UNROLL for (size_t i = 0; i < C::kTables; ++i) tables[i] = channel[i];
    size_t b = b0;
    if constexpr (turns == 2)
      for (; b + 1 < b1; b += 2)
        QB_UNROLL for (int turn = 0; turn < 2; ++turn) step(tables, tables, turn);
    for (; b < b1; b += C::together) {
      asm("" : "+r"(channel));
      step(holds_all || holds_half ? tables : channel, holds_all ? tables : channel, 0);
    }
  } else if (b0 < b1) {
    // Scales become floats four groups ahead, tables one: what is needed is there. (b0 begins a
    // line; behind the last group some table or other is made.)
    const size_t groups = (b1 - b0) / call.group_blocks;
    const Byte* scales = p - kVector;
    alignas(64) float scale[2][16] = {};
    const auto widen = [&](size_t g) {
      _mm512_store_ps(scale[g / 4 % 2],
                      _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(scales))));
      _mm_prefetch(reinterpret_cast<const char*>(scales + far_ahead), _MM_HINT_T0);
      scales += kVector / 2;
      if (g % 8 == 4) scales += 8 * call.group_blocks * C::unit;
    };
    const auto tables_of = [&](size_t g, __m512i(&t)[C::kTables]) {
      const float* from = &scale[0][0] + g % 8 * 4;
      asm("" : "+r"(from) : "m"(scale));  // a load repeats them; the compiler would rather permute
      C::tables(from, t);
    };
    // Where the sums leave no registers for two sets they take turns in memory.
    constexpr bool holds = R <= 4;
    alignas(64) __m512i tables[2][C::kTables];
    widen(0);
    tables_of(0, tables[0]);
    for (size_t b = b0, g = 0; b < b1; ++g) {
      if (g % 4 == 0 && g + 4 < groups) widen(g + 4);
      if (g % 8 == 0 && g != 0) p += kVector;
      tables_of(g + 1, tables[holds ? 1 : (g + 1) % 2]);
      const __m512i* t = tables[holds ? 0 : g % 2];
      if constexpr (!holds) asm("" : "+r"(t) : "m"(tables));
      if constexpr (kAlone) {
        step(t, t, 0);
        ++b;
      } else {
        for (const size_t last = b + call.group_blocks; b < last; b += turns)
          QB_UNROLL for (int turn = 0; turn < turns; ++turn) step(t, t, turn);
      }
      if constexpr (holds)
        QB_UNROLL for (size_t i = 0; i < C::kTables; ++i) tables[0][i] = tables[1][i];
    }
  }
  if constexpr (turns == 2)
    QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (size_t c = 0; c < 4; ++c) sum[0][r][c] =
        _mm512_add_ps(sum[0][r][c], sum[1][r][c]);
  write_quad<R>(sum[0], sums);
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

template <class C>
void run_quads(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
               size_t n0, size_t n1, void* out) {
  constexpr size_t quads = kBlockOutputs / 4;
  const Call call = {
      w.k, w.group, blocks_of(w.k), w.group / kBlock, C::panel(w.k, w.group), row_bytes(w.k)};
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
  const size_t parts = quotient_up(m, kBlockRows);
  for (size_t part = 0, m0 = 0, m1; part < parts; ++part, m0 = m1) {
    m1 = m0 + quotient_up(m - m0, parts - part);
    for (size_t from = n0; from < n1; from += outputs) {
      const size_t to = least(from + outputs, n1);
      const auto quad = [&](size_t n) {
        return static_cast<const Byte*>(packed) + n / 4 * (call.panel / 4);
      };
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
          for (size_t row = m0, rows; row < m1; row += rows) {
            float* const sum = waiting[(n - from) / 4] + (row - m0) * 4;
            Sums s = {b0 ? sum : nullptr, sum, 4, 4};
            if (b1 == call.blocks) s = {s.from, y + row * w.n + n, w.n, n1 - n};
            const Byte* const xs = x + row * call.x_stride + b0 * kBlock * 2;
            // In tiles as equal as can be: one of a single row would wait for its own sums.
            rows = row == m0 && !few ? kKeptRows
                                     : quotient_up(m1 - row, quotient_up(m1 - row, kQuadRows));
            if (row == m0 || few) {
              const auto decode = C::per_block && call.group_blocks == 1
                                      ? first_rows_of_quad<C, kQuadRows, C::per_block>
                                      : first_rows_of_quad<C, kQuadRows, false>;
              decode(call, rows, quad(n), tables[C::per_block ? 0 : (n - from) / 4], b0, b1, xs,
                     few ? nullptr : decoded, s);
            } else {
              more_rows_of_quad<kQuadRows>(rows, decoded, b1 - b0, xs, call.x_stride, s);
            }
          }
        }
        b0 = b1;
      } while (b0 < call.blocks);
    }
  }
}

template <class C>
constexpr Kernel kernel_of(decltype(Kernel::run) run) {
  return {.n_step = kPanel,
          .packed_bytes = C::packed_bytes,
          .pack = C::pack,
          .unpack = C::unpack,
          .workspace_bytes = workspace_bytes,
          .m_step = 1,
          .prepare = prepare,
          .run = run};
}

template <class F>
constexpr Kernel kernel_of_format() {
  if constexpr (__is_same(F, source::f16))
    return {};
  else if constexpr (__is_same(F, source::f32))
    return kernel_of<Floats>(run<Floats>);
  else if constexpr (F::Codes::bits == 8 && F::per_group)
    return kernel_of<Codes<F>>(run<Codes<F>>);
  else
    return kernel_of<Quads<F>>(run_quads<Quads<F>>);
}

}  // namespace

constexpr Kernels matmul_abf16_avx512bf16 =
    every_format([](auto format) { return kernel_of_format<decltype(format)>(); });

}  // namespace qb::matmul
