// SPDX-License-Identifier: Apache-2.0
// Matmul with bf16 activations, BFMMLA and BFDOT.
//
// BFMMLA adds two rows of four times two outputs of four to the sums of a 2x2 tile. Weights are
// dequantized in f32, rounded by BFCVTN and kept in L1 as words of four, a piece of K at a time,
// for all rows of a block; f32 weights are packed like that. Up to three rows, which could not
// repay the store, meet the weights in registers: BFDOT with a word twice in a register, so that an
// output's sum comes in two halves, added at the end.
//
// Both instructions add a pair of products, then that to the sum, each rounded to odd (an error of
// up to 2^-23, twice that of rounding to nearest) with subnormals taken for zero. That is half as
// many roundings as products and so the contract's bound: K*2^-24. A pair loses at most 2*2^-126 to
// what is flushed: the contract's floor.
#include <arm_neon.h>

#include "core/budgets.h"
#include "matmul/quads_neon.h"

#if !defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#error "compile with the flags of cmake/Isa.cmake for neon_bf16"
#endif

namespace qb::matmul {
namespace {

constexpr size_t kHalf = 16;                      // of K: what a quad's 8 registers hold
constexpr size_t kHalfBytes = kHalf * kQuad * 2;  // of a quad
constexpr size_t kQuadBlock = kBlock / kHalf * kHalfBytes;
constexpr size_t kDepth = NeonBudget::kBf16Depth;
constexpr size_t kRowBytes = NeonBudget::kBf16Activations;

inline bfloat16x8_t load_bf16(const Byte* p) { return vreinterpretq_bf16_u8(vld1q_u8(p)); }

inline bfloat16x8_t rounded(float32x4_t a, float32x4_t b) {
  return vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(a), b);
}

/// 32 values; what `count` does not reach is zero.
inline void load_rounded(const float* x, size_t count, uint64x2_t (&v)[4]) {
  float padded[kBlock];
  if (count < kBlock) {
    for (size_t i = 0; i < kBlock; ++i) padded[i] = i < count ? x[i] : 0.0f;
    x = padded;
  }
  for (int i = 0; i < 4; ++i)
    v[i] = vreinterpretq_u64_bf16(rounded(vld1q_f32(x + 8 * i), vld1q_f32(x + 8 * i + 4)));
}

/// Four rows' (or outputs') blocks, words in turn.
inline void put_quad(const uint64x2_t (&v)[kQuad][4], Byte* to) {
  for (int i = 0; i < 4; ++i) {
    const uint64x2x4_t words = {{v[0][i], v[1][i], v[2][i], v[3][i]}};
    vst4q_u64(reinterpret_cast<std::uint64_t*>(to + 64 * i), words);
  }
}

// --- Weights -----------------------------------------------------------------------------------

/// f32 weights: rounded as they are packed, words as the products want them.
struct Rounded {
  static constexpr int bits = 16;
};
using Floats = Kind<Rounded, float>;

size_t packed_bytes_f32(size_t n, size_t k, size_t) {
  return (n + kPanel - 1) / kPanel * Floats::panel(k, k);
}

void pack_f32(const Weights& w, size_t n0, size_t n1, void* packed) {
  for (size_t n = n0; n < n1; n += kPanel) {
    Byte* out = static_cast<Byte*>(packed) + n / kPanel * Floats::panel(w.k, w.k);
    for (size_t k = 0; k < w.k; k += kBlock)
      for (size_t quad = n; quad < n + kPanel; quad += kQuad, out += Floats::quad) {
        uint64x2_t v[kQuad][4];
        for (size_t c = 0; c < kQuad; ++c)
          if (quad + c < w.n)
            load_rounded(static_cast<const float*>(w.values) + (quad + c) * w.k + k, w.k - k, v[c]);
          else
            for (uint64x2_t& word : v[c]) word = vdupq_n_u64(0);
        put_quad(v, out);
      }
  }
}

void unpack_f32(const void* packed, size_t, size_t k, size_t, size_t n0, size_t n1, void* values) {
  for (size_t n = n0; n < n1; ++n)
    for (size_t i = 0; i < k; ++i) {
      const Byte* quad = static_cast<const Byte*>(packed) + n / kPanel * Floats::panel(k, k) +
                         i / kBlock * Floats::block + n % kPanel / kQuad * Floats::quad;
      std::uint16_t half;
      __builtin_memcpy(&half, quad + 2 * place<WordsOf4>(i % kBlock, n % kQuad), sizeof half);
      static_cast<float*>(values)[n * k + i] =
          __builtin_bit_cast(float, static_cast<std::uint32_t>(half) << 16);
    }
}

/// Scales of a quad, and minima or scales of second halves.
template <class K>
struct Scales {
  float32x4_t d, second;
  Scales() = default;
  explicit Scales(const Byte* p) {
    if constexpr (K::bits != 16) d = load_scales<K>(p);
    if constexpr (K::minimum || K::halves) second = load_second<K>(p);
  }
  /// Codes of the quad's output c, of a block's first half or second one, dequantized.
  template <int c>
  float32x4_t weights(float32x4_t codes, bool second_half) const {
    if constexpr (K::minimum)
      return vfmaq_laneq_f32(vnegq_f32(vdupq_laneq_f32(second, c)), codes, d, c);
    else
      return vmulq_laneq_f32(codes, K::halves && second_half ? second : d, c);
  }
};

/// use(i, left, right) for the eight words of a quad's block at p: outputs 0 and 1, then 2 and 3.
template <class K, class Use>
inline __attribute__((always_inline)) void each_word(const Byte* p, const Scales<K>& scales,
                                                     const Use& use) {
  if constexpr (K::bits == 16) {
    QB_UNROLL for (int i = 0; i < 8; ++i) use(i, load_bf16(p + 32 * i), load_bf16(p + 32 * i + 16));
  } else {
    int8x16_t w[8];
    load_codes<typename K::Codes>(p, w);
    QB_UNROLL for (int i = 0; i < 8; ++i) {
      const int16x8_t a = vmovl_s8(vget_low_s8(w[i])), b = vmovl_high_s8(w[i]);
      const float32x4_t w0 = as_float<typename K::Codes>(vmovl_s16(vget_low_s16(a)));
      const float32x4_t w1 = as_float<typename K::Codes>(vmovl_high_s16(a));
      const float32x4_t w2 = as_float<typename K::Codes>(vmovl_s16(vget_low_s16(b)));
      const float32x4_t w3 = as_float<typename K::Codes>(vmovl_high_s16(b));
      const bool half = i >= 4;
      use(i, rounded(scales.template weights<0>(w0, half), scales.template weights<1>(w1, half)),
          rounded(scales.template weights<2>(w2, half), scales.template weights<3>(w3, half)));
    }
  }
}

// --- Activations -------------------------------------------------------------------------------

/// Bytes from row to row.
size_t row_bytes(size_t k) { return blocks_of(k) * kBlock * 2; }

size_t workspace_bytes(size_t m, size_t, size_t k, size_t) { return m * row_bytes(k); }

void prepare(const void* x, size_t m, size_t k, size_t, size_t m0, size_t m1, void* workspace) {
  for (size_t row = m0; row < m1;) {
    const size_t rows = m - row >= kQuad ? kQuad : 1;
    const float* from = static_cast<const float*>(x) + row * k;
    Byte* to = static_cast<Byte*>(workspace) + row * row_bytes(k);
    for (size_t i = 0; i < k; i += kBlock, to += rows * kBlock * 2) {
      uint64x2_t v[kQuad][4];
      for (size_t r = 0; r < rows; ++r) load_rounded(from + r * k + i, k - i, v[r]);
      if (rows == kQuad)
        put_quad(v, to);
      else
        for (int j = 0; j < 4; ++j) vst1q_u8(to + 16 * j, vreinterpretq_u8_u64(v[0][j]));
    }
    row += rows;
  }
}

// --- Products ----------------------------------------------------------------------------------

/// Rows [0,4*Fours) of x and y, outputs [n,n+4*Quads), `blocks` of K, a quad's at `codes` and then
/// every `block` bytes. fresh: sums start, otherwise they go on from y.
template <int Fours, int Quads>
[[gnu::noinline]] void tile(const Call& call, const Byte* const* codes, size_t block, const Byte* x,
                            float* y, size_t n, size_t blocks, bool fresh) {
  const size_t four_rows = kQuad * call.x_stride;
  const Byte* at[Quads];
  QB_UNROLL for (int q = 0; q < Quads; ++q) at[q] = codes[q];
  float32x4_t sum[Fours][Quads][4];
  QB_UNROLL for (int f = 0; f < Fours; ++f) QB_UNROLL for (int q = 0; q < Quads; ++q) {
    QB_UNROLL for (int r = 0; r < 4; ++r) sum[f][q][r] =
        fresh ? vdupq_n_f32(0) : load(call, y + size_t(4 * f + r) * call.n, n + 4 * size_t(q));
    turn_2x2(sum[f][q]);
  }
  const auto half = [&](size_t offset) {
    QB_UNROLL for (int q = 0; q < Quads; ++q) {
      bfloat16x8_t w[8];
      QB_UNROLL for (int i = 0; i < 8; ++i) w[i] = load_bf16(at[q] + offset + 16 * i);
      forget(x);
      QB_UNROLL for (int f = 0; f < Fours; ++f) QB_UNROLL for (int pair = 0; pair < 2; ++pair)
          QB_UNROLL for (int i = 0; i < 4; ++i) {
        const bfloat16x8_t rows = load_bf16(x + size_t(f) * four_rows + 32 * i + 16 * pair);
        sum[f][q][2 * pair] = vbfmmlaq_f32(sum[f][q][2 * pair], rows, w[2 * i]);
        sum[f][q][2 * pair + 1] = vbfmmlaq_f32(sum[f][q][2 * pair + 1], rows, w[2 * i + 1]);
      }
    }
    x += kHalfBytes;
  };
  for (size_t b = 0, offset = 0; b < blocks; ++b, offset += block) {
    half(offset);
    half(offset + kHalfBytes);
  }
  QB_UNROLL for (int f = 0; f < Fours; ++f) QB_UNROLL for (int q = 0; q < Quads; ++q) {
    turn_2x2(sum[f][q]);
    QB_UNROLL for (int r = 0; r < 4; ++r)
        store(call, y + size_t(4 * f + r) * call.n, n + 4 * size_t(q), sum[f][q][r]);
  }
}

/// R rows of x, plain, and y; outputs [n,n+4*Quads); all of K.
template <class K, int R, int Quads>
[[gnu::noinline]] void few(const Call& call, const Byte* panel, const Byte* x, float* y, size_t n) {
  Place<K> at[Quads];
  QB_UNROLL for (int q = 0; q < Quads; ++q) at[q] = Place<K>(call, panel, size_t(q));
  float32x4_t sum[R][Quads][2];
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int q = 0; q < Quads; ++q) sum[r][q][0] =
      sum[r][q][1] = vdupq_n_f32(0);
  size_t offset = 0;
  for (size_t b = 0; b < call.blocks; offset += K::per_block ? K::scales : 0) {
    Scales<K> d[Quads];
    QB_UNROLL for (int q = 0; q < Quads; ++q) d[q] =
        Scales<K>(at[q].scales + (K::per_block ? offset : 0));
    for (const size_t end = b + call.group_blocks; b < end; ++b) {
      QB_UNROLL for (int q = 0; q < Quads; ++q) {
        const Byte* const p = at[q].codes + offset;
        if (q % 2 == 0)
          QB_UNROLL for (size_t line = 0; line < K::block; line += 64)
              __builtin_prefetch(p + kAhead + line);
        if constexpr (R > 1) forget(x);
        each_word<K>(p, d[q], [&](int i, bfloat16x8_t left, bfloat16x8_t right) {
          QB_UNROLL for (int r = 0; r < R; ++r) {
            const bfloat16x8_t twice = vreinterpretq_bf16_u64(vld1q_dup_u64(
                reinterpret_cast<const std::uint64_t*>(x + size_t(r) * call.x_stride + 8 * i)));
            sum[r][q][0] = vbfdotq_f32(sum[r][q][0], left, twice);
            sum[r][q][1] = vbfdotq_f32(sum[r][q][1], right, twice);
          }
        });
      }
      offset += K::block;
      x += kBlock * 2;
    }
  }
  QB_UNROLL for (int r = 0; r < R; ++r) QB_UNROLL for (int q = 0; q < Quads; ++q) store(
      call, y + size_t(r) * call.n, n + 4 * size_t(q), vpaddq_f32(sum[r][q][0], sum[r][q][1]));
}

/// The rows that are left over: up to R.
template <class K, int R, int Quads>
inline void left_over(size_t rows, const Call& call, const Byte* panel, const Byte* x, float* y,
                      size_t n) {
  if constexpr (R > 0) {
    if (rows == R) return few<K, R, Quads>(call, panel, x, y, n);
    left_over<K, R - 1, Quads>(rows, call, panel, x, y, n);
  }
}

/// Blocks [b0,b1) of a quad to words of bf16.
template <class K>
[[gnu::noinline]] void dequantize(const Call& call, const Place<K>& at, size_t b0, size_t b1,
                                  Byte* out) {
  for (size_t b = b0; b < b1; ++b, out += kQuadBlock) {
    const size_t headers = K::per_block ? b / call.group_blocks * K::scales : 0;
    const size_t group = K::per_block ? b / call.group_blocks * call.group_blocks * K::block : 0;
    const Scales<K> d(at.scales + headers + group);
    each_word<K>(at.codes + headers + b * K::block, d,
                 [&](int i, bfloat16x8_t left, bfloat16x8_t right) {
                   vst1q_u8(out + 32 * i, vreinterpretq_u8_bf16(left));
                   vst1q_u8(out + 32 * i + 16, vreinterpretq_u8_bf16(right));
                 });
  }
}

/// Rows in whole fours, x and y, times the quads of outputs n.. of a panel. Weights that are not
/// bf16 are dequantized piece by piece of K, into `decoded`.
template <class K>
inline void rows_in_fours(const Call& call, const Byte* panel, const Byte* x, float* y, size_t rows,
                          size_t n, Byte (*decoded)[kDepth * kQuadBlock]) {
  const size_t quads = call.n1 - n > kPanel ? 4 : 2;
  size_t b0 = 0;
  do {
    const size_t b1 = least(b0 + kDepth, call.blocks), blocks = b1 - b0;
    const Byte* codes[kStep / kQuad] = {};
    size_t block = K::block;
    for (size_t q = 0; q < quads; ++q) {
      const Place<K> at(call, panel, q);
      codes[q] = at.codes + b0 * K::block;
      if constexpr (K::bits != 16) {
        dequantize<K>(call, at, b0, b1, decoded[q]);
        codes[q] = decoded[q];
        block = kQuadBlock;
      }
    }
    const bool fresh = b0 == 0;
    const auto from = [&](size_t r) { return x + r * call.x_stride + b0 * kQuad * kBlock * 2; };
    size_t r = 0;
    for (; r + 16 <= rows; r += 16)
      for (size_t q = 0; q < quads && n + q * kQuad < call.n1; ++q)
        tile<4, 1>(call, codes + q, block, from(r), y + r * call.n, n + q * kQuad, blocks, fresh);
    if (r + 8 <= rows) {
      for (size_t q = 0; q < quads && n + q * kQuad < call.n1; q += 2)
        tile<2, 2>(call, codes + q, block, from(r), y + r * call.n, n + q * kQuad, blocks, fresh);
      r += 8;
    }
    if (r < rows)
      (quads == 4 ? tile<1, 4> : tile<1, 2>)(call, codes, block, from(r), y + r * call.n, n, blocks,
                                             fresh);
    b0 = b1;
  } while (b0 < call.blocks);
}

template <class K>
void run(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
         size_t n0, size_t n1, void* out) {
  Call call;
  call.blocks = blocks_of(w.k);
  call.group_blocks = K::group_blocks(w.k, w.group);
  call.panel = K::panel(w.k, w.group);
  call.x_stride = row_bytes(w.k);
  call.x_scales = 0;
  call.n = w.n;
  call.n1 = n1;
  const size_t stride = call.x_stride;
  size_t chunk = kRowBytes / (stride + 1) / 16 * 16;  // no stride where k is 0
  if (chunk < 16) chunk = 16;
  alignas(64) Byte decoded[kStep / kQuad][kDepth * kQuadBlock];
  for (size_t m0 = 0; m0 < m; m0 += chunk) {
    const size_t rows = least(chunk, m - m0), in_fours = rows / kQuad * kQuad;
    const Byte* const x = static_cast<const Byte*>(workspace) + m0 * stride;
    float* const y = static_cast<float*>(out) + m0 * w.n;
    for (size_t n = n0; n < n1; n += kStep) {
      const Byte* const panel = static_cast<const Byte*>(packed) + n / kPanel * call.panel;
      if (in_fours) rows_in_fours<K>(call, panel, x, y, in_fours, n, decoded);
      (n1 - n > kPanel ? left_over<K, 3, 4> : left_over<K, 3, 2>)(rows - in_fours, call, panel,
                                                                  x + in_fours * stride,
                                                                  y + in_fours * w.n, n);
    }
  }
}

template <class F>
constexpr Kernel kernel_of() {
  if constexpr (__is_same(F, source::f16))
    return {};
  else if constexpr (__is_same(F, source::f32))
    return {.n_step = kStep,
            .packed_bytes = packed_bytes_f32,
            .pack = pack_f32,
            .unpack = unpack_f32,
            .workspace_bytes = workspace_bytes,
            .m_step = kQuad,
            .prepare = prepare,
            .run = run<Floats>};
  else
    return {.n_step = kStep,
            .packed_bytes = packed_bytes<F>,
            .pack = pack<WordsOf4, F>,
            .unpack = unpack<WordsOf4, F>,
            .workspace_bytes = workspace_bytes,
            .m_step = kQuad,
            .prepare = prepare,
            .run = run<KindOf<F>>};
}

}  // namespace

constexpr Kernels matmul_abf16_neon_bf16 =
    every_format([](auto format) { return kernel_of<decltype(format)>(); });

}  // namespace qb::matmul
