#include <limits>

#include "core/check.h"
#include "matmul/matmul.h"
#include "oracle/matmul_a8.h"
#include "support/guarded.h"
#include "support/inputs.h"
#include "support/matmul_test.h"
#include "support/variant_test.h"

namespace {

using qb::matmul::Arithmetic;
using qb::matmul::Format;
using qb::matmul::Kernel;
using qb::matmul::PackedWeights;
using qb::matmul::WeightView;
using qb::test::Against;
using qb::test::Codes;
using qb::test::TestWeights;

constexpr std::size_t kRows[] = {1, 2, 3, 4, 5, 6, 7, 12, 13, 33};
struct Shape {
  std::size_t n, k;
};

/// Odd everywhere for layouts that allow it; multiples of the group for those that do not.
std::vector<Shape> shapes(std::size_t group) {
  if (group == 1)
    return {{1, 1},   {2, 2},   {3, 7},   {8, 16},   {15, 31}, {16, 64},
            {17, 33}, {31, 63}, {33, 97}, {37, 255}, {50, 261}};
  return {{1, group}, {7, 3 * group}, {16, 2 * group}, {33, 4 * group}, {50, 5 * group}};
}

/// What each row of activations is like, in turn.
enum Kind { kTrained, kAtMost, kTies, kTiny, kZero, kHuge, kKinds };

std::vector<float> row_of(Kind kind, std::size_t k, std::uint32_t seed) {
  std::vector<float> x = qb::test::weights(k, seed);
  for (std::size_t i = 0; i < k; ++i) switch (kind) {
      case kAtMost:  // every code +-127; one sign for long runs, so that sums grow
        x[i] = i / 40 % 2 ? -3.0f : 3.0f;
        break;
      case kTies:  // the scale is 1: halves must be rounded as the contract says
        x[i] = i % 32 == 0 ? 127.0f : float(int(i % 17) - 8) + 0.5f;
        break;
      case kTiny:  // below what has a finite inverse, in some blocks just above
        x[i] = std::ldexp(x[i], i / 32 % 2 ? -127 : -140);
        break;
      case kZero:
        x[i] = i % 2 ? 0.0f : -0.0f;
        break;
      case kHuge:
        x[i] *= 1e5f;
        break;
      default:
        break;
    }
  return x;
}

std::vector<float> activations(std::size_t m, std::size_t k, std::uint32_t seed) {
  std::vector<float> x;
  for (std::size_t i = 0; i < m; ++i) {
    const std::vector<float> row = row_of(Kind((i + seed) % kKinds), k, seed + std::uint32_t(i));
    x.insert(x.end(), row.begin(), row.end());
  }
  return x;
}

void expect_within_bound(const WeightView& view, const std::vector<float>& x, std::size_t m,
                         const std::vector<float>& y) {
  const std::size_t n = view.w.n, k = view.w.k;
  std::vector<std::vector<double>> rows;
  for (std::size_t i = 0; i < m; ++i)
    rows.push_back(qb::oracle::quantized_activations(view.format, std::span(x).subspan(i * k, k)));
  for (std::size_t j = 0; j < n; ++j) {
    const std::vector<double> weights = qb::oracle::weights_of_output(view, j);
    for (std::size_t i = 0; i < m; ++i) {
      const auto want = qb::oracle::product<double>(rows[i], weights);
      ASSERT_LE(std::fabs(y[i * n + j] - want.value), qb::oracle::bound(want, k))
          << "y[" << i << "," << j << "] is " << y[i * n + j] << ", expected " << want.value
          << "; m " << m << ", n " << n << ", k " << k << ", group " << view.w.group;
    }
  }
}

void check_product(const Kernel& kernel, const TestWeights& w, const std::vector<float>& x,
                   std::size_t m, Against side) {
  const std::vector<float> whole = qb::test::multiply(kernel, w.view(), x, m, side, false);
  ASSERT_NO_FATAL_FAILURE(expect_within_bound(w.view(), x, m, whole));
  // Column ranges and row ranges apart give the same, to the bit.
  const Against other = side == Against::end ? Against::begin : Against::end;
  EXPECT_EQ(whole, qb::test::multiply(kernel, w.view(), x, m, other, true));
}

void check_shape(const Kernel& kernel, Format format, std::size_t m, Shape s, std::size_t group,
                 Codes codes = Codes::any) {
  const auto seed = std::uint32_t(m * 131 + s.n * 17 + s.k);
  const Against side = seed % 2 ? Against::begin : Against::end;
  const TestWeights w(format, s.n, s.k, group, seed, codes, side);
  check_product(kernel, w, activations(m, s.k, seed), m, side);
}

void check_shapes(const Kernel& kernel, Format format, std::size_t group) {
  for (const Shape s : shapes(group))
    for (const std::size_t m : kRows)
      ASSERT_NO_FATAL_FAILURE(check_shape(kernel, format, m, s, group));
}

/// Long rows, and enough of them that every level of blocking is crossed.
void check_many_rows(const Kernel& kernel, Format format, std::size_t group) {
  ASSERT_NO_FATAL_FAILURE(
      check_shape(kernel, format, 141, {37, group == 1 ? std::size_t{4097} : 4096}, group));
}

/// Codes at their ends, against activations at theirs: where vpmaddubsw would saturate.
void check_extremes(const Kernel& kernel, Format format, std::size_t group) {
  for (const Codes codes : {Codes::largest, Codes::smallest, Codes::alternating})
    for (const float sign : {1.0f, -1.0f, 0.0f})
      for (const std::size_t m : {1, 2, 4, 7}) {
        const std::size_t n = 19, k = group == 1 ? 4131 : 32 * group;
        const TestWeights w(format, n, k, group, 3, codes);
        std::vector<float> x(m * k);
        for (std::size_t i = 0; i < x.size(); ++i)
          x[i] = sign != 0.0f ? sign : i % k % 2 ? 1.0f : -1.0f;
        ASSERT_NO_FATAL_FAILURE(check_product(kernel, w, x, m, Against::end));
      }
}

/// One weight and one activation that are not zero, at every place: no lane meets another's.
void check_places(const Kernel& kernel, Format format, std::size_t group) {
  const std::size_t n = 17, k = group == 1 ? 77 : 2 * group;
  const TestWeights w(format, n, k, group, 11);
  for (std::size_t at = 0; at < k; ++at) {
    std::vector<float> x(k);
    x[at] = at % 2 ? -2.0f : 2.0f;
    ASSERT_NO_FATAL_FAILURE(check_product(kernel, w, x, 1, Against::end)) << "k " << at;
  }
}

/// An offset added and taken away again must leave nothing behind.
void check_zeros(const Kernel& kernel, Format format, std::size_t group) {
  for (const std::size_t m : {1, 2, 5, 8}) {
    const Shape s{18, group == 1 ? 77 : 2 * group};
    const TestWeights w(format, s.n, s.k, group, 5, Codes::zero);
    std::vector<float> x = qb::test::weights(m * s.k, 9);
    for (const float y : qb::test::multiply(kernel, w.view(), x, m, Against::end, false))
      EXPECT_EQ(y, 0.0f);
  }
}

void check_empty(const Kernel& kernel, Format format, std::size_t group) {
  for (const std::size_t m : {0, 1, 7})
    for (const std::size_t n : {0, 1, 19})
      for (const std::size_t k : {std::size_t{0}, group == 1 ? 5 : group}) {
        if (m && n && k) continue;
        const TestWeights w(format, n, k, group, 5);
        const std::vector<float> y =
            qb::test::multiply(kernel, w.view(), std::vector<float>(m * k), m, Against::end, false);
        EXPECT_EQ(y, std::vector<float>(m * n));
      }
}

/// Whatever comes out, nothing outside the spans is touched, and it ends.
void check_non_finite(const Kernel& kernel, Format format, std::size_t group) {
  const Shape s{18, group == 1 ? 77 : 2 * group};
  const TestWeights w(format, s.n, s.k, group, 5);
  for (const float special :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::max()})
    for (const std::size_t m : {1, 7}) {
      std::vector<float> x(m * s.k, special);
      qb::test::multiply(kernel, w.view(), x, m, Against::end, true);
      for (std::size_t i = 0; i < x.size(); i += 3) x[i] = 1.0f;
      qb::test::multiply(kernel, w.view(), x, m, Against::begin, false);
    }
}

void check_repacking(const Kernel& kernel, Format format, std::size_t group) {
  for (const Shape s : shapes(group))
    for (const Codes codes : {Codes::any, Codes::alternating})
      for (const Against side : {Against::end, Against::begin}) {
        const TestWeights w(format, s.n, s.k, group, std::uint32_t(s.n + s.k), codes, side);
        ASSERT_NO_FATAL_FAILURE(qb::test::expect_unpack_gives_back(kernel, w.view(), side));
      }
}

#define QB_TEST_EACH_GROUP(Suite, name, check, format, ...)     \
  TEST_P(Suite, name) {                                         \
    for (const std::size_t group : {__VA_ARGS__})               \
      ASSERT_NO_FATAL_FAILURE(check(*kernel(), format, group)); \
  }

/// Groups: 1 where k may be anything.
#define QB_MATMUL_TESTS(Suite, operation, format, ...)                                      \
  QB_VARIANT_TEST_SUITE(Suite, operation);                                                  \
  QB_TEST_EACH_GROUP(Suite, EveryShapeBetweenGuardPages, check_shapes, format, __VA_ARGS__) \
  QB_TEST_EACH_GROUP(Suite, ManyRows, check_many_rows, format, __VA_ARGS__)                 \
  QB_TEST_EACH_GROUP(Suite, ExtremesDoNotSaturate, check_extremes, format, __VA_ARGS__)     \
  QB_TEST_EACH_GROUP(Suite, EveryPlaceOfK, check_places, format, __VA_ARGS__)               \
  QB_TEST_EACH_GROUP(Suite, ZeroCodesGiveZero, check_zeros, format, __VA_ARGS__)            \
  QB_TEST_EACH_GROUP(Suite, Empty, check_empty, format, __VA_ARGS__)                        \
  QB_TEST_EACH_GROUP(Suite, NonFiniteStaysInside, check_non_finite, format, __VA_ARGS__)    \
  QB_TEST_EACH_GROUP(Suite, UnpackGivesBack, check_repacking, format, __VA_ARGS__)

QB_MATMUL_TESTS(MatmulA8S8, qb::matmul::a8_s8, Format::s8, 1)
QB_MATMUL_TESTS(MatmulA8S4, qb::matmul::a8_s4, Format::s4, 1)
QB_MATMUL_TESTS(MatmulA8S8g, qb::matmul::a8_s8g, Format::s8g, 32, 64, 128)
QB_MATMUL_TESTS(MatmulA8S4g, qb::matmul::a8_s4g, Format::s4g, 32, 64, 128)
QB_MATMUL_TESTS(MatmulA8Q8, qb::matmul::a8_q8_0, Format::q8_0, 32)
QB_MATMUL_TESTS(MatmulA8Q4, qb::matmul::a8_q4_0, Format::q4_0, 32)

// By hand: absmax 127 makes the scale 1, so a tie and what lies around it can be read off.

TEST_P(MatmulA8S8, RowsRoundTiesToEven) {
  std::vector<std::int8_t> w(4 * 4);
  for (std::size_t i = 0; i < 4; ++i) w[i * 5] = 1;  // the identity
  const std::vector<float> scales(4, 1.0f), x = {127.0f, 2.5f, -3.5f, 0.49999997f};
  EXPECT_EQ(qb::test::multiply(*kernel(), qb::matmul::view_s8(w, scales, 4, 4), x, 1, Against::end,
                               false),
            (std::vector<float>{127, 2, -4, 0}));
}

TEST_P(MatmulA8Q8, BlocksRoundTiesAway) {
  std::vector<qb::BlockQ8_0> w(6, {qb::f16(0x3c00), {}});
  for (std::size_t i = 0; i < 6; ++i) w[i].qs[i] = 1;
  std::vector<float> x = {127.0f, 2.5f, -2.5f, 0.49999997f, -0.5f, 125.49999f};
  x.resize(32);
  EXPECT_EQ(
      qb::test::multiply(*kernel(), qb::matmul::view_q8_0(w, 6, 32), x, 1, Against::end, false),
      (std::vector<float>{127, 3, -3, 0, -1, 125}));
}

TEST(MatmulA8Checked, EveryFormatOnTheBestVariantAndThreads) {
  for (const Format format :
       {Format::s8, Format::s4, Format::s8g, Format::s4g, Format::q8_0, Format::q4_0})
    for (const int threads : {1, 2, 3}) {
      const std::size_t m = 9, n = 45, k = 128;
      const TestWeights w(format, n, k, 64, 4);
      PackedWeights packed(w.view(), Arithmetic::a8, {}, threads);
      const std::vector<float> x = activations(m, k, 8);
      std::vector<float> y(m * n);
      packed.run(x, m, y, threads);
      ASSERT_NO_FATAL_FAILURE(expect_within_bound(w.view(), x, m, y));
    }
}

TEST(MatmulA8Checked, RefusesWhatIsNotFiniteAndWritesNothing) {
  const TestWeights w(Format::q8_0, 3, 64, 32, 4);
  PackedWeights packed(w.view(), Arithmetic::a8);
  std::vector<float> x(128, 1.0f), y(6, -1.0f);
  x[77] = std::numeric_limits<float>::infinity();
  try {
    packed.run(x, 2, y);
    FAIL() << "nothing refused";
  } catch (const qb::BadArgument& e) {
    EXPECT_NE(std::string(e.what()).find("77"), std::string::npos) << e.what();
  }
  EXPECT_EQ(y, std::vector<float>(6, -1.0f));
}

}  // namespace
