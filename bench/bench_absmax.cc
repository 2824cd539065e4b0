// SPDX-License-Identifier: Apache-2.0
// absmax/<type>[.g<len>]/<variant>/n:<elements>
#include "absmax/absmax.h"

#include "array_case.h"
#include "oracle/absmax.h"

namespace qb::bench {
namespace {

/// Of a whole tensor on several threads: a partial maximum on each, and the largest of those.
template <class T, class Fn>
void absmax_of_parts(Fn* kernel, const T* x, std::size_t n, float* y, int threads) {
  std::vector<float> partial(std::size_t(threads), 0.0f);
  const std::size_t part = (n + partial.size() - 1) / partial.size();
  parallel_ranges(threads, n, part, [&](std::size_t begin, std::size_t end) {
    kernel(x + begin, 1, end - begin, &partial[std::size_t(omp_get_thread_num())]);
  });
  absmax::f32.kernel(absmax::f32.named("scalar"))(partial.data(), 1, partial.size(), y);
}

/// group == 0: the whole tensor.
template <class T, class Fn>
void add(const Plan& plan, const Op<Fn>& op, const std::string& type, std::size_t group,
         Suite& suite) {
  add_array(
      plan, op,
      {"absmax", group ? type + ".g" + std::to_string(group) : type, group ? group : 1, false,
       [=](double n) {
         return std::vector<Pass>{{n * sizeof(T), (group ? n / double(group) : 1) * sizeof(float)}};
       }},
      [=](std::size_t n, std::uint64_t seed) {
        const std::size_t len = group ? group : n;
        auto p = std::make_shared<ArrayProblem<T, float>>(n, n / len);
        fill_normal(p->x.span(), seed);
        for (std::size_t i = 0; i < n / len; ++i)
          p->y[i] = float(oracle::absmax<T>(p->x.span().subspan(i * len, len)));
        return p;
      },
      [=](Fn* kernel, const auto& p, std::size_t n, float* y, NoScale*, int threads) {
        if (!group && threads > 1) return absmax_of_parts(kernel, p.x.data(), n, y, threads);
        const std::size_t len = group ? group : n;
        parallel_ranges(threads, n / len, 16, [&](std::size_t begin, std::size_t end) {
          kernel(p.x.data() + begin * len, end - begin, len, y + begin);
        });
      },
      suite);
}

}  // namespace

void add_absmax(const Plan& plan, Suite& suite) {
  add<float>(plan, absmax::f32, "f32", 0, suite);
  add<float>(plan, absmax::f32, "f32", 32, suite);
  add<f16>(plan, absmax::f16, "f16", 0, suite);
  add<f16>(plan, absmax::f16, "f16", 32, suite);
}

}  // namespace qb::bench
