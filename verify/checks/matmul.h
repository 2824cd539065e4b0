// SPDX-License-Identifier: Apache-2.0
// Checks of a product's kernel record under arithmetic A (arithmetics.h), for any weight format.
// `group` is 1 for the layouts that take any k.
#pragma once

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "checks/arithmetics.h"
#include "checks/matmul_run.h"
#include "oracle/rounding.h"

namespace qb::test {

inline constexpr std::size_t kRows[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 31, 33};

/// The largest product, in m*n*k, that a brief check multiplies.
inline constexpr std::size_t kBriefProduct = 40000;

/// Odd everywhere for layouts that allow it; multiples of the group for those that do not. The last
/// is longer than the pieces in which kernels walk along k.
inline std::vector<Shape> shapes(std::size_t group) {
  if (group == 1)
    return {{1, 1},   {2, 2},   {3, 7},    {8, 8},    {15, 31},  {16, 64}, {17, 33},
            {31, 63}, {33, 97}, {37, 255}, {50, 261}, {70, 523}, {9, 1061}};
  return {{1, group},      {7, 3 * group},  {16, 2 * group},
          {33, 4 * group}, {50, 5 * group}, {9, (1024 / group + 1) * group}};
}

/// The outputs of a product by the oracle: within_bound() and error() look at y with them. Of many
/// rows a sample.
template <class A>
class Expected {
 public:
  Expected(const matmul::WeightView& view, const std::vector<float>& x, std::size_t m)
      : view_(view), m_(m) {
    std::vector<std::vector<double>> rows;
    for (std::size_t i = 0; i < m; ++i)
      rows.push_back(A::factors(view.format, std::span(x).subspan(i * view.w.k, view.w.k)));
    for (std::size_t j = 0; j < view.w.n; ++j) {
      const std::vector<double> w = A::weights(view, j), magnitudes = A::magnitudes(view, j);
      for (std::size_t i = 0; i<m; i += m> 64 && i + 8 < m ? 7 : 1) {
        const auto product = oracle::product<double>(rows[i], w, magnitudes);
        outputs_.push_back({i, j, product, A::bound(rows[i], w, product)});
      }
    }
  }

  void within_bound(const std::vector<float>& y) const {
    for (const Output& o : outputs_) {
      const double got = y[o.row * view_.w.n + o.column], want = o.product.value;
      if (!(std::fabs(got - want) <= o.bound))
        fail("y[", o.row, ",", o.column, "] is ", got, ", expected ", want, " within ", o.bound,
             "; m ", m_, shape_text(view_.w));
    }
  }

  oracle::RoundingError error(const std::vector<float>& y) const {
    oracle::RoundingError error(oracle::additions(A::kArithmetic, view_.format, view_.w.k));
    for (const Output& o : outputs_)
      error.add(y[o.row * view_.w.n + o.column], o.product.value, o.product.magnitude, view_.w.k);
    return error;
  }

 private:
  struct Output {
    std::size_t row, column;
    oracle::Product product;
    double bound;
  };
  matmul::WeightView view_;
  std::size_t m_;
  std::vector<Output> outputs_;
};

template <class A>
void expect_within_bound(const matmul::WeightView& view, const std::vector<float>& x, std::size_t m,
                         const std::vector<float>& y) {
  Expected<A>(view, x, m).within_bound(y);
}

/// Weights, m rows of activations, and what their product must be.
template <class A>
struct Case {
  Case(TestWeights w, std::vector<float> activations, std::size_t rows)
      : weights(std::move(w)), x(std::move(activations)), m(rows), expected(weights.view(), x, m) {}

  TestWeights weights;
  std::vector<float> x;
  std::size_t m;
  Expected<A> expected;
};

/// Which check a case is of, and what tells it from the check's others.
struct CaseKey {
  std::string_view check;
  std::array<std::size_t, 5> inputs{};
  auto operator<=>(const CaseKey&) const = default;
};

/// The case that `key` names, which make() returns the first time. Every variant is checked with
/// the same cases, and the oracle takes longer than a kernel: so a format's cases are kept for the
/// next variant, until a case of another format is asked for.
template <class Case>
const Case& kept_case(matmul::Format format, CaseKey key, const auto& make) {
  static matmul::Format kept_format;
  static std::map<CaseKey, Case> kept;
  if (kept_format != format) kept.clear();
  kept_format = format;
  auto found = kept.find(key);
  if (found == kept.end()) found = kept.emplace(key, make()).first;
  return found->second;
}

/// The mean squared error of the outputs, for ordinary activations, is what rounding explains.
template <class A>
void check_rounding(const matmul::Kernel& kernel, matmul::Format format, std::size_t group,
                    std::size_t m, Shape s) {
  const auto& c = kept_case<Case<A>>(format, {"rounding", {m, s.n, s.k, group}}, [&] {
    return Case<A>(
        TestWeights(format, s.n, s.k, group, 21, Codes::any, Against::end, Scales::ordinary),
        normal_values(m * s.k, 22), m);
  });
  const std::vector<float> y = multiply(kernel, c.weights.view(), c.x, m, Against::end, false);
  c.expected.within_bound(y);
  const oracle::RoundingError error = c.expected.error(y);
  if (error.exceeded()) fail(error.text(), "; m ", m, shape_text(c.weights.view().w));
}

template <class A>
void check_product(const matmul::Kernel& kernel, const Case<A>& c, Against side) {
  const matmul::WeightView& view = c.weights.view();
  const std::vector<float> whole = multiply(kernel, view, c.x, c.m, side, false);
  c.expected.within_bound(whole);
  // Column ranges and row ranges apart give the same, to the bit.
  const Against other = side == Against::end ? Against::begin : Against::end;
  if (whole != multiply(kernel, view, c.x, c.m, other, true))
    fail("in parts another result than in one piece; m ", c.m, shape_text(view.w));
}

template <class A>
void check_shape(const matmul::Kernel& kernel, matmul::Format format, std::size_t m, Shape s,
                 std::size_t group, Codes codes = Codes::any) {
  const auto seed = std::uint32_t(m * 131 + s.n * 17 + s.k);
  const Against side = seed % 2 ? Against::begin : Against::end;
  const CaseKey key{"shape", {m, s.n, s.k, group, std::size_t(codes)}};
  const auto& c = kept_case<Case<A>>(format, key, [&] {
    return Case<A>(TestWeights(format, s.n, s.k, group, seed, codes, side),
                   A::activations(m, s.k, seed), m);
  });
  check_product(kernel, c, side);
}

template <class A>
void check_shapes(const matmul::Kernel& kernel, matmul::Format format, std::size_t group,
                  Effort effort = Effort::thorough) {
  const bool brief = effort == Effort::brief;
  for (const Shape s : shapes(group))
    for (const std::size_t m : kRows)
      if (!brief || (s.n * s.k * m < kBriefProduct && (m < 4 || m % 2)))
        check_shape<A>(kernel, format, m, s, group);
}

template <class A>
void check_many_rows(const matmul::Kernel& kernel, matmul::Format format, std::size_t group) {
  Shape s = A::kMany.any_k;
  if (group > 1) s = {A::kMany.grouped.n, (A::kMany.grouped.k + group - 1) / group * group};
  check_shape<A>(kernel, format, A::kMany.m, s, group);
  // More rows than any kernel takes at a time, with small n and k.
  const Shape small{33, group == 1 ? 70 : group};
  check_shape<A>(kernel, format, 269, small, group);
}

/// Every code the largest, every code the smallest, or the two by turns.
template <class A>
void check_extreme_codes(const matmul::Kernel& kernel, matmul::Format format, std::size_t group) {
  for (const Codes codes : {Codes::largest, Codes::smallest, Codes::alternating})
    for (const std::size_t m : {1, 3, 13})
      check_shape<A>(kernel, format, m, {19, group == 1 ? 261 : 3 * group}, group, codes);
}

/// The largest codes times the largest activations: vpmaddubsw would saturate there.
inline void check_saturation(const matmul::Kernel& kernel, matmul::Format format,
                             std::size_t group) {
  for (const Codes codes : {Codes::largest, Codes::smallest, Codes::alternating})
    for (const float sign : {1.0f, -1.0f, 0.0f})
      for (const std::size_t m : {1, 2, 4, 7}) {
        const std::size_t n = 19, k = group == 1 ? 4131 : 32 * group;
        const CaseKey key{"saturation", {m, std::size_t(sign + 1), group, std::size_t(codes)}};
        const auto& c = kept_case<Case<A8>>(format, key, [&] {
          std::vector<float> x(m * k);
          for (std::size_t i = 0; i < x.size(); ++i)
            x[i] = sign != 0.0f ? sign : i % k % 2 ? 1.0f : -1.0f;
          return Case<A8>(TestWeights(format, n, k, group, 3, codes), x, m);
        });
        check_product(kernel, c, Against::end);
      }
}

/// One activation that is not zero, at every place in turn: it must meet no other weight than its
/// own. A brief check tries every third place.
template <class A>
void check_places(const matmul::Kernel& kernel, matmul::Format format, std::size_t group,
                  Effort effort = Effort::thorough) {
  const std::size_t n = 17, k = group == 1 ? 77 : 2 * group;
  for (std::size_t at = 0; at < k; at += effort == Effort::brief ? 3 : 1) {
    const auto& c = kept_case<Case<A>>(format, {"place", {at, group}}, [&] {
      std::vector<float> x(k);
      x[at] = at % 2 ? -2.0f : 2.0f;
      return Case<A>(TestWeights(format, n, k, group, 11), x, 1);
    });
    check_product(kernel, c, Against::end);
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
    for (const float y : multiply(kernel, w.view(), x, m, Against::end, false))
      if (y != 0.0f) fail("codes of zero give ", y, "; m ", m, shape_text(w.view().w));
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
        if (y != std::vector<float>(m * n))
          fail("no elements do not give zeros; m ", m, shape_text(w.view().w));
      }
}

/// The outputs may be anything, but the kernel returns and touches nothing outside its spans.
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
void check_repacking(const matmul::Kernel& kernel, matmul::Format format, std::size_t group,
                     Effort effort = Effort::thorough) {
  for (const Shape s : shapes(group))
    for (const Codes codes : {Codes::any, Codes::alternating, Codes::smallest})
      for (const Against side : {Against::end, Against::begin}) {
        if (effort == Effort::brief && s.n * s.k > kBriefProduct / 4) continue;
        const CaseKey key{"packing", {s.n, s.k, group, std::size_t(codes), std::size_t(side)}};
        const auto& c = kept_case<PackingCase>(format, key, [&] {
          return PackingCase(
              TestWeights(format, s.n, s.k, group, std::uint32_t(s.n + s.k), codes, side));
        });
        expect_unpack_gives_back(kernel, c, side, A::packed);
      }
}

}  // namespace qb::test
