// SPDX-License-Identifier: Apache-2.0
#include "absmax/absmax.h"

#include "core/check.h"

namespace qb::absmax {
namespace {

template <class T>
void check_groups(std::span<const T> x, std::size_t group, std::span<float> out) {
  check::divides("absmax::groups", "group", group, "x.size()", x.size());
  check::size_at_least("absmax::groups", "out", out.size(), x.size() / group);
  check::disjoint("absmax::groups", "x", std::as_bytes(x), "out", std::as_bytes(out));
}

}  // namespace

std::span<const Variant> room() {
  static const Variant rows[] = {
#define QB_VARIANT QB_TABLE_ROW
#include "absmax/variants.inc"
#undef QB_VARIANT
  };
  return rows;
}

float tensor(std::span<const float> x) {
  static absmax_f32_fn* const kernel = f32.dispatch();
  float result;
  kernel(x.data(), 1, x.size(), &result);
  return result;
}

float tensor(std::span<const qb::f16> x) {
  static absmax_f16_fn* const kernel = f16.dispatch();
  float result;
  kernel(x.data(), 1, x.size(), &result);
  return result;
}

void groups(std::span<const float> x, std::size_t group, std::span<float> out) {
  static absmax_f32_fn* const kernel = f32.dispatch();
  check_groups(x, group, out);
  kernel(x.data(), x.size() / group, group, out.data());
}

void groups(std::span<const qb::f16> x, std::size_t group, std::span<float> out) {
  static absmax_f16_fn* const kernel = f16.dispatch();
  check_groups(x, group, out);
  kernel(x.data(), x.size() / group, group, out.data());
}

}  // namespace qb::absmax
