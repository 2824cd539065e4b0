// SPDX-License-Identifier: Apache-2.0
// q4_0, SVE. Minimum and maximum of four blocks through trees of UZP1 and UZP2.
#include "quantize/kernels.h"
#include "quantize/s4_sve.h"

namespace qb::quantize {
namespace {

inline svfloat32_t larger(svfloat32_t a, svfloat32_t b) { return svmax_f32_x(svptrue_b32(), a, b); }
inline svfloat32_t smaller(svfloat32_t a, svfloat32_t b) {
  return svmin_f32_x(svptrue_b32(), a, b);
}
inline svfloat32_t fold_larger(svfloat32_t a, svfloat32_t b) {
  return larger(svuzp1_f32(a, b), svuzp2_f32(a, b));
}
inline svfloat32_t fold_smaller(svfloat32_t a, svfloat32_t b) {
  return smaller(svuzp1_f32(a, b), svuzp2_f32(a, b));
}

/// The signed values of the largest magnitude of `blocks` blocks, four at most, the first on a tie;
/// +0 if all are zero.
inline svfloat32_t signed_extremes(const float* x, std::size_t blocks) {
  const svbool_t four = first4();
  const std::size_t n = blocks * kBlock;
  svfloat32_t h0 = svdup_n_f32(0), h1 = h0, h2 = h0, h3 = h0, l0 = h0, l1 = h0, l2 = h0, l3 = h0;
  for (std::size_t j = 0; j < kBlock; j += svcntw()) {
    // Zeros, of absent blocks and lanes too, change neither extreme.
    const auto load = [=](std::size_t block) {
      const std::size_t end = (block + 1) * kBlock;
      return svld1_f32(lanes32(block * kBlock + j, end < n ? end : n), x + block * kBlock + j);
    };
    const svfloat32_t v0 = load(0), v1 = load(1), v2 = load(2), v3 = load(3);
    h0 = larger(h0, v0), l0 = smaller(l0, v0);
    h1 = larger(h1, v1), l1 = smaller(l1, v1);
    h2 = larger(h2, v2), l2 = smaller(l2, v2);
    h3 = larger(h3, v3), l3 = smaller(l3, v3);
  }
  svfloat32_t high = fold_larger(fold_larger(h0, h1), fold_larger(h2, h3));
  svfloat32_t low = fold_smaller(fold_smaller(l0, l1), fold_smaller(l2, l3));
  for (std::size_t lanes = svcntw(); lanes > 4; lanes /= 2) {
    high = fold_larger(high, high);
    low = fold_smaller(low, low);
  }
  const svfloat32_t depth = svneg_f32_x(four, low);
  svfloat32_t extreme = svsel_f32(svcmpgt_f32(four, depth, high), low, high);
  const svbool_t tie = svand_b_z(four, svcmpeq_f32(four, depth, high), svcmpne_n_f32(four, low, 0));
  if (svptest_any(four, tie)) {  // rare: look for the first
    float most[4], first[4];
    svst1_f32(four, most, svmax_f32_x(four, high, depth));
    svst1_f32(four, first, extreme);
    for (std::size_t i = 0; i < blocks; ++i)
      for (std::size_t j = kBlock; j-- > 0;)
        if (__builtin_fabsf(x[i * kBlock + j]) == most[i]) first[i] = x[i * kBlock + j];
    // Blocks without a tie have their extreme once, or more often with the same sign.
    extreme = svld1_f32(four, first);
  }
  return svadd_n_f32_x(four, extreme, 0);
}

/// min(15, trunc(x*id + 8.5))
inline svuint32_t nibble(svbool_t p, const float* x, svfloat32_t id) {
  const svbool_t all = svptrue_b32();
  const svfloat32_t v = svadd_n_f32_x(all, svmul_f32_x(all, svld1_f32(p, x), id), 8.5f);
  return svmin_n_u32_x(all, svcvt_u32_f32_x(all, v), 15);
}

}  // namespace

void quantize_f32_q4_0_sve(const float* x, std::size_t blocks, BlockQ4_0* y) {
  const svbool_t four = first4(), all = svptrue_b32();
  const svbool_t p = lanes32(0, kBlock / 2);  // half a block is a number of vectors, or part of one
  while (blocks) {
    const std::size_t some = blocks < 4 ? blocks : 4;
    const svfloat32_t d = svmul_n_f32_x(four, signed_extremes(x, some), -0.125f);
    // Blocks of zeros, absent ones among them, divide nothing.
    const svbool_t divides = svcmpne_n_f32(four, d, 0);
    const svfloat32_t id = finite_or_zero(svdiv_f32_z(divides, svdup_n_f32(1.0f), d));
    f16 stored[4];
    store4(stored, d);
    for (std::uint32_t i = 0; i < some; ++i, x += kBlock, ++y) {
      const svfloat32_t factor = svdup_lane_f32(id, i);
      y->d = stored[i];
      for (std::size_t j = 0; j < kBlock / 2; j += svcntw()) {
        const svuint32_t high = svlsl_n_u32_x(all, nibble(p, x + kBlock / 2 + j, factor), 4);
        svst1b_u32(p, y->qs + j, svorr_u32_x(all, nibble(p, x + j, factor), high));
      }
    }
    blocks -= some;
  }
}

void dequantize_q4_0_f32_sve(const BlockQ4_0* x, std::size_t blocks, float* y) {
  const svbool_t p = lanes32(0, kBlock / 2), all = svptrue_b32();
  const svuint32_t exponent = svdup_n_u32(0x4b000000);
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    const svfloat32_t d = svdup_n_f32(widened(x[i].d));
    for (std::size_t j = 0; j < kBlock / 2; j += svcntw()) {
      const svuint32_t pair = svld1ub_u32(p, x[i].qs + j);
      const svuint32_t low = svand_n_u32_x(all, pair, 15), high = svlsr_n_u32_x(all, pair, 4);
      svst1_f32(p, y + j, scaled(svorr_u32_x(all, low, exponent), d));
      svst1_f32(p, y + kBlock / 2 + j, scaled(svorr_u32_x(all, high, exponent), d));
    }
  }
}

}  // namespace qb::quantize
