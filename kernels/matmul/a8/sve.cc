// SPDX-License-Identifier: Apache-2.0
// Products of int8 activations, SVE, for any length of its vectors: V outputs stand side by side
// where quads_neon.h has four, and SDOT takes the activations from a register that repeats 16
// bytes (four of K for four rows) in every 128-bit segment.
//
// Panels of V outputs. For each group V f16 scales (or f32 scales and minima), then its blocks of
// 32; for one scale per output V f32 scales, then all blocks. A block is 8 vectors, 4-bit 4 with
// K+0..15 in the low nibbles; both nibbles are taken 16 times too large, and the 16 is taken away
// from the sum or the scale.
//
// SVE's types can't stand in arrays: a tile is eight rows, or four, by name, and one panel. Few
// rows wait for the weights, so that they are one row (four sums in turn hide the latency) or a
// four that is filled up.
#include <arm_sve.h>

#include "matmul/a8/tiles_neon.h"

#if !defined(__ARM_FEATURE_SVE) || !defined(__ARM_FEATURE_DOTPROD)
#error "compile with the flags of cmake/Isa.cmake for sve"
#endif

namespace qb::matmul {
namespace {

constexpr size_t kLongest = 64;  // outputs in a vector of 2048 bits: every panel divides it

/// As quads_neon.h's, for V outputs in a panel.
template <class Codes_, class Scale_>
struct Vectors {
  using Codes = Codes_;
  using Scale = Scale_;
  static constexpr int bits = Codes::bits;
  static constexpr bool per_block = kOfGroups<Scale>;
  static constexpr bool minimum = kHasMinimum<Scale>;
  static constexpr bool halves = kUnitOf<Scale> != kBlock;
  static size_t group_blocks(size_t k, size_t group) {
    return Kind<Codes, Scale>::group_blocks(k, group);
  }
  static size_t vector() { return svcntb(); }
  static size_t block() { return size_t{bits} * vector(); }
  static size_t scales() { return svcntw() * sizeof(Scale) * (halves ? 2 : 1); }
  static size_t panel(size_t k, size_t group) {
    return Kind<Codes, Scale>::groups(k, group) * scales() + blocks_of(k) * block();
  }
};

template <class F>
using VectorsOf = Vectors<typename F::Codes, typename F::Scale>;

struct Rows : WordsOf4 {
  static constexpr size_t kCopies = 1;
};

// --- Packing -----------------------------------------------------------------------------------

template <class F>
size_t packed_bytes_sve(size_t n, size_t k, size_t group) {
  return (n + svcntw() - 1) / svcntw() * VectorsOf<F>::panel(k, group);
}

template <class F>
void pack_sve(const Weights& w, size_t n0, size_t n1, void* packed) {
  using K = VectorsOf<F>;
  const size_t v = svcntw(), bytes = K::panel(w.k, w.group), words = kBlock * F::Codes::bits / 32;
  const size_t groups = KindOf<F>::groups(w.k, w.group);
  const size_t group_blocks = K::group_blocks(w.k, w.group);
  for (size_t n = n0; n < n1; n += v) {
    Byte* out = static_cast<Byte*>(packed) + n / v * bytes;
    for (size_t g = 0; g < groups; ++g) {
      put_group<F>(w, n, g, v, out);
      out += K::scales();
      for (size_t b = g * group_blocks; b < (g + 1) * group_blocks; ++b, out += K::block())
        for (size_t c = 0; c < v; ++c) {
          const uint8x16x2_t codes = codes_of<F>(w, n + c, b);
          Byte word[kBlock];
          vst1q_u8(word, codes.val[0]);
          vst1q_u8(word + 16, codes.val[1]);
          for (size_t i = 0; i < words; ++i)
            __builtin_memcpy(out + i * K::vector() + 4 * c, word + 4 * i, 4);
        }
    }
  }
}

template <class F>
void unpack_sve(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1,
                void* codes) {
  using K = VectorsOf<F>;
  const size_t v = svcntw();
  for (size_t n = n0; n < n1; ++n) {
    const Byte* panel = static_cast<const Byte*>(packed) + n / v * K::panel(k, group);
    for (size_t i = 0; i < k; ++i) {
      const size_t within = i % kBlock, at = F::Codes::bits == 8 ? within : within % 16;
      const int byte = panel[(i / kBlock / K::group_blocks(k, group) + 1) * K::scales() +
                             i / kBlock * K::block() + at / 4 * K::vector() + n % v * 4 + at % 4];
      int code = static_cast<std::int8_t>(byte);
      if constexpr (F::Codes::bits == 4)
        code = F::Codes::value(((within < 16 ? byte : byte >> 4) & 15) ^
                               (kSigns<typename F::Codes> & 15));
      static_cast<std::int8_t*>(codes)[n * k + i] = static_cast<std::int8_t>(code);
    }
  }
}

// --- Activations: rows in fours; two or three that are left over are filled up, one is plain
// ------

constexpr size_t rows_of(size_t m) { return m % kQuad > 1 ? (m + kQuad - 1) / kQuad * kQuad : m; }

template <bool per_block, bool minimum>
size_t workspace_bytes_sve(size_t m, size_t, size_t k, size_t) {
  return rows_of(m) * layout_of<per_block, minimum>(k).stride;
}

template <bool per_block, bool minimum>
void prepare_sve(const void* x, size_t m, size_t k, size_t, size_t m0, size_t m1, void* workspace) {
  const RowLayout layout = layout_of<per_block, minimum>(k);
  for (size_t row = m0; row < m1; row += kQuad) {
    const float* from = static_cast<const float*>(x) + row * k;
    Byte* const to = static_cast<Byte*>(workspace) + row * layout.stride;
    if (m - row > 1)
      quantize_rows<Rows, per_block, minimum, int(kQuad)>(from, k, layout, to,
                                                          int(least(m - row, kQuad)));
    else
      quantize_rows<Rows, per_block, minimum, 1>(from, k, layout, to);
  }
}

// --- Products ----------------------------------------------------------------------------------

template <bool per_block>
struct SumOfSve {
  using Type = svfloat32_t;
};
template <>
struct SumOfSve<false> {
  using Type = svint32_t;
};

inline svint8_t bytes_at(const Byte* p) {
  return svld1_s8(svptrue_b8(), reinterpret_cast<const std::int8_t*>(p));
}
/// 16 bytes in every segment.
inline svint8_t repeated(const Byte* p) {
  return svld1rq_s8(svptrue_b8(), reinterpret_cast<const std::int8_t*>(p));
}

/// Vector i of a block of codes; integers of 4 bits 16 times too large.
template <class Codes>
inline svint8_t codes_of_block(const Byte* p, size_t i) {
  if constexpr (Codes::bits == 8) return bytes_at(p + i * svcntb());
  const svint8_t v = bytes_at(p + i % 4 * svcntb());
  if constexpr (kIsTable<Codes>) {
    const svuint8_t pairs = svreinterpret_u8_s8(v);
    return svtbl_s8(
        svld1rq_s8(svptrue_b8(), Codes::kValues),
        i < 4 ? svand_n_u8_x(svptrue_b8(), pairs, 15) : svlsr_n_u8_x(svptrue_b8(), pairs, 4));
  }
  return i < 4 ? svlsl_n_s8_x(svptrue_b8(), v, 4) : svand_n_s8_x(svptrue_b8(), v, -16);
}

/// What a panel's integer sums of a block are multiplied with, and of whole rows.
template <class K>
inline svfloat32_t scales_at(const Byte* p) {
  const svbool_t all = svptrue_b32();
  if constexpr (sizeof(typename K::Scale) != sizeof(f16))
    return svld1_f32(all, reinterpret_cast<const float*>(p));
  const svuint32_t halves = svld1uh_u32(all, reinterpret_cast<const std::uint16_t*>(p));
  if constexpr (__is_same(typename K::Scale, bf16))
    return svreinterpret_f32_u32(svlsl_n_u32_x(all, halves, 16));
  const svfloat32_t d = svcvt_f32_f16_x(all, svreinterpret_f16_u32(halves));
  return __is_same(typename K::Codes, Nibbles) ? svmul_n_f32_x(all, d, 0.0625f) : d;
}

/// What is taken off for a panel's minima, or the scales of second halves.
template <class K>
inline svfloat32_t second_at(const Byte* p) {
  if constexpr (K::halves) return scales_at<K>(p + svcntw() * sizeof(typename K::Scale));
  if constexpr (!K::minimum) return svdup_n_f32(0);
  return svld1_vnum_f32(svptrue_b32(), reinterpret_cast<const float*>(p), 1);
}
/// Four rows less minima times their sums.
inline void subtract(svfloat32_t& r0, svfloat32_t& r1, svfloat32_t& r2, svfloat32_t& r3,
                     svfloat32_t minima, const Byte* sums) {
  const svfloat32_t s = svld1rq_f32(svptrue_b32(), reinterpret_cast<const float*>(sums));
  r0 = svmls_lane_f32(r0, minima, s, 0);
  r1 = svmls_lane_f32(r1, minima, s, 1);
  r2 = svmls_lane_f32(r2, minima, s, 2);
  r3 = svmls_lane_f32(r3, minima, s, 3);
}

/// A whole row's sums times its scales. Scales first: codes times a scale may be too large for a
/// float that the output isn't.
template <int bits>
inline svfloat32_t finished(svint32_t sum, svfloat32_t d, const float* scale) {
  const svbool_t all = svptrue_b32();
  if constexpr (bits == 4) sum = svasr_n_s32_x(all, sum, 4);
  return svmul_f32_x(all, svcvt_f32_s32_x(all, sum), svmul_n_f32_x(all, d, *scale));
}
template <int bits>
inline svfloat32_t finished(svfloat32_t sum, svfloat32_t, const float*) {
  return sum;
}

/// Four rows of a block at x times vectors [from, to) of the panel's block at w.
template <class K, size_t from, size_t to>
inline void add_four(svint32_t& r0, svint32_t& r1, svint32_t& r2, svint32_t& r3, const Byte* w,
                     const Byte* x, svfloat32_t, const Byte*) {
  QB_UNROLL for (size_t i = from; i < to; ++i) {
    const svint8_t codes = codes_of_block<typename K::Codes>(w, i), rows = repeated(x + 16 * i);
    r0 = svdot_lane_s32(r0, codes, rows, 0);
    r1 = svdot_lane_s32(r1, codes, rows, 1);
    r2 = svdot_lane_s32(r2, codes, rows, 2);
    r3 = svdot_lane_s32(r3, codes, rows, 3);
  }
}
template <class K, size_t from, size_t to>
inline void add_four(svfloat32_t& r0, svfloat32_t& r1, svfloat32_t& r2, svfloat32_t& r3,
                     const Byte* w, const Byte* x, svfloat32_t d, const Byte* scales) {
  const svbool_t all = svptrue_b32();
  svint32_t s0 = svdup_n_s32(0), s1 = s0, s2 = s0, s3 = s0;
  add_four<K, from, to>(s0, s1, s2, s3, w, x, d, scales);
  const svfloat32_t s = svld1rq_f32(all, reinterpret_cast<const float*>(scales));
  r0 = svmla_lane_f32(r0, svmul_f32_x(all, svcvt_f32_s32_x(all, s0), d), s, 0);
  r1 = svmla_lane_f32(r1, svmul_f32_x(all, svcvt_f32_s32_x(all, s1), d), s, 1);
  r2 = svmla_lane_f32(r2, svmul_f32_x(all, svcvt_f32_s32_x(all, s2), d), s, 2);
  r3 = svmla_lane_f32(r3, svmul_f32_x(all, svcvt_f32_s32_x(all, s3), d), s, 3);
}

/// `rows` rows of x and y, at most R (4 or 8), and one panel: outputs [n,n+V), as far as they are
/// there.
template <class K, int R>
[[gnu::noinline]] void tile_sve(const Call& call, const Byte* panel, const Byte* x, float* y,
                                size_t n, size_t rows) {
  using Sum = typename SumOfSve<K::per_block>::Type;
  const size_t four_rows = kQuad * call.x_stride, block = K::block();
  const Byte *codes = panel, *xs = x + kQuad * call.x_scales, *const scales = xs;
  Sum a0, a1, a2, a3, a4, a5, a6, a7;
  if constexpr (K::per_block)
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = svdup_n_f32(0);
  else
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = svdup_n_s32(0);
  for (size_t b = 0; b < call.blocks;) {
    const svfloat32_t d = scales_at<K>(codes), second = second_at<K>(codes);
    codes += K::scales();
    for (const size_t end = b + call.group_blocks; b < end; ++b, codes += block) {
      constexpr size_t first = K::halves ? 4 : 8;
      add_four<K, 0, first>(a0, a1, a2, a3, codes, x, d, xs);
      if constexpr (R == 8)
        add_four<K, 0, first>(a4, a5, a6, a7, codes, x + four_rows, d, xs + four_rows);
      if constexpr (K::halves) {
        add_four<K, 4, 8>(a0, a1, a2, a3, codes, x, second, xs);
        if constexpr (R == 8)
          add_four<K, 4, 8>(a4, a5, a6, a7, codes, x + four_rows, second, xs + four_rows);
      }
      if constexpr (K::minimum) {
        const Byte* const sums = xs + kQuad * (call.x_sums - call.x_scales);
        subtract(a0, a1, a2, a3, second, sums);
        if constexpr (R == 8) subtract(a4, a5, a6, a7, second, sums + four_rows);
      }
      x += kQuad * kBlock;
      xs += kQuad * sizeof(float);
    }
  }
  const svbool_t lanes = svwhilelt_b32_u64(n, call.n1);
  const auto put = [&](size_t r, Sum sum) {
    if (r >= rows) return;
    const auto* s = reinterpret_cast<const float*>(scales + r / kQuad * four_rows) + r % kQuad;
    const svfloat32_t d = K::per_block ? svdup_n_f32(0) : scales_at<K>(panel);
    svst1_f32(lanes, y + r * call.n + n, finished<K::bits>(sum, d, s));
  };
  put(0, a0);
  put(1, a1);
  put(2, a2);
  put(3, a3);
  if constexpr (R == 8) {
    put(4, a4);
    put(5, a5);
    put(6, a6);
    put(7, a7);
  }
}

/// A plain row and one panel.
template <class K>
[[gnu::noinline]] void row_sve(const Call& call, const Byte* panel, const Byte* x, float* y,
                               size_t n) {
  const svbool_t all = svptrue_b32();
  const size_t block = K::block();
  const Byte* codes = panel;
  const auto* s = reinterpret_cast<const float*>(x + call.x_scales);
  [[maybe_unused]] const auto* sums = reinterpret_cast<const float*>(x + call.x_sums);
  svfloat32_t result = svdup_n_f32(0);
  svint32_t s0 = svdup_n_s32(0), s1 = s0, s2 = s0, s3 = s0;
  for (size_t b = 0; b < call.blocks;) {
    const svfloat32_t d = scales_at<K>(codes), second = second_at<K>(codes);
    codes += K::scales();
    for (const size_t end = b + call.group_blocks; b < end; ++b, codes += block, x += kBlock) {
      const svint8_t low = repeated(x), high = repeated(x + 16);
      if constexpr (K::per_block) s0 = s1 = s2 = s3 = svdup_n_s32(0);
      s0 = svdot_lane_s32(s0, codes_of_block<typename K::Codes>(codes, 0), low, 0);
      s1 = svdot_lane_s32(s1, codes_of_block<typename K::Codes>(codes, 1), low, 1);
      s2 = svdot_lane_s32(s2, codes_of_block<typename K::Codes>(codes, 2), low, 2);
      s3 = svdot_lane_s32(s3, codes_of_block<typename K::Codes>(codes, 3), low, 3);
      if constexpr (K::halves) {
        const svint32_t sum = svadd_s32_x(all, svadd_s32_x(all, s0, s1), svadd_s32_x(all, s2, s3));
        result = svmla_f32_x(all, result, svcvt_f32_s32_x(all, sum), svmul_n_f32_x(all, d, s[b]));
        s0 = s1 = s2 = s3 = svdup_n_s32(0);
      }
      s0 = svdot_lane_s32(s0, codes_of_block<typename K::Codes>(codes, 4), high, 0);
      s1 = svdot_lane_s32(s1, codes_of_block<typename K::Codes>(codes, 5), high, 1);
      s2 = svdot_lane_s32(s2, codes_of_block<typename K::Codes>(codes, 6), high, 2);
      s3 = svdot_lane_s32(s3, codes_of_block<typename K::Codes>(codes, 7), high, 3);
      if constexpr (K::per_block) {
        const svint32_t sum = svadd_s32_x(all, svadd_s32_x(all, s0, s1), svadd_s32_x(all, s2, s3));
        result = svmla_f32_x(all, result, svcvt_f32_s32_x(all, sum),
                             svmul_n_f32_x(all, K::halves ? second : d, s[b]));
        if constexpr (K::minimum) result = svmls_n_f32_x(all, result, second, sums[b]);
      }
    }
  }
  if constexpr (!K::per_block)
    result = finished<K::bits>(svadd_s32_x(all, svadd_s32_x(all, s0, s1), svadd_s32_x(all, s2, s3)),
                               scales_at<K>(panel), s);
  svst1_f32(svwhilelt_b32_u64(n, call.n1), y + n, result);
}

template <class K>
void run_sve(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
             size_t n0, size_t n1, void* out) {
  const RowLayout layout = layout_of<K::per_block, K::minimum>(w.k);
  const size_t stride = layout.stride, v = svcntw();
  const Call call = {.blocks = blocks_of(w.k),
                     .group_blocks = K::group_blocks(w.k, w.group),
                     .panel = K::panel(w.k, w.group),
                     .x_stride = stride,
                     .x_scales = layout.scales,
                     .x_sums = layout.sums,
                     .n = w.n,
                     .n1 = n1};
  size_t chunk = kRowBytes / (stride + 1) / 8 * 8;  // no stride where k is 0
  if (chunk < 8) chunk = 8;
  for (size_t m0 = 0; m0 < m; m0 += chunk) {
    const size_t rows = least(chunk, m - m0);
    const Byte* const x = static_cast<const Byte*>(workspace) + m0 * stride;
    float* const y = static_cast<float*>(out) + m0 * w.n;
    for (size_t n = n0; n < n1; n += v) {
      const Byte* const panel = static_cast<const Byte*>(packed) + n / v * call.panel;
      for (size_t r = 0; r < rows;) {
        const size_t left = rows - r;
        const Byte* const from = x + r * stride;
        float* const to = y + r * w.n;
        if (left == 1) {
          row_sve<K>(call, panel, from, to, n);
          r += 1;
        } else if (left >= 6) {  // a second four is there, if not full
          tile_sve<K, 8>(call, panel, from, to, n, left);
          r += 8;
        } else {
          tile_sve<K, 4>(call, panel, from, to, n, left);
          r += 4;
        }
      }
    }
  }
}

template <class F>
constexpr Kernel kernel_of_sve() {
  return {.n_step = kLongest,
          .packed_bytes = packed_bytes_sve<F>,
          .pack = pack_sve<F>,
          .unpack = unpack_sve<F>,
          .workspace_bytes = workspace_bytes_sve<F::per_group, kHasMinimum<typename F::Scale>>,
          .m_step = kQuad,
          .prepare = prepare_sve<F::per_group, kHasMinimum<typename F::Scale>>,
          .run = run_sve<VectorsOf<F>>};
}

}  // namespace

constexpr Kernels matmul_a8_sve =
    every_quantized_format([](auto format) { return kernel_of_sve<decltype(format)>(); });

}  // namespace qb::matmul
