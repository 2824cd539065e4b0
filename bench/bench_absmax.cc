// absmax/<type>[.g<len>]/<variant>/n:<elements>
#include "absmax/absmax.h"

#include <cmath>
#include <cstdio>
#include <cstring>

#include "data.h"
#include "oracle/absmax.h"
#include "peers/peers.h"
#include "suite.h"

namespace qb::bench {
namespace {

/// Enough digits to tell two neighbouring floats apart.
std::string text(float value) {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%.9g", double(value));
  return digits;
}

template <class T>
struct Problem {
  Problem(std::size_t n, std::size_t len, std::uint64_t seed) : x(n), expected(n / len) {
    fill_normal(x.span(), seed);
    for (std::size_t i = 0; i < expected.size(); ++i)
      expected[i] = float(oracle::absmax<T>(x.span().subspan(i * len, len)));
  }
  Array<T> x;
  Array<float> expected;
};

template <class T, class Fn>
class AbsmaxInstance : public Instance {
 public:
  AbsmaxInstance(std::shared_ptr<Problem<T>> problem, Fn* kernel, std::size_t len, int threads)
      : problem_(std::move(problem)),
        kernel_(kernel),
        len_(len),
        threads_(threads),
        y_(problem_->expected.size()),
        partial_(std::size_t(threads)) {}

  void run() override {
    const std::size_t groups = y_.size();
    const T* x = problem_->x.data();
    if (threads_ > 1 && groups == 1) {  // one tensor: a partial maximum per thread
      parallel_ranges(threads_, len_, (len_ + threads_ - 1) / threads_, [&](auto begin, auto end) {
        kernel_(x + begin, 1, end - begin, &partial_[std::size_t(omp_get_thread_num())]);
      });
      absmax::f32.kernel(absmax::f32.named("scalar"))(partial_.data(), 1, partial_.size(),
                                                      y_.data());
      return;
    }
    parallel_ranges(threads_, groups, 16, [&](auto begin, auto end) {
      kernel_(x + begin * len_, end - begin, len_, y_.data() + begin);
    });
  }

  Error verify(Verify) override {
    Error error;
    for (std::size_t i = 0; i < y_.size(); ++i) {
      if (std::memcmp(&y_[i], &problem_->expected[i], sizeof(float)) == 0) continue;
      if (error.mismatches++ == 0)
        error.first = "y[" + std::to_string(i) + "] is " + text(y_[i]) + ", expected " +
                      text(problem_->expected[i]);
    }
    return error;
  }

 private:
  std::shared_ptr<Problem<T>> problem_;
  Fn* kernel_;
  std::size_t len_;
  int threads_;
  Array<float> y_;
  std::vector<float> partial_;
};

/// group == 0: the whole tensor.
template <class T, class Fn>
void add(const Plan& plan, const Op<Fn>& op, const std::string& type, std::size_t group,
         Suite& suite) {
  for (const std::size_t n : plan.sizes) {
    if (group && n % group) continue;
    for (const int threads : plan.threads)
      for (const Variant* v : peers::with_peers(op.variants(), op.name)) {
        Case c;
        c.op = "absmax";
        c.format = group ? type + ".g" + std::to_string(group) : type;
        c.variant = v;
        c.shape = "n:" + std::to_string(n);
        c.threads = threads;
        const std::size_t len = group ? group : n;
        const double written = double(n / len) * sizeof(float);
        c.work.items = double(n);
        c.work.passes = {{double(n) * sizeof(T), written}};
        c.work.working_set = n * sizeof(T) + std::size_t(written);
        const std::string key = c.op + "/" + c.format + "/" + c.shape;
        c.make = [=](const Setup& setup) -> std::unique_ptr<Instance> {
          auto problem = setup.problems.get<Problem<T>>(
              key, [&] { return std::make_shared<Problem<T>>(n, len, setup.seed); });
          return std::make_unique<AbsmaxInstance<T, Fn>>(problem, op.kernel(*v), len,
                                                         setup.threads);
        };
        suite.push_back(std::move(c));
      }
  }
}

}  // namespace

void add_absmax(const Plan& plan, Suite& suite) {
  add<float>(plan, absmax::f32, "f32", 0, suite);
  add<float>(plan, absmax::f32, "f32", 32, suite);
  add<f16>(plan, absmax::f16, "f16", 0, suite);
  add<f16>(plan, absmax::f16, "f16", 32, suite);
}

}  // namespace qb::bench
