// SPDX-License-Identifier: Apache-2.0
// The floating-point environment (contract, section 6): ordinary input raises no exception flag but
// inexact and underflow, however many lanes of a vector are unused. The plain loops (scalar,
// autovec) make no such promise.
#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <string>
#include <vector>

#include "absmax/absmax.h"
#include "convert/convert.h"
#include "matmul/matmul.h"
#include "oracle/half.h"
#include "quantize/quantize.h"
#include "support/inputs.h"
#include "support/matmul_test.h"

namespace {

using qb::f16;

constexpr int kNotOrdinary = FE_DIVBYZERO | FE_OVERFLOW | FE_INVALID;

std::string names(int flags) {
  std::string text;
  if (flags & FE_DIVBYZERO) text += " division by zero";
  if (flags & FE_OVERFLOW) text += " overflow";
  if (flags & FE_INVALID) text += " invalid";
  return text;
}

/// The plain loops, which promise nothing of flags.
bool is_plain(const qb::Variant& v) { return v.name == "scalar" || v.name.starts_with("autovec"); }

/// Runs body(kernel) for every other variant that runs here, and expects none of these flags
/// afterwards.
template <class Op, class Body>
void expect_clear(const Op& op, const std::string& what, const Body& body) {
  for (const qb::Variant* v : op.variants()) {
    if (is_plain(*v) || !v->refusal().empty()) continue;
    std::feclearexcept(FE_ALL_EXCEPT);
    body(op.kernel(*v));
    EXPECT_EQ(names(std::fetestexcept(kNotOrdinary)), "") << op.name << "/" << v->name << what;
  }
}

std::vector<f16> halves(const std::vector<float>& x) {
  std::vector<f16> h;
  for (const float v : x) h.push_back(qb::oracle::to_f16(v));
  return h;
}

struct Shape {
  std::size_t groups, len;
};
/// Counts and lengths that leave every possible number of lanes unused.
std::vector<Shape> shapes() {
  std::vector<Shape> list;
  for (std::size_t n = 1; n <= 70; ++n) list.push_back({1, n});
  list.push_back({1, 5001});
  for (std::size_t groups = 1; groups <= 35; ++groups)
    for (const std::size_t len : {4, 32, 33, 64, 128}) list.push_back({groups, len});
  return list;
}

/// Ordinary values, of any usual magnitude.
std::vector<float> values(Shape s, float magnitude) {
  std::vector<float> x = qb::test::weights(s.groups * s.len, 3);
  for (float& v : x) v = std::fmin(std::fmax(v * magnitude, -60000.0f), 60000.0f);
  return x;
}

/// f32 or f16 to codes, and back.
template <class Code, class X, class S, class Q, class D, class Y>
void expect_clear_both_ways(const Q& quantize, const D& dequantize, const std::vector<X>& x,
                            Shape s, Y) {
  const std::string what = " on " + std::to_string(s.groups) + " x " + std::to_string(s.len);
  std::vector<Code> q(x.size() + s.groups);
  std::vector<S> scale(s.groups);
  std::vector<Y> y(x.size());
  expect_clear(quantize, what,
               [&](auto* kernel) { kernel(x.data(), s.groups, s.len, q.data(), scale.data()); });
  expect_clear(dequantize, what,
               [&](auto* kernel) { kernel(q.data(), s.groups, s.len, scale.data(), y.data()); });
}

void expect_quantization_clear(Shape s, float magnitude) {
  using namespace qb;
  const std::vector<float> x = values(s, magnitude);
  const std::vector<f16> h = halves(x);
  using I = std::int8_t;
  using U = std::uint8_t;
  expect_clear_both_ways<I, float, float>(quantize::quantize_f32_s8, quantize::dequantize_s8_f32, x,
                                          s, 0.0f);
  expect_clear_both_ways<I, float, f16>(quantize::quantize_f32_s8g, quantize::dequantize_s8g_f32, x,
                                        s, 0.0f);
  expect_clear_both_ways<I, f16, f16>(quantize::quantize_f16_s8, quantize::dequantize_s8_f16, h, s,
                                      f16{});
  expect_clear_both_ways<U, float, float>(quantize::quantize_f32_s4, quantize::dequantize_s4_f32, x,
                                          s, 0.0f);
  expect_clear_both_ways<U, float, f16>(quantize::quantize_f32_s4g, quantize::dequantize_s4g_f32, x,
                                        s, 0.0f);
  expect_clear_both_ways<U, f16, f16>(quantize::quantize_f16_s4, quantize::dequantize_s4_f16, h, s,
                                      f16{});
}

/// Numbers of blocks or groups around whole vectors of 4, 8 and 16 of them.
constexpr std::size_t kCounts[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33};

template <class Block, class Q, class D>
void expect_blocks_clear(const Q& quantize, const D& dequantize, float magnitude) {
  for (const std::size_t blocks : kCounts) {
    const std::string what = " on " + std::to_string(blocks) + " blocks";
    const std::vector<float> x = values({blocks, qb::kWeightsOf<Block>}, magnitude);
    std::vector<float> y(x.size());
    std::vector<Block> q(blocks);
    expect_clear(quantize, what, [&](auto* kernel) { kernel(x.data(), blocks, q.data()); });
    expect_clear(dequantize, what, [&](auto* kernel) { kernel(q.data(), blocks, y.data()); });
  }
}

template <class S, class Q, class D>
void expect_zero_points_clear(const Q& quantize, const D& dequantize, float magnitude) {
  for (const std::size_t groups : kCounts) {
    const std::string what = " on " + std::to_string(groups) + " groups";
    const std::vector<float> x = values({groups, 32}, magnitude);
    std::vector<float> y(x.size());
    std::vector<S> scale(groups);
    std::vector<std::uint8_t> q(x.size() / 2), zero((groups + 1) / 2);
    for (std::uint8_t* const points : {zero.data(), static_cast<std::uint8_t*>(nullptr)}) {
      expect_clear(quantize, what, [&](auto* kernel) {
        kernel(x.data(), groups, 32, q.data(), scale.data(), points);
      });
      expect_clear(dequantize, what, [&](auto* kernel) {
        kernel(q.data(), groups, 32, scale.data(), points, y.data());
      });
    }
  }
}

constexpr float kMagnitudes[] = {1.0f, 2000.0f};

TEST(Exceptions, GroupsRaiseNone) {
  for (const float magnitude : kMagnitudes)
    for (const Shape s : shapes()) expect_quantization_clear(s, magnitude);
}
TEST(Exceptions, BlocksRaiseNone) {
  using namespace qb;
  using namespace qb::quantize;
  for (const float magnitude : kMagnitudes) {
#define QB_EXPECT_CLEAR(format, Scale, ...) \
  expect_zero_points_clear<Scale>(quantize_f32_##format, dequantize_##format##_f32, magnitude);
    QB_ZERO_POINT_FORMATS(QB_EXPECT_CLEAR, )
#undef QB_EXPECT_CLEAR
#define QB_EXPECT_CLEAR(format, Block, ...) \
  expect_blocks_clear<Block>(quantize_f32_##format, dequantize_##format##_f32, magnitude);
    QB_BLOCK_FORMATS(QB_EXPECT_CLEAR, )
#undef QB_EXPECT_CLEAR
  }
}

TEST(Exceptions, ConversionAndAbsmaxRaiseNone) {
  using namespace qb;
  for (const Shape s : shapes()) {
    const std::size_t n = s.groups * s.len;
    const std::string what = " on " + std::to_string(n);
    std::vector<float> x = values(s, 1.0f), y(n), most(s.groups);
    const std::vector<f16> h = halves(x);
    std::vector<f16> to_h(n);
    std::vector<bf16> b(n);
    expect_clear(convert::f32_f16, what, [&](auto* k) { k(x.data(), n, to_h.data()); });
    expect_clear(convert::f16_f32, what, [&](auto* k) { k(h.data(), n, y.data()); });
    expect_clear(convert::f32_bf16, what, [&](auto* k) { k(x.data(), n, b.data()); });
    expect_clear(convert::bf16_f32, what, [&](auto* k) { k(b.data(), n, y.data()); });
    std::vector<e4m3> fours(n);
    std::vector<e5m2> fives(n);
    expect_clear(convert::f32_e4m3, what, [&](auto* k) { k(x.data(), n, fours.data()); });
    expect_clear(convert::e4m3_f32, what, [&](auto* k) { k(fours.data(), n, y.data()); });
    expect_clear(convert::f32_e5m2, what, [&](auto* k) { k(x.data(), n, fives.data()); });
    expect_clear(convert::e5m2_f32, what, [&](auto* k) { k(fives.data(), n, y.data()); });
    expect_clear(absmax::f32, what, [&](auto* k) { k(x.data(), s.groups, s.len, most.data()); });
    expect_clear(absmax::f16, what, [&](auto* k) { k(h.data(), s.groups, s.len, most.data()); });
  }
}

TEST(Exceptions, ProductsRaiseNone) {
  using namespace qb::matmul;
  for (const Arithmetic arithmetic : {Arithmetic::a32, Arithmetic::a8, Arithmetic::abf16})
    for (const qb::FormatInfo& row : qb::kFormats) {
      const Format format = row.format;
      if (!find_operation(arithmetic, format)) continue;
      for (const std::size_t m : {1, 3, 7, 19})
        for (const std::size_t n : {1, 17, 40}) {
          const std::size_t k = row.weights > qb::kBlock ? 256 : 160;
          const qb::test::TestWeights w(format, n, k, 32, 5);
          const std::vector<float> x = values({m, k}, 1.0f);
          expect_clear(operation(arithmetic, format),
                       " on " + std::to_string(m) + " x " + std::to_string(n), [&](auto* kernel) {
                         qb::test::multiply(*kernel, w.view(), x, m, qb::test::Against::end, false);
                       });
        }
    }
}

}  // namespace
