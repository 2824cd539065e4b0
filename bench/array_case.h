// SPDX-License-Identifier: Apache-2.0
// One way to describe an array operation: its inputs and what must come out (ArrayProblem), what
// its rows are called and must read and write (ArrayRow), and how a kernel is called (a function).
// Every size, number of threads and variant then is a case (add_array).
#pragma once

#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data.h"
#include "oracle/blocks.h"
#include "oracle/fp8.h"
#include "peers/peers.h"
#include "suite.h"

namespace qb::bench {

/// The scale of operations without one.
struct NoScale {};

/// Inputs x and the expected outputs y. `scale` has a scale for each group: an expected output of
/// quantizing (makes_scales), an input of dequantizing.
template <class In, class Out, class S = NoScale>
struct ArrayProblem {
  using X = In;
  using Y = Out;
  using Scale = S;
  ArrayProblem(std::size_t inputs, std::size_t outputs, std::size_t scales = 0)
      : x(inputs), y(outputs), scale(scales) {}
  Array<In> x;
  Array<Out> y;
  Array<S> scale;
  bool makes_scales = false;
};

/// What the rows of one operation and format have in common.
struct ArrayRow {
  std::string op, format;
  std::size_t unit = 1;     ///< n must be a multiple of it: a group or a block
  bool one_thread = false;  ///< a whole tensor whose absmax must be known before its first code
  std::function<std::vector<Pass>(double n)> passes;
};

/// Calls body(i), i < n, on all cores if there is enough to do: oracles are slow.
template <class Body>
void for_all(std::size_t n, const Body& body) {
#pragma omp parallel for if (n > 4096)
  for (std::ptrdiff_t i = 0; i < std::ptrdiff_t(n); ++i) body(std::size_t(i));
}

/// A value for a message, with enough digits to tell two neighbouring floats apart.
template <class T>
std::string shown(const T& v) {
  double value;
  if constexpr (requires { double(v); })
    value = double(v);
  else if constexpr (requires { oracle::decoded(v, 0); })
    return "a block that begins with " + shown(oracle::decoded(v, 0));
  else
    value = oracle::value(v);
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.9g", value);
  return digits;
}

/// Counts elements whose bytes differ, and words the first.
template <class T>
void compare(const char* name, const Array<T>& got, const Array<T>& want, Error& error) {
  if (want.size() == 0 || std::memcmp(got.data(), want.data(), want.size() * sizeof(T)) == 0)
    return;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (std::memcmp(&got[i], &want[i], sizeof(T)) == 0) continue;
    if (error.mismatches++ == 0)
      error.first = std::string(name) + "[" + std::to_string(i) + "] is " + shown(got[i]) +
                    ", expected " + shown(want[i]);
  }
}

/// The normalised mean squared error of values, or of the values that blocks decode to. None for
/// codes, which mean nothing without their scales.
template <class T>
std::optional<double> nmse(const Array<T>& got, const Array<T>& want) {
  double square_error = 0, square = 0;
  const auto add = [&](double g, double w) {
    square_error += (g - w) * (g - w);
    square += w * w;
  };
  for (std::size_t i = 0; i < want.size(); ++i)
    if constexpr (requires { oracle::decoded(got[i], 0); })
      for (std::size_t j = 0; j < kWeightsOf<T>; ++j)
        add(oracle::decoded(got[i], j), oracle::decoded(want[i], j));
    else if constexpr (std::is_same_v<T, float>)
      add(got[i], want[i]);
    else if constexpr (requires { oracle::value(got[i]); })
      add(oracle::value(got[i]), oracle::value(want[i]));
    else
      return std::nullopt;
  return square > 0 ? square_error / square : square_error;
}

/// `Run`: void(Fn* kernel, const Problem&, std::size_t n, Y* y, Scale* scale, int threads).
template <class Problem, class Fn, class Run>
class ArrayInstance : public Instance {
 public:
  using Y = typename Problem::Y;
  using Scale = typename Problem::Scale;
  ArrayInstance(std::shared_ptr<const Problem> problem, std::size_t n, const Setup& setup,
                Fn* kernel, Run run)
      : problem_(std::move(problem)),
        n_(n),
        y_(setup.problems.output<Y>(problem_->y.size())),
        scale_(problem_->scale.size()),
        kernel_(kernel),
        threads_(setup.threads),
        run_(run) {}

  void run() override { run_(kernel_, *problem_, n_, y_->data(), scale_.data(), threads_); }

  Error verify(Verify) override {
    Error error;
    if constexpr (!std::is_same_v<Scale, NoScale>)
      if (problem_->makes_scales) compare("scale", scale_, problem_->scale, error);
    compare("y", *y_, problem_->y, error);
    if (error.mismatches) error.nmse = nmse(*y_, problem_->y);
    return error;
  }

 private:
  std::shared_ptr<const Problem> problem_;
  std::size_t n_;
  std::shared_ptr<Array<Y>> y_;
  Array<Scale> scale_;
  Fn* kernel_;
  int threads_;
  Run run_;
};

/// Every size, number of threads and variant of one row. `make(n, seed)` gives the problem of n
/// elements, shared by its variants.
template <class Fn, class Make, class Run>
void add_array(const Plan& plan, const Op<Fn>& op, const ArrayRow& row, Make make, Run run,
               Suite& suite) {
  using Problem = typename decltype(make(std::size_t{}, std::uint64_t{}))::element_type;
  for (const std::size_t n : plan.sizes) {
    if (n % row.unit) continue;
    for (const int threads : plan.threads) {
      if (threads > 1 && row.one_thread) continue;
      for (const Variant* v : with_others(plan, op.variants(), op.name)) {
        Case c;
        c.op = row.op;
        c.format = row.format;
        c.variant = v;
        c.shape = "n:" + std::to_string(n);
        c.threads = threads;
        c.work.items = double(n);
        c.work.passes = row.passes(double(n));
        const Pass& last = c.work.passes.back();
        c.work.working_set = std::size_t(last.read + last.written);
        const std::string key = c.op + "/" + c.format + "/" + c.shape;
        c.make = [=](const Setup& setup) -> std::unique_ptr<Instance> {
          const auto problem =
              setup.problems.get<Problem>(key, [&] { return make(n, setup.seed); });
          return std::make_unique<ArrayInstance<Problem, Fn, Run>>(problem, n, setup, op.kernel(*v),
                                                                   run);
        };
        suite.push_back(std::move(c));
      }
    }
  }
}

/// One pass that reads and writes so many bytes an element.
inline auto one_pass(double read, double written) {
  return [=](double n) { return std::vector<Pass>{{read * n, written * n}}; };
}

}  // namespace qb::bench
