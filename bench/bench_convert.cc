// SPDX-License-Identifier: Apache-2.0
// convert/<from>.<to>/<variant>/n:<elements>
#include <bit>
#include <type_traits>
#include <vector>

#include "array_case.h"
#include "convert/convert.h"
#include "oracle/fp8.h"

namespace qb::bench {
namespace {

/// The oracle's value of every pattern, computed once: a conversion of 2^26 numbers looks them up.
template <class Half>
const std::vector<float>& widened() {
  using Bits = std::underlying_type_t<Half>;
  static const std::vector<float> table = [] {
    std::vector<float> values(std::size_t{1} << 8 * sizeof(Half));
    for (std::size_t h = 0; h < values.size(); ++h)
      values[h] = std::bit_cast<float>(oracle::widened(Half(static_cast<Bits>(h))));
    return values;
  }();
  return table;
}

template <class Half>
void expect(std::span<const Half> x, std::span<float> y) {
  const std::vector<float>& table = widened<Half>();
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = table[std::size_t(x[i])];
}
void expect(std::span<const float> x, std::span<f16> y) {
  for_all(x.size(), [&](std::size_t i) { y[i] = oracle::narrowed_f16(x[i]); });
}
void expect(std::span<const float> x, std::span<bf16> y) {
  for_all(x.size(), [&](std::size_t i) { y[i] = oracle::narrowed_bf16(x[i]); });
}
void expect(std::span<const float> x, std::span<e4m3> y) {
  for_all(x.size(), [&](std::size_t i) { y[i] = oracle::narrowed_e4m3(x[i]); });
}
void expect(std::span<const float> x, std::span<e5m2> y) {
  for_all(x.size(), [&](std::size_t i) { y[i] = oracle::narrowed_e5m2(x[i]); });
}

/// Normal values, rounded to the type.
template <class T>
void fill(std::span<T> x, std::uint64_t seed) {
  if constexpr (sizeof(T) == 1) {
    Array<float> normal(x.size());
    fill_normal(normal.span(), seed);
    expect(std::as_const(normal).span(), x);
  } else {
    fill_normal(x, seed);
  }
}

template <class In, class Out, class Fn>
void add(const Plan& plan, const Op<Fn>& op, const char* format, Suite& suite) {
  add_array(
      plan, op, {"convert", format, 1, false, one_pass(sizeof(In), sizeof(Out))},
      [](std::size_t n, std::uint64_t seed) {
        auto p = std::make_shared<ArrayProblem<In, Out>>(n, n);
        fill(p->x.span(), seed);
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
  add<e4m3, float>(plan, convert::e4m3_f32, "e4m3.f32", suite);
  add<float, e4m3>(plan, convert::f32_e4m3, "f32.e4m3", suite);
  add<e5m2, float>(plan, convert::e5m2_f32, "e5m2.f32", suite);
  add<float, e5m2>(plan, convert::f32_e5m2, "f32.e5m2", suite);
}

}  // namespace qb::bench
