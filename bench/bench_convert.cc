// convert/<from>.<to>/<variant>/n:<elements>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "convert/convert.h"
#include "data.h"
#include "oracle/half.h"
#include "peers/peers.h"
#include "suite.h"

namespace qb::bench {
namespace {

/// The oracle's value of every pattern, computed once: a conversion of 2^26 halves looks them up.
template <class Half>
const std::vector<float>& widened() {
  static const std::vector<float> table = [] {
    std::vector<float> values(65536);
    for (std::size_t h = 0; h < values.size(); ++h)
      values[h] = std::bit_cast<float>(oracle::widened(Half(static_cast<std::uint16_t>(h))));
    return values;
  }();
  return table;
}

void expect(std::span<const f16> x, std::span<float> y) {
  const std::vector<float>& table = widened<f16>();
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = table[std::uint16_t(x[i])];
}
void expect(std::span<const bf16> x, std::span<float> y) {
  const std::vector<float>& table = widened<bf16>();
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = table[std::uint16_t(x[i])];
}
void expect(std::span<const float> x, std::span<f16> y) {
  const auto n = std::ptrdiff_t(x.size());
#pragma omp parallel for
  for (std::ptrdiff_t i = 0; i < n; ++i)
    y[std::size_t(i)] = oracle::narrowed_f16(x[std::size_t(i)]);
}
void expect(std::span<const float> x, std::span<bf16> y) {
  const auto n = std::ptrdiff_t(x.size());
#pragma omp parallel for
  for (std::ptrdiff_t i = 0; i < n; ++i)
    y[std::size_t(i)] = oracle::narrowed_bf16(x[std::size_t(i)]);
}

template <class In, class Out>
struct Problem {
  Problem(std::size_t n, std::uint64_t seed) : x(n), expected(n) {
    fill_normal(x.span(), seed);
    expect(x.span(), expected.span());
  }
  Array<In> x;
  Array<Out> expected;
};

template <class In, class Out, class Fn>
class ConvertInstance : public Instance {
 public:
  ConvertInstance(std::shared_ptr<Problem<In, Out>> problem, std::shared_ptr<Array<Out>> y,
                  Fn* kernel, int threads)
      : problem_(std::move(problem)), y_(std::move(y)), kernel_(kernel), threads_(threads) {}

  void run() override {
    parallel_ranges(threads_, y_->size(), 64, [&](auto begin, auto end) {
      kernel_(problem_->x.data() + begin, end - begin, y_->data() + begin);
    });
  }

  Error verify(Verify) override {
    Error error;
    const Array<Out>&y = *y_, &expected = problem_->expected;
    if (std::memcmp(y.data(), expected.data(), y.size() * sizeof(Out)) == 0) return error;
    double square_error = 0, square = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double got = value(y[i]), want = value(expected[i]);
      square += want * want;
      if (std::memcmp(&y[i], &expected[i], sizeof(Out)) == 0) continue;
      square_error += (got - want) * (got - want);
      if (error.mismatches++ == 0)
        error.first = "y[" + std::to_string(i) + "] is " + std::to_string(got) + ", expected " +
                      std::to_string(want);
    }
    error.nmse = square > 0 ? square_error / square : square_error;
    return error;
  }

 private:
  static double value(float y) { return y; }
  static double value(f16 y) { return oracle::value(y); }
  static double value(bf16 y) { return oracle::value(y); }

  std::shared_ptr<Problem<In, Out>> problem_;
  std::shared_ptr<Array<Out>> y_;
  Fn* kernel_;
  int threads_;
};

template <class In, class Out, class Fn>
void add(const Plan& plan, const Op<Fn>& op, const std::string& format, Suite& suite) {
  for (const std::size_t n : plan.sizes)
    for (const int threads : plan.threads)
      for (const Variant* v : peers::with_peers(op.variants(), op.name)) {
        Case c;
        c.op = "convert";
        c.format = format;
        c.variant = v;
        c.shape = "n:" + std::to_string(n);
        c.threads = threads;
        c.work.items = double(n);
        c.work.passes = {{double(n) * sizeof(In), double(n) * sizeof(Out)}};
        c.work.working_set = n * (sizeof(In) + sizeof(Out));
        const std::string key = c.op + "/" + c.format + "/" + c.shape;
        c.make = [=](const Setup& setup) -> std::unique_ptr<Instance> {
          auto problem = setup.problems.get<Problem<In, Out>>(
              key, [&] { return std::make_shared<Problem<In, Out>>(n, setup.seed); });
          return std::make_unique<ConvertInstance<In, Out, Fn>>(
              problem, setup.problems.output<Out>(n), op.kernel(*v), setup.threads);
        };
        suite.push_back(std::move(c));
      }
}

}  // namespace

void add_convert(const Plan& plan, Suite& suite) {
  add<f16, float>(plan, convert::f16_f32, "f16.f32", suite);
  add<float, f16>(plan, convert::f32_f16, "f32.f16", suite);
  add<bf16, float>(plan, convert::bf16_f32, "bf16.f32", suite);
  add<float, bf16>(plan, convert::f32_bf16, "f32.bf16", suite);
}

}  // namespace qb::bench
