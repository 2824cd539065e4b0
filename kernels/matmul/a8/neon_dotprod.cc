// SPDX-License-Identifier: Apache-2.0
// Products of int8 activations, SDOT: each int32 lane of the sum gets the products of four bytes of
// one output with four of an activation row, which come from a lane of their register. So a vector
// of activations, four of K for four rows, meets a vector of weights in four instructions.
#include <arm_neon.h>

#include "matmul/a8/tiles_neon.h"

#if !defined(__ARM_FEATURE_DOTPROD)
#error "compile with the flags of cmake/Isa.cmake for neon_dotprod"
#endif

namespace qb::matmul {
namespace {

inline int8x16_t bytes(const Byte* p) { return vreinterpretq_s8_u8(vld1q_u8(p)); }

struct Sdot : WordsOf4 {
  static constexpr size_t kCopies = 1;

  // A tile's sums of four rows and a quad: a vector for each row.

  static void turn(float32x4_t (&)[4]) {}

  /// Of vectors [from, to) of codes.
  template <int from = 0, int to = 8>
  static void add(int32x4_t (&sum)[4], const int8x16_t (&w)[8], const Byte* x) {
    QB_UNROLL for (int i = from; i < to; ++i) {
      const int8x16_t rows = bytes(x + 16 * i);
      sum[0] = vdotq_laneq_s32(sum[0], w[i], rows, 0);
      sum[1] = vdotq_laneq_s32(sum[1], w[i], rows, 1);
      sum[2] = vdotq_laneq_s32(sum[2], w[i], rows, 2);
      sum[3] = vdotq_laneq_s32(sum[3], w[i], rows, 3);
    }
  }

  template <class Codes, int from, int to>
  static void add(float32x4_t (&result)[4], const int8x16_t (&w)[8], const Byte* x, float32x4_t d,
                  const Byte* scales) {
    int32x4_t sum[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
    add<from, to>(sum, w, x);
    const float32x4_t s = vreinterpretq_f32_u8(vld1q_u8(scales));
    result[0] = vfmaq_laneq_f32(result[0], vmulq_f32(as_float<Codes>(sum[0]), d), s, 0);
    result[1] = vfmaq_laneq_f32(result[1], vmulq_f32(as_float<Codes>(sum[1]), d), s, 1);
    result[2] = vfmaq_laneq_f32(result[2], vmulq_f32(as_float<Codes>(sum[2]), d), s, 2);
    result[3] = vfmaq_laneq_f32(result[3], vmulq_f32(as_float<Codes>(sum[3]), d), s, 3);
  }

  /// result - minima times four rows' sums.
  static void subtract(float32x4_t (&result)[4], float32x4_t minima, const Byte* sums) {
    const float32x4_t s = vreinterpretq_f32_u8(vld1q_u8(sums));
    result[0] = vfmsq_laneq_f32(result[0], minima, s, 0);
    result[1] = vfmsq_laneq_f32(result[1], minima, s, 1);
    result[2] = vfmsq_laneq_f32(result[2], minima, s, 2);
    result[3] = vfmsq_laneq_f32(result[3], minima, s, 3);
  }

  // A plain row's sums with a quad.

  static constexpr int kRowSums = 1;

  template <int from = 0, int to = 8>
  static void add_row(int32x4_t (&sum)[1], const int8x16_t (&w)[8], const Byte* x) {
    if constexpr (from == 0) {
      const int8x16_t low = bytes(x);
      sum[0] = vdotq_laneq_s32(sum[0], w[0], low, 0);
      sum[0] = vdotq_laneq_s32(sum[0], w[1], low, 1);
      sum[0] = vdotq_laneq_s32(sum[0], w[2], low, 2);
      sum[0] = vdotq_laneq_s32(sum[0], w[3], low, 3);
    }
    if constexpr (to == 8) {
      const int8x16_t high = bytes(x + 16);
      sum[0] = vdotq_laneq_s32(sum[0], w[4], high, 0);
      sum[0] = vdotq_laneq_s32(sum[0], w[5], high, 1);
      sum[0] = vdotq_laneq_s32(sum[0], w[6], high, 2);
      sum[0] = vdotq_laneq_s32(sum[0], w[7], high, 3);
    }
  }
  static int32x4_t total(const int32x4_t (&sum)[1]) { return sum[0]; }
};

}  // namespace

constexpr Kernels matmul_a8_neon_dotprod =
    every_quantized_format([](auto format) { return kernel_of<Sdot, decltype(format)>(); });

}  // namespace qb::matmul
