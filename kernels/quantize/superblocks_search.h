// SPDX-License-Identifier: Apache-2.0
// How the scale of a group is found by trials, a group a lane (lanes.h), for superblocks.h.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantize/lanes.h"

namespace qb::quantize {
namespace {

/// Of groups of 32: weights sqrt(sum x^2 / 32) + |x| to `weights`.
template <class V>
inline void weigh(const float* columns, float* weights) {
  using F = typename V::F;
  const std::size_t lanes = V::lanes();
  F squares = V::set(0);
  for (std::size_t j = 0; j < 32; ++j) {
    const F x = V::load(columns + j * lanes);
    squares = V::add(squares, V::multiply(x, x));
  }
  const F average = V::square_root(V::multiply(squares, V::set(1.0f / 32)));
  for (std::size_t j = 0; j < 32; ++j)
    V::store(weights + j * lanes, V::add(average, V::absolute(V::load(columns + j * lanes))));
}

/// Sum of w*(scale*code + least - x)^2.
template <class V>
inline __attribute__((always_inline)) typename V::F weighted_error(const float* columns,
                                                                   const float* weights,
                                                                   const float* codes,
                                                                   typename V::F scale,
                                                                   typename V::F least) {
  using F = typename V::F;
  const std::size_t lanes = V::lanes();
  F error = V::set(0);
  for (std::size_t j = 0; j < 32 * lanes; j += lanes) {
    const F value = V::add(V::multiply(scale, V::load(codes + j)), least);
    const F off = V::subtract(value, V::load(columns + j));
    error = V::add(error, V::multiply(V::load(weights + j), V::multiply(off, off)));
  }
  return error;
}

/// What is known of groups before their codes are: extremes, lowest being 0 at most, and sums over
/// weights. By reference, since SVE's vectors can't be members.
template <class V>
inline __attribute__((always_inline)) void extent_of(const float* columns, const float* weights,
                                                     typename V::F& lowest, typename V::F& highest,
                                                     typename V::F& sum_w, typename V::F& sum_wx) {
  using F = typename V::F;
  const std::size_t lanes = V::lanes();
  lowest = sum_w = sum_wx = V::set(0);
  highest = V::load(columns);
  for (std::size_t j = 0; j < 32 * lanes; j += lanes) {
    const F x = V::load(columns + j), w = V::load(weights + j);
    sum_w = V::add(sum_w, w);
    sum_wx = V::add(sum_wx, V::multiply(w, x));
    lowest = V::smaller(lowest, x);
    highest = V::larger(highest, x);
  }
}

/// Scale and least by least squares, for codes of inverse*(x - least), which go to `codes`.
/// `kMayExceed`: whether a product may be above kHighest + 1/2. A least above 0 becomes 0. Returns
/// where there is a solution.
template <class V, int kHighest, bool kMayExceed>
inline __attribute__((always_inline)) typename V::M least_squares(
    const float* columns, const float* weights, typename V::F sum_w, typename V::F sum_wx,
    typename V::F inverse, typename V::F least, float* codes, typename V::F& new_scale,
    typename V::F& new_least) {
  using F = typename V::F;
  using M = typename V::M;
  const std::size_t lanes = V::lanes();
  const F zero = V::set(0), one = V::set(1), integers = V::set(kIntegers);
  const F highest = V::set(kIntegers + kHighest);
  F sum_wq = zero, sum_wqq = zero, sum_wqx = zero;
  for (std::size_t j = 0; j < 32 * lanes; j += lanes) {
    const F x = V::load(columns + j);
    const F v = V::add(V::multiply(inverse, V::subtract(x, least)), integers);
    const F from_zero = V::larger(v, integers);  // zero for NaN
    const F q = V::subtract(kMayExceed ? V::smaller(from_zero, highest) : from_zero, integers);
    V::store(codes + j, q);
    const F wq = V::multiply(V::load(weights + j), q);
    sum_wq = V::add(sum_wq, wq);
    sum_wqq = V::add(sum_wqq, V::multiply(wq, q));
    sum_wqx = V::add(sum_wqx, V::multiply(wq, x));
  }
  const F determinant = V::subtract(V::multiply(sum_w, sum_wqq), V::multiply(sum_wq, sum_wq));
  const M solvable = V::less(zero, determinant);
  F scale_times = V::subtract(V::multiply(sum_w, sum_wqx), V::multiply(sum_wx, sum_wq));
  F least_times = V::subtract(V::multiply(sum_wqq, sum_wx), V::multiply(sum_wq, sum_wqx));
  // A least above 0 is known by its numerator: one division serves both cases.
  const M above = V::less(zero, least_times);
  scale_times = V::select(above, sum_wqx, scale_times);
  least_times = V::select(above, zero, least_times);
  const F one_if_not = V::select(solvable, zero, one);
  const F positive = V::larger(determinant, zero);
  new_least = V::divide(least_times, V::add(positive, one_if_not));
  new_scale = V::divide(scale_times, V::add(V::select(above, sum_wqq, positive), one_if_not));
  return solvable;
}

/// Codes 0 to kHighest of w = scale*code + least. The first fit spans the extremes; then `tries`+1
/// times the codes of another number of steps between the least that is best so far and the
/// largest (kHighest + first, + 0.1, + 0.2, ...) give a scale and a least by least squares, and the
/// smaller error wins. Groups of one value have scale 0.
template <class V, int kHighest>
inline void search_scale_and_minimum(const float* columns, float first, int tries, float* scale_out,
                                     float* minimum_out, float* inverse_out, float* least_out) {
  using F = typename V::F;
  using M = typename V::M;
  const std::size_t lanes = V::lanes();
  alignas(64) float weights[32 * V::kMostLanes], codes[32 * V::kMostLanes];
  weigh<V>(columns, weights);
  F lowest, highest, sum_w, sum_wx;
  extent_of<V>(columns, weights, lowest, highest, sum_w, sum_wx);
  const F zero = V::set(0), one = V::set(1), integers = V::set(kIntegers);
  const M flat = V::less_equal(V::subtract(highest, lowest), zero);
  // Divisors are made harmless by additions where they might be 0 (docs/contract.md, section 6).
  const F one_if_flat = V::select(flat, one, zero);
  F least = lowest;
  F inverse = V::divide(V::set(kHighest), V::add(V::subtract(highest, least), one_if_flat));
  F scale = V::divide(one, inverse), won_inverse = inverse, won_least = least;
  for (std::size_t j = 0; j < 32 * lanes; j += lanes) {
    const F v = V::multiply(inverse, V::subtract(V::load(columns + j), least));
    V::store(codes + j, V::subtract(clamped<V>(v, 0, kHighest), integers));
  }
  F best = weighted_error<V>(columns, weights, codes, scale, least);
  for (int i = 0; i <= tries; ++i) {
    const float steps = (first + 0.1f * float(i)) + float(kHighest);
    inverse = V::divide(V::set(steps), V::add(V::subtract(highest, least), one_if_flat));
    F new_scale, new_least;
    // Products are at most `steps`, give or take their rounding, where the largest value is above
    // `least` by enough for the inverse to be finite.
    const bool may_exceed = steps > float(kHighest) + 0.45f || V::any(V::less(inverse, zero)) ||
                            V::any(V::less(V::set(0x1.fffffep127f), inverse));
    const M solvable =
        may_exceed ? least_squares<V, kHighest, true>(columns, weights, sum_w, sum_wx, inverse,
                                                      least, codes, new_scale, new_least)
                   : least_squares<V, kHighest, false>(columns, weights, sum_w, sum_wx, inverse,
                                                       least, codes, new_scale, new_least);
    const F error = weighted_error<V>(columns, weights, codes, new_scale, new_least);
    const M better = V::both(solvable, V::less(error, best));
    best = V::select(better, error, best);
    scale = V::select(better, new_scale, scale);
    won_inverse = V::select(better, inverse, won_inverse);
    won_least = V::select(better, least, won_least);
    least = V::select(better, new_least, least);
  }
  V::store(scale_out, V::select(flat, zero, scale));
  V::store(minimum_out, V::subtract(zero, V::select(flat, lowest, least)));
  V::store(inverse_out, V::select(flat, zero, won_inverse));  // all codes 0
  V::store(least_out, won_least);
}

/// Inverse and least that give the lowest code to all of a group of zeros, whatever the format.
inline void put_lowest_code(float& inverse, float& least) {
  inverse = 1;
  least = 64;
}

/// Sums over a group of 16 for the codes of x * inverse, from -32 to 31: of code * x^3 and of
/// code^2 * x^2. `kMayFallBelow`: whether a product may be below -32.5.
template <class V, bool kMayFallBelow>
inline __attribute__((always_inline)) void signed_sums(const float* columns, const float* squares,
                                                       const float* cubes, typename V::F inverse,
                                                       typename V::F& sum_xq,
                                                       typename V::F& sum_qq) {
  using F = typename V::F;
  const std::size_t lanes = V::lanes();
  const F integers = V::set(kIntegers), lowest = V::set(kIntegers - 32);
  const F highest = V::set(kIntegers + 31);
  sum_xq = sum_qq = V::set(0);
  for (std::size_t j = 0; j < 16 * lanes; j += lanes) {
    const F v = V::add(V::multiply(inverse, V::load(columns + j)), integers);
    const F from_lowest = kMayFallBelow ? V::larger(v, lowest) : v;
    const F q = V::subtract(V::smaller(from_lowest, highest), integers);
    sum_xq = V::add(sum_xq, V::multiply(V::load(cubes + j), q));
    sum_qq = V::add(sum_qq, V::multiply(V::multiply(V::load(squares + j), q), q));
  }
}

/// Codes -32 to 31 of w = scale*code in groups of 16, weights x^2: least squares for the codes of
/// x * (-(32 + 0.1 i) / m), m being the signed value of largest magnitude (the first on a tie), i
/// from -9 to 9, 0 first. Where |m| is below 1e-15 the scale is 0.
template <class V>
inline void search_signed_scale(const float* columns, float* scale_out, float* inverse_out,
                                float* least_out) {
  using F = typename V::F;
  using M = typename V::M;
  const std::size_t lanes = V::lanes(), end = 16 * lanes;
  alignas(64) float squares[16 * V::kMostLanes], cubes[16 * V::kMostLanes];
  const F none = V::set(0), one = V::set(1);
  F most = none, extreme = none;
  for (std::size_t j = 0; j < end; j += lanes) {
    const F x = V::load(columns + j), magnitude = V::absolute(x);
    const M larger = V::less(most, magnitude);
    most = V::select(larger, magnitude, most);
    extreme = V::select(larger, x, extreme);
    const F square = V::multiply(x, x);
    V::store(squares + j, square);
    V::store(cubes + j, V::multiply(square, x));
  }
  const M zero = V::less(most, V::set(1e-15f));
  const F divisor = V::add(extreme, V::select(zero, one, none));
  F scale = none, best = none, won = none;
  for (int trial = 0; trial < 19; ++trial) {
    const int i = trial == 0 ? 0 : trial <= 9 ? trial - 10 : trial - 9;
    const F inverse = V::divide(V::set(-(32.0f + 0.1f * float(i))), divisor);
    F sum_xq = none, sum_qq = none;
    // A product's magnitude is at most 32 + 0.1 i: up to i = 4 none is rounded to -33.
    if (i <= 4)
      signed_sums<V, false>(columns, squares, cubes, inverse, sum_xq, sum_qq);
    else
      signed_sums<V, true>(columns, squares, cubes, inverse, sum_xq, sum_qq);
    const M some = V::less(none, sum_qq);
    const F quotient = V::divide(sum_xq, V::add(sum_qq, V::select(some, none, one)));
    const M better = V::both(some, V::less(V::multiply(best, sum_qq), V::multiply(sum_xq, sum_xq)));
    const M take = trial == 0 ? some : better;
    scale = V::select(take, quotient, scale);
    best = V::select(take, V::multiply(quotient, sum_xq), best);
    won = trial == 0 ? inverse : V::select(take, inverse, won);
  }
  F no_inverse = one, no_least = V::set(64);  // as put_lowest_code
  V::store(scale_out, V::select(zero, none, scale));
  V::store(inverse_out, V::select(zero, no_inverse, won));
  V::store(least_out, V::select(zero, no_least, none));
}

}  // namespace
}  // namespace qb::quantize
