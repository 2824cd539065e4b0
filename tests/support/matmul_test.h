// What the matmul tests share: weights of every canonical layout between guard pages, a run of one
// kernel record with guard pages around everything it may touch, and the checks that every
// arithmetic has to pass.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/check.h"
#include "matmul/matmul.h"
#include "oracle/matmul.h"
#include "support/guarded.h"
#include "support/inputs.h"
#include "support/variant_test.h"

namespace qb::test {

/// How the codes are drawn.
enum class Codes { any, largest, smallest, alternating, zero };

/// Random weights in their canonical layout, against a guard page.
class TestWeights {
 public:
  TestWeights(matmul::Format format, std::size_t n, std::size_t k, std::size_t group,
              std::uint32_t seed, Codes codes = Codes::any, Against side = Against::end)
      : words_(seed),
        codes_(codes),
        values_(n * info(format).row_bytes(k), side),
        scales_(n * info(format).scales_of_row(k, group) * info(format).scale_bytes(), side) {
    using matmul::Format;
    switch (format) {
      case Format::f32: {
        const std::vector<float> w = test::weights(n * k, seed);
        if (!w.empty()) std::memcpy(values_.data(), w.data(), values_.size());
        break;
      }
      case Format::f16: {
        const std::vector<float> w = test::weights(n * k, seed);
        for (std::size_t i = 0; i < n * k; ++i) put(values_, i, oracle::to_f16(w[i]));
        break;
      }
      case Format::s8:
      case Format::s8g:
        for (std::size_t i = 0; i < n * k; ++i) values_[i] = std::byte(code(i, 127, -127));
        break;
      case Format::s4:
      case Format::s4g:
        for (std::size_t row = 0; row < n; ++row)
          for (std::size_t i = 0; i < k; ++i) {
            std::byte& byte = values_[row * ((k + 1) / 2) + i / 2];
            const auto bits = std::byte(code(i, 7, -8) & 15);
            byte = i % 2 ? byte | bits << 4 : bits;
          }
        break;
      case Format::q8_0:
        for (std::size_t b = 0; b < n * k / 32; ++b) {
          put(values_, 17 * b, scale());
          for (std::size_t i = 0; i < 32; ++i)
            values_[34 * b + 2 + i] = std::byte(code(i, 127, -128));
        }
        break;
      case Format::q4_0:
        for (std::size_t b = 0; b < n * k / 32; ++b) {
          put(values_, 9 * b, scale());
          for (std::size_t i = 0; i < 16; ++i)
            values_[18 * b + 2 + i] =
                std::byte((code(i, 7, -8) + 8) | (code(i + 16, 7, -8) + 8) << 4);
        }
        break;
    }
    for (std::size_t i = 0; i < n * info(format).scales_of_row(k, group); ++i)
      if (info(format).scale_bytes() == sizeof(float))
        put(scales_, i, float(oracle::value(scale())));
      else
        put(scales_, i, scale());
    view_ = {format,
             {values_.data(), scales_.data(), n, k, info(format).group_of(k, group)},
             std::as_bytes(values_.span()),
             std::as_bytes(scales_.span())};
  }

  const matmul::WeightView& view() const { return view_; }

 private:
  template <class V>
  static void put(Guarded<std::byte>& to, std::size_t i, V v) {
    std::memcpy(to.data() + i * sizeof v, &v, sizeof v);
  }

  int code(std::size_t i, int most, int least) {
    switch (codes_) {
      case Codes::largest:
        return most;
      case Codes::smallest:
        return least;
      case Codes::alternating:
        return i % 2 ? most : least;
      case Codes::zero:
        return 0;
      case Codes::any:
        break;
    }
    return least + int(words_() % unsigned(most - least + 1));
  }

  /// Mostly near 0.01; now and then negative (q4_0 has such), subnormal, large or zero.
  f16 scale() {
    const float near = 0.002f + float(words_() % 1000) * 2e-5f;
    switch (words_() % 16) {
      case 0:
        return oracle::to_f16(-near);
      case 1:
        return f16(1 + words_() % 1000);
      case 2:
        return oracle::to_f16(near * 10000.0);
      case 3:
        return f16(0);
    }
    return oracle::to_f16(near);
  }

  std::mt19937 words_;
  Codes codes_;
  Guarded<std::byte> values_, scales_;
  matmul::WeightView view_{};
};

/// Bytes at the alignment that the record promises, as near to the guard page behind them as that
/// allows; what lies between is filled, and must be found unchanged.
class GuardedScratch {
 public:
  GuardedScratch(std::size_t bytes, Against side)
      : bytes_(bytes), memory_((bytes + 63) / 64 * 64, side) {
    std::memset(memory_.data(), 0xa5, memory_.size());
  }
  std::byte* data() { return memory_.data(); }
  void expect_untouched_end() const {
    for (std::size_t i = bytes_; i < memory_.size(); ++i)
      ASSERT_EQ(memory_[i], std::byte(0xa5)) << "written " << i - bytes_ << " past the end";
  }

 private:
  std::size_t bytes_;
  Guarded<std::byte> memory_;
};

/// y = x times the weights on one kernel record, everything between guard pages. In one piece, or
/// with pack, prepare and run each split at their smallest steps, last part first.
template <class T>
std::vector<T> multiply(const matmul::Kernel& kernel, const matmul::WeightView& view,
                        const std::vector<T>& activations, std::size_t m, Against side,
                        bool in_parts) {
  const matmul::Weights& w = view.w;
  const Guarded<T> x(activations, side);
  GuardedScratch packed(kernel.packed_bytes(w.n, w.k, w.group), side);
  GuardedScratch workspace(kernel.workspace_bytes(m, w.n, w.k, w.group), side);
  Guarded<T> y(m * w.n, side);
  if (y.size()) std::memset(static_cast<void*>(y.data()), 0xff, y.size() * sizeof(T));  // NaN
  const auto parts = [&](std::size_t total, std::size_t step, const auto& body) {
    if (!in_parts) return body(std::size_t{0}, total);
    for (std::size_t i = (total + step - 1) / step; i-- > 0;)
      body(i * step, std::min(total, (i + 1) * step));
  };
  if (kernel.packed_bytes(w.n, w.k, w.group))
    parts(w.n, kernel.n_step, [&](auto a, auto b) { kernel.pack(w, a, b, packed.data()); });
  if (kernel.prepare)
    parts(m, kernel.m_step, [&](auto a, auto b) {
      kernel.prepare(x.data(), m, w.k, w.group, a, b, workspace.data());
    });
  const bool packs = kernel.packed_bytes(w.n, w.k, w.group) != 0;
  parts(w.n, kernel.n_step, [&](auto a, auto b) {
    // x is only for those that do not prepare.
    kernel.run(w, packs ? packed.data() : nullptr, kernel.prepare ? nullptr : x.data(),
               workspace.data(), m, a, b, y.data());
  });
  packed.expect_untouched_end();
  workspace.expect_untouched_end();
  return {y.begin(), y.end()};
}

/// pack, then unpack in two parts: every code, or value, must come back, and nothing else be
/// written. rounded: what a value that is packed becomes; codes are packed as they are.
inline void expect_unpack_gives_back(const matmul::Kernel& kernel, const matmul::WeightView& view,
                                     Against side, double (*rounded)(double)) {
  const matmul::Weights& w = view.w;
  const std::size_t bytes = kernel.packed_bytes(w.n, w.k, w.group);
  if (!bytes) {
    EXPECT_EQ(kernel.pack, nullptr);
    EXPECT_EQ(kernel.unpack, nullptr);
    return;
  }
  GuardedScratch packed(bytes, side);
  kernel.pack(w, 0, w.n, packed.data());
  packed.expect_untouched_end();
  const bool floats = view.format == matmul::Format::f32 || view.format == matmul::Format::f16;
  Guarded<std::byte> codes(w.n * w.k * (floats ? 4 : 1), side);
  const std::size_t middle = std::min(w.n, kernel.n_step);
  kernel.unpack(packed.data(), w.n, w.k, w.group, middle, w.n, codes.data());
  for (std::size_t i = 0; i < middle * w.k * (floats ? 4 : 1); ++i)
    ASSERT_EQ(codes[i], std::byte(0)) << "unpack wrote outputs that it was not asked for";
  kernel.unpack(packed.data(), w.n, w.k, w.group, 0, middle, codes.data());
  for (std::size_t n = 0; n < w.n; ++n)
    for (std::size_t k = 0; k < w.k; ++k) {
      double got;
      if (floats) {
        float f;
        std::memcpy(&f, codes.data() + (n * w.k + k) * 4, 4);
        got = f;
      } else {
        got = double(static_cast<std::int8_t>(codes[n * w.k + k]));
      }
      const double code = oracle::code_and_scale(view, n, k).code;
      ASSERT_EQ(got, floats ? rounded(code) : code) << "output " << n << ", k " << k;
    }
}

// The checks. A class A says what an arithmetic is:
//
//   activations(m, k, seed)   m rows that are hard on it
//   factors(format, row)      a row as its product takes it, exact in double
//   weights(view, n)          output n's weights as its product takes them, likewise
//   packed(value)             what packing makes of an f32 or f16 weight
//   bound(x, w, product)      how far from `product` the kernel may be
//   kLarge                    what activations may be multiplied with
//   kMany                     a product large enough to cross every level of blocking
//
// `group` is 1 for the layouts that take any k.

/// What an arithmetic is that rounds nothing: the others differ from it.
struct Unrounded {
  static std::vector<double> factors(matmul::Format, std::span<const float> row) {
    return {row.begin(), row.end()};
  }
  static std::vector<double> weights(const matmul::WeightView& view, std::size_t n) {
    return oracle::weights_of_output(view, n);
  }
  static double packed(double value) { return value; }
  static double bound(const std::vector<double>& x, const std::vector<double>&,
                      const oracle::Product& product) {
    return oracle::bound(product, x.size());
  }
};

/// m rows of k, each of a kind in turn: row_of(kind, k, seed).
std::vector<float> rows_in_turn(std::size_t m, std::size_t k, std::uint32_t seed,
                                std::uint32_t kinds, const auto& row_of) {
  std::vector<float> x;
  for (std::uint32_t i = 0; i < m; ++i) {
    const std::vector<float> row = row_of((i + seed) % kinds, k, seed + i);
    x.insert(x.end(), row.begin(), row.end());
  }
  return x;
}

struct Shape {
  std::size_t n, k;
};
struct Many {
  std::size_t m;
  Shape any_k, grouped;  ///< the latter's k: at the least
};

inline constexpr std::size_t kRows[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 31, 33};

/// Odd everywhere for layouts that allow it; multiples of the group for those that do not. The last
/// is longer than the pieces in which kernels walk along k.
inline std::vector<Shape> shapes(std::size_t group) {
  if (group == 1)
    return {{1, 1},   {2, 2},   {3, 7},    {8, 8},    {15, 31},  {16, 64}, {17, 33},
            {31, 63}, {33, 97}, {37, 255}, {50, 261}, {70, 523}, {9, 1061}};
  return {{1, group},      {7, 3 * group},  {16, 2 * group},
          {33, 4 * group}, {50, 5 * group}, {9, (1024 / group + 1) * group}};
}

template <class A>
void expect_within_bound(const matmul::WeightView& view, const std::vector<float>& x, std::size_t m,
                         const std::vector<float>& y) {
  const std::size_t n = view.w.n, k = view.w.k;
  std::vector<std::vector<double>> rows;
  for (std::size_t i = 0; i < m; ++i)
    rows.push_back(A::factors(view.format, std::span(x).subspan(i * k, k)));
  for (std::size_t j = 0; j < n; ++j) {
    const std::vector<double> w = A::weights(view, j);
    for (std::size_t i = 0; i<m; i += m> 64 && i + 8 < m ? 7 : 1) {  // of many rows a sample
      const auto want = oracle::product<double>(rows[i], w);
      ASSERT_LE(std::fabs(y[i * n + j] - want.value), A::bound(rows[i], w, want))
          << "y[" << i << "," << j << "] is " << y[i * n + j] << ", expected " << want.value
          << "; m " << m << ", n " << n << ", k " << k << ", group " << view.w.group;
    }
  }
}

template <class A>
void check_product(const matmul::Kernel& kernel, const TestWeights& w, const std::vector<float>& x,
                   std::size_t m, Against side) {
  const std::vector<float> whole = multiply(kernel, w.view(), x, m, side, false);
  ASSERT_NO_FATAL_FAILURE(expect_within_bound<A>(w.view(), x, m, whole));
  // Column ranges and row ranges apart give the same, to the bit.
  const Against other = side == Against::end ? Against::begin : Against::end;
  EXPECT_EQ(whole, multiply(kernel, w.view(), x, m, other, true));
}

template <class A>
void check_shape(const matmul::Kernel& kernel, matmul::Format format, std::size_t m, Shape s,
                 std::size_t group, Codes codes = Codes::any) {
  const auto seed = std::uint32_t(m * 131 + s.n * 17 + s.k);
  const Against side = seed % 2 ? Against::begin : Against::end;
  const TestWeights w(format, s.n, s.k, group, seed, codes, side);
  check_product<A>(kernel, w, A::activations(m, s.k, seed), m, side);
}

template <class A>
void check_shapes(const matmul::Kernel& kernel, matmul::Format format, std::size_t group) {
  for (const Shape s : shapes(group))
    for (const std::size_t m : kRows)
      ASSERT_NO_FATAL_FAILURE(check_shape<A>(kernel, format, m, s, group));
}

template <class A>
void check_many_rows(const matmul::Kernel& kernel, matmul::Format format, std::size_t group) {
  Shape s = A::kMany.any_k;
  if (group > 1) s = {A::kMany.grouped.n, (A::kMany.grouped.k + group - 1) / group * group};
  ASSERT_NO_FATAL_FAILURE(check_shape<A>(kernel, format, A::kMany.m, s, group));
  // More rows than any kernel takes at a time, of little else.
  const Shape small{33, group == 1 ? 70 : group};
  ASSERT_NO_FATAL_FAILURE(check_shape<A>(kernel, format, 269, small, group));
}

/// One activation that is not zero, at every place: no lane meets another's.
template <class A>
void check_places(const matmul::Kernel& kernel, matmul::Format format, std::size_t group) {
  const std::size_t n = 17, k = group == 1 ? 77 : 2 * group;
  const TestWeights w(format, n, k, group, 11);
  for (std::size_t at = 0; at < k; ++at) {
    std::vector<float> x(k);
    x[at] = at % 2 ? -2.0f : 2.0f;
    ASSERT_NO_FATAL_FAILURE(check_product<A>(kernel, w, x, 1, Against::end)) << "k " << at;
  }
}

/// An offset added and taken away again would leave its rounding error behind.
template <class A>
void check_zeros(const matmul::Kernel& kernel, matmul::Format format, std::size_t group) {
  for (const std::size_t m : {1, 2, 5, 8}) {
    const Shape s{18, group == 1 ? 77 : 2 * group};
    const TestWeights w(format, s.n, s.k, group, 5, Codes::zero);
    std::vector<float> x = weights(m * s.k, 9);
    for (float& v : x) v *= A::kLarge;
    for (const float y : multiply(kernel, w.view(), x, m, Against::end, false)) EXPECT_EQ(y, 0.0f);
  }
}

template <class A>
void check_empty(const matmul::Kernel& kernel, matmul::Format format, std::size_t group) {
  for (const std::size_t m : {0, 1, 7, 16})
    for (const std::size_t n : {0, 1, 19})
      for (const std::size_t k : {std::size_t{0}, group == 1 ? 5 : group}) {
        if (m && n && k) continue;
        const TestWeights w(format, n, k, group, 5);
        const std::vector<float> y =
            multiply(kernel, w.view(), std::vector<float>(m * k), m, Against::end, false);
        EXPECT_EQ(y, std::vector<float>(m * n));
      }
}

/// Whatever comes out, nothing outside the spans is touched, and it ends.
template <class A>
void check_non_finite(const matmul::Kernel& kernel, matmul::Format format, std::size_t group) {
  const Shape s{18, group == 1 ? 77 : 2 * group};
  const TestWeights w(format, s.n, s.k, group, 5);
  using Limits = std::numeric_limits<float>;
  for (const float special :
       {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity(), Limits::max()})
    for (const std::size_t m : {1, 7}) {
      std::vector<float> x(m * s.k, special);
      multiply(kernel, w.view(), x, m, Against::end, true);
      for (std::size_t i = 0; i < x.size(); i += 3) x[i] = 1.0f;
      multiply(kernel, w.view(), x, m, Against::begin, false);
    }
}

template <class A>
void check_repacking(const matmul::Kernel& kernel, matmul::Format format, std::size_t group) {
  for (const Shape s : shapes(group))
    for (const Codes codes : {Codes::any, Codes::alternating})
      for (const Against side : {Against::end, Against::begin}) {
        const TestWeights w(format, s.n, s.k, group, std::uint32_t(s.n + s.k), codes, side);
        ASSERT_NO_FATAL_FAILURE(expect_unpack_gives_back(kernel, w.view(), side, A::packed));
      }
}

/// Every variant's product through the checked entry, on several threads.
template <class A>
void check_entry(matmul::Arithmetic arithmetic, std::initializer_list<matmul::Format> formats) {
  for (const matmul::Format format : formats)
    for (const int threads : {1, 2, 3}) {
      const std::size_t m = 9, n = 45, k = 128;
      const TestWeights w(format, n, k, 64, 4);
      matmul::PackedWeights packed(w.view(), arithmetic, {}, threads);
      const std::vector<float> x = A::activations(m, k, 8);
      std::vector<float> y(m * n);
      packed.run(x, m, y, threads);
      ASSERT_NO_FATAL_FAILURE(expect_within_bound<A>(w.view(), x, m, y));
      // Fewer rows, then more: the workspace grows as needed.
      packed.run(std::span<const float>(x).first(k), 1, y, threads);
      packed.run(x, m, y, threads);
      ASSERT_NO_FATAL_FAILURE(expect_within_bound<A>(w.view(), x, m, y));
    }
}

/// What a checked entry says when it refuses.
std::string refusal(const auto& call) {
  try {
    call();
  } catch (const BadArgument& e) {
    return e.what();
  }
  return "nothing refused";
}

}  // namespace qb::test

#define QB_TEST_EACH_GROUP(Suite, name, check, format, ...)     \
  QB_VARIANT_TEST(Suite, name) {                                \
    for (const std::size_t group : {__VA_ARGS__})               \
      ASSERT_NO_FATAL_FAILURE(check(*kernel(), format, group)); \
  }

/// The suite of one operation: arithmetic A, the weights' format, the groups.
#define QB_MATMUL_TESTS(Suite, operation, A, format, ...)                                   \
  QB_VARIANT_TEST_SUITE(Suite, operation);                                                  \
  QB_TEST_EACH_GROUP(Suite, EveryShapeBetweenGuardPages, qb::test::check_shapes<A>, format, \
                     __VA_ARGS__)                                                           \
  QB_TEST_EACH_GROUP(Suite, ManyRows, qb::test::check_many_rows<A>, format, __VA_ARGS__)    \
  QB_TEST_EACH_GROUP(Suite, EveryPlaceOfK, qb::test::check_places<A>, format, __VA_ARGS__)  \
  QB_TEST_EACH_GROUP(Suite, Empty, qb::test::check_empty<A>, format, __VA_ARGS__)           \
  QB_TEST_EACH_GROUP(Suite, NonFiniteStaysInside, qb::test::check_non_finite<A>, format,    \
                     __VA_ARGS__)                                                           \
  QB_TEST_EACH_GROUP(Suite, UnpackGivesBack, qb::test::check_repacking<A>, format, __VA_ARGS__)

/// The same and what only quantized weights can be held to.
#define QB_MATMUL_QUANTIZED_TESTS(Suite, operation, A, format, ...) \
  QB_MATMUL_TESTS(Suite, operation, A, format, __VA_ARGS__)         \
  QB_TEST_EACH_GROUP(Suite, ZeroCodesGiveZero, qb::test::check_zeros<A>, format, __VA_ARGS__)
