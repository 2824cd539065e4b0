// SPDX-License-Identifier: Apache-2.0
// What is multiplied, and what must come out: a format of an arithmetic, inputs of one shape, and
// the columns of y as the arithmetic's oracle has them.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "data.h"
#include "matmul/matmul.h"
#include "oracle/matmul.h"
#include "oracle/rounding.h"
#include "suite.h"
#include "weights.h"

namespace qb::bench {

/// One format of one arithmetic.
struct MatmulFormat {
  std::string name;  ///< "a32.s8.g32"
  const Op<const matmul::Kernel>* op;
  matmul::Format format;
  std::size_t group;  ///< for s8g and s4g
  Peak peak;
  /// What packing makes of an f32 or f16 weight; null: itself.
  double (*packed)(double) = nullptr;
};

/// What the products of an arithmetic are measured by, which may depend on the codes.
using PeakOf = Peak (*)(CodeKind codes);

/// Every format that `arithmetic` (called `name`) multiplies, those with groups once for each
/// length that is timed: "a8.s8", "a8.s8.g32", ...
inline std::vector<MatmulFormat> matmul_formats(const Plan& plan, matmul::Arithmetic arithmetic,
                                                const std::string& name, PeakOf peak) {
  std::vector<MatmulFormat> formats;
  for (const FormatInfo& format : kFormats) {
    const auto* const op = matmul::find_operation(arithmetic, format.format);
    if (!op) continue;
    if (!format.in_groups()) {
      formats.push_back(
          {name + "." + std::string(format.name), op, format.format, 0, peak(format.codes)});
      continue;
    }
    // Without its g, if it ends with one.
    const std::string ungrouped(format.name.substr(0, format.name.find_last_not_of('g') + 1));
    for (const std::size_t group : {32, 64, 128})
      if (group != 64 || plan.every_group)
        formats.push_back({name + "." + ungrouped + ".g" + std::to_string(group), op, format.format,
                           group, peak(format.codes)});
  }
  return formats;
}

/// What column n of y must be: value[i] and bound[i] for each of the m rows of x.
/// exact[i] is the product of the unrounded activations with the dequantized weights, magnitude[i]
/// the sum of the terms' magnitudes; without these the column is exact to the bit.
struct ExpectedColumn {
  std::vector<double> value, bound, exact, magnitude;
};
template <class T>
using ColumnOracle = std::function<ExpectedColumn(std::span<const T> x, std::size_t m,
                                                  const matmul::WeightView& w, std::size_t n)>;

/// The oracle of one column where A, an arithmetic, does not take the activations as they are:
///
///   activations(format, row)   what it makes of a row, exact in double
///   weight(w)                  and of a dequantized weight
///   magnitudes(weights, n)     what output n's weights count with in bounds, if not their own
///   bound(x, w, product)       how far from their product a kernel may be
///
/// Making the rows takes longer than a column does, so they are kept until others come.
template <class A>
class Columns {
 public:
  ExpectedColumn operator()(std::span<const float> x, std::size_t m, const matmul::WeightView& w,
                            std::size_t n) const {
    const std::size_t k = w.w.k;
    const std::shared_ptr<const Rows> rows = cache_->rows(x, m, w);
    const std::vector<double> unrounded = oracle::weights_of_output(w, n);
    std::vector<double> weights = unrounded;
    for (double& e : weights) e = A::weight(e);
    const std::vector<double> magnitudes = A::magnitudes(w, n);
    ExpectedColumn column;
    for (std::size_t i = 0; i < m; ++i) {
      const auto p = oracle::product<double>((*rows)[i], weights, magnitudes);
      const auto exact = oracle::product(x.subspan(i * k, k), std::span<const double>(unrounded));
      column.value.push_back(p.value);
      column.exact.push_back(exact.value);
      column.bound.push_back(A::bound((*rows)[i], weights, p));
      column.magnitude.push_back(p.magnitude);
    }
    return column;
  }

 private:
  using Rows = std::vector<std::vector<double>>;

  class Cache {
   public:
    std::shared_ptr<const Rows> rows(std::span<const float> x, std::size_t m,
                                     const matmul::WeightView& w) {
      const std::lock_guard lock(mutex_);
      if (!rows_ || m != m_ || !std::equal(x.begin(), x.end(), x_.begin(), x_.end())) {
        x_.assign(x.begin(), x.end());
        m_ = m;
        Rows made;
        for (std::size_t i = 0; i < m; ++i)
          made.push_back(A::activations(w.format, x.subspan(i * w.w.k, w.w.k)));
        rows_ = std::make_shared<const Rows>(std::move(made));
      }
      return rows_;
    }

   private:
    std::mutex mutex_;
    std::vector<float> x_;
    std::size_t m_ = 0;
    std::shared_ptr<const Rows> rows_;
  };

  std::shared_ptr<Cache> cache_ = std::make_shared<Cache>();
};

/// Inputs of one shape and format, shared by its variants; T: float, or f16 for the f16 product.
template <class T>
class MatmulProblem {
 public:
  MatmulProblem(const MatmulFormat& format, const Plan::Shape& shape, ColumnOracle<T> oracle,
                const Setup& setup)
      : shared_(quantized_weights(setup, format.format, shape.n, shape.k, format.group)),
        weights(*shared_),
        x(shape.m * shape.k),
        m(shape.m),
        additions(oracle::additions(
            format.name.starts_with("a8.") ? matmul::Arithmetic::a8 : matmul::Arithmetic::a32,
            format.format, shape.k)),
        oracle_(std::move(oracle)) {
    fill_normal(x.span(), setup.seed, 0);
  }

 private:
  std::shared_ptr<const QuantizedWeights> shared_;

 public:
  const QuantizedWeights& weights;
  Array<T> x;
  std::size_t m;
  std::size_t additions;  ///< behind an output, for the limit of what rounding may leave

  /// Expected columns by their number: all of them, or an even sample, computed when first asked
  /// for.
  const std::map<std::size_t, ExpectedColumn>& expected(Verify mode) {
    const matmul::Weights& w = weights.view().w;
    // A column costs its products and, as much as several rows, its weights.
    constexpr double kQuickMacs = 1 << 26, kWeights = 8;
    const double affordable =
        std::max(2.0, kQuickMacs / ((double(m) + kWeights) * double(w.k) + 1));
    const std::size_t wanted =
        mode == Verify::full ? w.n : std::size_t(std::min(double(w.n), affordable));
    if (expected_.size() >= wanted) return expected_;
    std::vector<std::pair<std::size_t, ExpectedColumn>> columns(wanted);
    for (std::size_t i = 0; i < wanted; ++i)
      columns[i].first = wanted == 1 ? 0 : i * (w.n - 1) / (wanted - 1);
    parallel_ranges(omp_get_max_threads(), wanted, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i)
        columns[i].second = oracle_(std::as_const(x).span(), m, weights.view(), columns[i].first);
    });
    expected_ = std::map<std::size_t, ExpectedColumn>(columns.begin(), columns.end());
    return expected_;
  }

 private:
  ColumnOracle<T> oracle_;
  std::map<std::size_t, ExpectedColumn> expected_;
};

inline double as_double(float v) { return v; }
inline double as_double(f16 v) { return oracle::value(v); }

/// y against the expected columns: each output within its bound and, of our own kernels, all
/// together no farther off than rounding leaves them.
template <class T>
Error compare_columns(MatmulProblem<T>& problem, const Array<T>& y, Verify mode, bool ours) {
  Error error;
  oracle::RoundingError rounding(problem.additions);
  double square_error = 0, square = 0, worst = 0;
  const std::size_t n = problem.weights.view().w.n;
  for (const auto& [column, want] : problem.expected(mode))
    for (std::size_t i = 0; i < problem.m; ++i) {
      const double got = as_double(y.data()[i * n + column]);
      const double off = std::fabs(got - want.value[i]);
      if (!want.magnitude.empty())
        rounding.add(got, want.value[i], want.magnitude[i], problem.weights.view().w.k);
      square_error += (got - want.exact[i]) * (got - want.exact[i]);
      square += want.exact[i] * want.exact[i];
      if (off <= want.bound[i]) {
        if (want.bound[i] > 0) worst = std::max(worst, off / want.bound[i]);
        continue;
      }
      worst = want.bound[i] > 0 ? std::max(worst, off / want.bound[i]) : HUGE_VAL;
      if (error.mismatches++ == 0)
        error.first = "y[" + std::to_string(i) + "," + std::to_string(column) + "] is " +
                      std::to_string(got) + ", expected " + std::to_string(want.value[i]) +
                      " within " + std::to_string(want.bound[i]);
    }
  if (ours && rounding.exceeded() && error.mismatches++ == 0) error.first = rounding.text();
  error.nmse = square > 0 ? square_error / square : square_error;
  error.weights_nmse = problem.weights.nmse();
  error.of_bound = worst;
  return error;
}

}  // namespace qb::bench
