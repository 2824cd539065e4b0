// SPDX-License-Identifier: Apache-2.0
// Products of int8 activations, SMMLA: two rows of 8 codes times two outputs of 8 codes, 32
// products into the four sums of a 2x2 tile. A single row would leave half of them idle: it is
// multiplied by SDOT, its 8 codes twice in a register, and the two halves of an output's sum are
// added at the end.
#include <arm_neon.h>

#include "matmul/a8/tiles_neon.h"

#if !defined(__ARM_FEATURE_MATMUL_INT8) || !defined(__ARM_FEATURE_DOTPROD)
#error "compile with the flags of cmake/Isa.cmake for neon_i8mm"
#endif

namespace qb::matmul {
namespace {

inline int8x16_t bytes(const Byte* p) { return vreinterpretq_s8_u8(vld1q_u8(p)); }
inline float32x4_t floats(const Byte* p) { return vreinterpretq_f32_u8(vld1q_u8(p)); }

struct Smmla {
  static constexpr size_t kWord = 8;
  static constexpr size_t kCopies = 2;  // of scales: as wide as a 2x2 tile's rows

  /// 16 bytes of each of four rows to 64: words in turn.
  static void interleave(Byte* to, uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
    const uint64x2x4_t words = {{vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b),
                                 vreinterpretq_u64_u8(c), vreinterpretq_u64_u8(d)}};
    vst4q_u64(reinterpret_cast<std::uint64_t*>(to), words);
  }

  // A tile's sums of four rows and a quad: 2x2 tiles.

  static void turn(float32x4_t (&v)[4]) { turn_2x2(v); }

  /// Two rows, the first or the second two of the four at x, and vectors [from, to) of codes.
  template <int from = 0, int to = 8>
  static void add_pair(int32x4_t& left, int32x4_t& right, const int8x16_t (&w)[8], const Byte* x) {
    QB_UNROLL for (int i = from / 2; i < to / 2; ++i) {
      const int8x16_t rows = bytes(x + 32 * i);
      left = vmmlaq_s32(left, rows, w[2 * i]);
      right = vmmlaq_s32(right, rows, w[2 * i + 1]);
    }
  }
  static void add(int32x4_t (&sum)[4], const int8x16_t (&w)[8], const Byte* x) {
    add_pair(sum[0], sum[1], w, x);
    add_pair(sum[2], sum[3], w, x + 16);
  }

  template <class Codes, int from, int to>
  static void add(float32x4_t (&result)[4], const int8x16_t (&w)[8], const Byte* x, float32x4_t d,
                  const Byte* scales) {
    const float32x4_t d0 = low(d, d), d1 = high(d, d);
    QB_UNROLL for (int i = 0; i < 2; ++i) {  // a pair at a time: registers are scarce
      int32x4_t left = vdupq_n_s32(0), right = vdupq_n_s32(0);
      add_pair<from, to>(left, right, w, x + 16 * i);
      const float32x4_t s = floats(scales + 16 * i);
      result[2 * i] = vfmaq_f32(result[2 * i], vmulq_f32(as_float<Codes>(left), d0), s);
      result[2 * i + 1] = vfmaq_f32(result[2 * i + 1], vmulq_f32(as_float<Codes>(right), d1), s);
    }
  }

  /// result - minima times four rows' sums.
  static void subtract(float32x4_t (&result)[4], float32x4_t minima, const Byte* sums) {
    QB_UNROLL for (int i = 0; i < 2; ++i) {
      const float32x4_t s = floats(sums + 16 * i);
      result[2 * i] = vfmsq_f32(result[2 * i], low(minima, minima), s);
      result[2 * i + 1] = vfmsq_f32(result[2 * i + 1], high(minima, minima), s);
    }
  }

  // A plain row's sums with a quad: outputs 0 and 1 in two halves each, likewise 2 and 3.

  static constexpr int kRowSums = 2;

  template <int from = 0, int to = 8>
  static void add_row(int32x4_t (&sum)[2], const int8x16_t (&w)[8], const Byte* x) {
    QB_UNROLL for (int i = from / 2; i < to / 2; ++i) {
      const int8x16_t twice =
          vreinterpretq_s8_u64(vld1q_dup_u64(reinterpret_cast<const std::uint64_t*>(x + 8 * i)));
      sum[0] = vdotq_s32(sum[0], w[2 * i], twice);
      sum[1] = vdotq_s32(sum[1], w[2 * i + 1], twice);
    }
  }
  static int32x4_t total(const int32x4_t (&sum)[2]) { return vpaddq_s32(sum[0], sum[1]); }
};

}  // namespace

constexpr Kernels matmul_a8_neon_i8mm =
    every_quantized_format([](auto format) { return kernel_of<Smmla, decltype(format)>(); });

}  // namespace qb::matmul
