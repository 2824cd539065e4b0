// SPDX-License-Identifier: Apache-2.0
// What the matmul benchmarks share: problems, instances, cases. Each arithmetic brings its
// operations and its oracle.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "data.h"
#include "matmul/matmul.h"
#include "oracle/matmul.h"
#include "oracle/rounding.h"
#include "peers/peers.h"
#include "suite.h"
#include "weights.h"

namespace qb::bench {

/// Least working set of a cold case, and what it is judged by: what was measured of a cache that
/// others use as well may be much less than what it holds a moment later.
inline constexpr std::size_t kColdBytes = std::size_t{256} << 20;

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
    if (format.scales != ScaleKind::group) {
      formats.push_back(
          {name + "." + std::string(format.name), op, format.format, 0, peak(format.codes)});
      continue;
    }
    const std::string ungrouped(format.name.substr(0, format.name.size() - 1));  // without its g
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

/// Copies of the weights as one variant reads them: packed, or canonical for variants that do not
/// pack. More than one if the rotation is to miss the caches; each is written, so that no two share
/// physical pages.
class WeightCopies {
 public:
  WeightCopies(const matmul::Kernel& kernel, const QuantizedWeights& weights, std::size_t at_least,
               int threads) {
    const matmul::Weights w = weights.view().w;
    const std::size_t packed = kernel.packed_bytes(w.n, w.k, w.group);
    const std::size_t each = packed ? packed : weights.bytes();
    const std::size_t count = each ? std::max<std::size_t>(1, (at_least + each - 1) / each) : 1;
    for (std::size_t i = 0; i < count; ++i) {
      if (packed) {
        memory_.emplace_back(packed);
        if (i == 0)
          matmul::pack(kernel, w, memory_[0].data(), threads);
        else
          std::memcpy(memory_[i].data(), memory_[0].data(), packed);
        copies_.push_back({w, memory_[i].data()});
      } else if (count == 1) {
        copies_.push_back({w, nullptr});
      } else {
        const std::byte* const at = memory_.emplace_back(weights.values().copy()).data();
        const std::byte* const scales = memory_.emplace_back(weights.scales().copy()).data();
        copies_.push_back({weights.view_of(at, scales).w, nullptr});
      }
    }
  }

  struct Copy {
    matmul::Weights w;
    const void* packed;
  };
  const Copy& next() {
    at_ = at_ + 1 == copies_.size() ? 0 : at_ + 1;
    return copies_[at_];
  }

 private:
  std::vector<Bytes> memory_;
  std::vector<Copy> copies_;
  std::size_t at_ = 0;
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

template <class T>
class MatmulInstance : public Instance {
 public:
  MatmulInstance(std::shared_ptr<MatmulProblem<T>> problem, std::shared_ptr<Array<T>> y,
                 const matmul::Kernel* kernel, std::size_t rotate_bytes, int threads)
      : problem_(std::move(problem)),
        y_(std::move(y)),
        kernel_(kernel),
        threads_(threads),
        copies_(*kernel, problem_->weights, rotate_bytes, threads),
        workspace_(workspace_bytes(*problem_, *kernel)) {}

  void run() override {
    const WeightCopies::Copy& copy = copies_.next();
    matmul::multiply(*kernel_, copy.w, copy.packed, problem_->x.data(), problem_->m,
                     workspace_.data(), y_->data(), threads_);
  }

  Error verify(Verify mode) override { return compare_columns(*problem_, *y_, mode, true); }

 private:
  static std::size_t workspace_bytes(const MatmulProblem<T>& problem,
                                     const matmul::Kernel& kernel) {
    const matmul::Weights w = problem.weights.view().w;
    return kernel.workspace_bytes(problem.m, w.n, w.k, w.group);
  }

  std::shared_ptr<MatmulProblem<T>> problem_;
  std::shared_ptr<Array<T>> y_;
  const matmul::Kernel* kernel_;
  int threads_;
  WeightCopies copies_;
  Bytes workspace_;
};

/// Another project's product, on as many copies of the weights as the rotation asks for.
class PeerMatmulInstance : public Instance {
 public:
  PeerMatmulInstance(std::shared_ptr<MatmulProblem<float>> problem, std::shared_ptr<Array<float>> y,
                     const peers::Peer& peer, std::size_t rotate_bytes, int threads)
      : problem_(std::move(problem)), y_(std::move(y)) {
    const QuantizedWeights& weights = problem_->weights;
    const std::size_t each = weights.bytes();
    const std::size_t count = each ? std::max<std::size_t>(1, (rotate_bytes + each - 1) / each) : 1;
    for (std::size_t i = 0; i < count; ++i) {
      matmul::WeightView view = weights.view();
      if (peer.in_place && count > 1) {
        const std::byte* const at = copies_.emplace_back(weights.values().copy()).data();
        view = weights.view_of(at, copies_.emplace_back(weights.scales().copy()).data());
      }
      products_.push_back(peer.bind({view, problem_->x.data(), problem_->m, y_->data(), threads}));
    }
  }

  void run() override {
    at_ = at_ + 1 == products_.size() ? 0 : at_ + 1;
    products_[at_]->run();
  }

  Error verify(Verify mode) override {
    products_[at_]->finish();
    return compare_columns(*problem_, *y_, mode, false);
  }

 private:
  std::shared_ptr<MatmulProblem<float>> problem_;
  std::shared_ptr<Array<float>> y_;
  std::vector<Bytes> copies_;
  std::vector<std::unique_ptr<peers::Product>> products_;
  std::size_t at_ = 0;
};

/// Packs, and is verified by unpacking: every code (or value) must come back.
class RepackInstance : public Instance {
 public:
  RepackInstance(std::shared_ptr<const QuantizedWeights> weights, const MatmulFormat& format,
                 const matmul::Kernel* kernel, int threads)
      : weights_(std::move(weights)),
        rounded_(format.packed),
        kernel_(kernel),
        threads_(threads),
        packed_(kernel->packed_bytes(w().n, w().k, w().group)) {}

  void run() override { matmul::pack(*kernel_, w(), packed_.data(), threads_); }

  Error verify(Verify) override {
    const matmul::WeightView view = weights_->view();
    const bool floats = info(view.format).is_float();
    Bytes codes(w().n * w().k * (floats ? sizeof(float) : 1));
    kernel_->unpack(packed_.data(), w().n, w().k, w().group, 0, w().n, codes.data());
    Error error;
    for (std::size_t n = 0; n < w().n; ++n)
      for (std::size_t k = 0; k < w().k; ++k) {
        const std::size_t at = n * w().k + k;
        const double got = floats ? double(reinterpret_cast<const float*>(codes.data())[at])
                                  : double(reinterpret_cast<const std::int8_t*>(codes.data())[at]);
        const double code = oracle::code_and_scale(view, n, k).code;
        const double want = rounded_ ? rounded_(code) : code;
        if (got == want) continue;
        if (error.mismatches++ == 0)
          error.first = "code[" + std::to_string(n) + "," + std::to_string(k) + "] is " +
                        std::to_string(got) + ", expected " + std::to_string(want);
      }
    return error;
  }

 private:
  const matmul::Weights& w() const { return view_.w; }

  std::shared_ptr<const QuantizedWeights> weights_;
  double (*rounded_)(double);
  const matmul::Kernel* kernel_;
  int threads_;
  matmul::WeightView view_ = weights_->view();
  Bytes packed_;
};

/// Bytes that a variant reads of the weights. Calls into the variant only if it can run here. For a
/// peer those of the canonical layout: its own may be larger.
inline std::size_t weight_bytes(const MatmulFormat& f, const Variant& v, std::size_t n,
                                std::size_t k) {
  if (v.refusal().empty() && !peers::as_peer(&v)) {
    const std::size_t group = QuantizedWeights::group_of(f.format, k, f.group);
    if (const std::size_t packed = f.op->kernel(v)->packed_bytes(n, k, group)) return packed;
  }
  // Peers pack them rounded, as all of ours do.
  if (f.format == matmul::Format::f32 && f.peak == Peak::bf16) return n * k * sizeof(bf16);
  return QuantizedWeights::bytes_of(f.format, n, k, f.group);
}

inline bool fits(const MatmulFormat& f, std::size_t k) {
  return k % info(f.format).k_step(f.group) == 0;
}

/// matmul/<format>/<variant>/m:<m>/n:<n>/k:<k>[/cold]
template <class T>
void add_matmul(const Plan& plan, const MatmulFormat& f, const ColumnOracle<T>& oracle,
                Suite& suite) {
  for (const Plan::Shape& s : plan.matmul) {
    if (!fits(f, s.k)) continue;
    for (const int threads : plan.threads)
      for (const Variant* v : peers::with_peers(f.op->variants(), f.op->name)) {
        const peers::Peer* peer = peers::as_peer(v);
        if (peer && peer->takes && !peer->takes(s.m, s.n, s.k)) continue;
        Case c;
        c.op = "matmul";
        c.format = f.name;
        c.variant = v;
        c.shape = "m:" + std::to_string(s.m) + "/n:" + std::to_string(s.n) +
                  "/k:" + std::to_string(s.k) + (s.cold ? "/cold" : "");
        c.threads = threads;
        c.rows = rows_of(s.m);
        const std::size_t weights = weight_bytes(f, *v, s.n, s.k);
        const std::size_t in = s.m * s.k * sizeof(T), out = s.m * s.n * sizeof(T);
        c.work.items = double(s.m) * double(s.n);
        c.work.ops = 2.0 * double(s.m) * double(s.n) * double(s.k);
        c.work.peak = f.peak;
        c.work.passes = {{double(weights + in), double(out)}};
        c.work.working_set = (s.cold ? std::max(weights, kColdBytes) : weights) + in + out;
        const std::string key = c.op + "/" + c.format + "/" + c.shape;
        c.make = [=](const Setup& setup) -> std::unique_ptr<Instance> {
          auto problem = setup.problems.get<MatmulProblem<T>>(
              key, [&] { return std::make_shared<MatmulProblem<T>>(f, s, oracle, setup); });
          const auto y = setup.problems.output<T>(s.m * s.n);
          const std::size_t rotate = s.cold ? std::max(3 * setup.cache_bytes, kColdBytes) : 0;
          if constexpr (std::is_same_v<T, float>)
            if (peer)
              return std::make_unique<PeerMatmulInstance>(problem, y, *peer, rotate, setup.threads);
          return std::make_unique<MatmulInstance<T>>(problem, y, f.op->kernel(*v), rotate,
                                                     setup.threads);
        };
        suite.push_back(std::move(c));
      }
  }
}

/// repack/<format>/<variant>/n:<n>/k:<k>, once per pair of n and k; for variants that pack.
inline void add_repack(const Plan& plan, const MatmulFormat& f, Suite& suite) {
  std::set<std::pair<std::size_t, std::size_t>> seen;
  for (const Plan::Shape& s : plan.matmul) {
    if (!fits(f, s.k) || !seen.insert({s.n, s.k}).second) continue;
    for (const int threads : plan.threads)
      for (const Variant* v : f.op->variants()) {
        if (v->impl && !f.op->kernel(*v)->pack) continue;
        Case c;
        c.op = "repack";
        c.format = f.name;
        c.variant = v;
        c.shape = "n:" + std::to_string(s.n) + "/k:" + std::to_string(s.k);
        c.threads = threads;
        const std::size_t canonical = QuantizedWeights::bytes_of(f.format, s.n, s.k, f.group);
        const std::size_t packed = weight_bytes(f, *v, s.n, s.k);
        c.work.items = double(s.n) * double(s.k);
        c.work.passes = {{double(canonical), double(packed)}};
        c.work.working_set = canonical + packed;
        c.make = [=, n = s.n, k = s.k](const Setup& setup) -> std::unique_ptr<Instance> {
          return std::make_unique<RepackInstance>(quantized_weights(setup, f.format, n, k, f.group),
                                                  f, f.op->kernel(*v), setup.threads);
        };
        suite.push_back(std::move(c));
      }
  }
}

}  // namespace qb::bench
