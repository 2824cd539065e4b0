// SPDX-License-Identifier: Apache-2.0
// convert/<from>.<to>/<variant>/n:<elements>
#include <bit>
#include <vector>

#include "array_case.h"
#include "convert/convert.h"
#include "oracle/half.h"

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
  for_all(x.size(), [&](std::size_t i) { y[i] = oracle::narrowed_f16(x[i]); });
}
void expect(std::span<const float> x, std::span<bf16> y) {
  for_all(x.size(), [&](std::size_t i) { y[i] = oracle::narrowed_bf16(x[i]); });
}

template <class In, class Out, class Fn>
void add(const Plan& plan, const Op<Fn>& op, const char* format, Suite& suite) {
  add_array(
      plan, op, {"convert", format, 1, false, one_pass(sizeof(In), sizeof(Out))},
      [](std::size_t n, std::uint64_t seed) {
        auto p = std::make_shared<ArrayProblem<In, Out>>(n, n);
        fill_normal(p->x.span(), seed);
        expect(std::as_const(p->x).span(), p->y.span());
        return p;
      },
      [](Fn* kernel, const auto& p, std::size_t n, Out* y, NoScale*, int threads) {
        parallel_ranges(threads, n, 64, [&](std::size_t begin, std::size_t end) {
          kernel(p.x.data() + begin, end - begin, y + begin);
        });
      },
      suite);
}

}  // namespace

void add_convert(const Plan& plan, Suite& suite) {
  add<f16, float>(plan, convert::f16_f32, "f16.f32", suite);
  add<float, f16>(plan, convert::f32_f16, "f32.f16", suite);
  add<bf16, float>(plan, convert::bf16_f32, "bf16.f32", suite);
  add<float, bf16>(plan, convert::f32_bf16, "f32.bf16", suite);
}

}  // namespace qb::bench
