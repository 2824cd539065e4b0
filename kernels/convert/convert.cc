// SPDX-License-Identifier: Apache-2.0
#include "convert/convert.h"

#include "core/check.h"

namespace qb::convert {
namespace {

template <class In, class Out>
void check_shapes(std::string_view op, std::span<const In> x, std::span<Out> y) {
  check::size_at_least(op, "y", y.size(), x.size());
  check::disjoint(op, "x", std::as_bytes(x), "y", std::as_bytes(y));
}

}  // namespace

std::span<const Variant> room() {
  static const Variant rows[] = {
#define QB_VARIANT QB_TABLE_ROW
#include "convert/variants.inc"
#undef QB_VARIANT
  };
  return rows;
}

void widen(std::span<const qb::f16> x, std::span<float> y) {
  static convert_f16_f32_fn* const kernel = f16_f32.dispatch();
  check_shapes("convert::widen", x, y);
  kernel(x.data(), x.size(), y.data());
}

void widen(std::span<const qb::bf16> x, std::span<float> y) {
  static convert_bf16_f32_fn* const kernel = bf16_f32.dispatch();
  check_shapes("convert::widen", x, y);
  kernel(x.data(), x.size(), y.data());
}

void narrow(std::span<const float> x, std::span<qb::f16> y) {
  static convert_f32_f16_fn* const kernel = f32_f16.dispatch();
  check_shapes("convert::narrow", x, y);
  kernel(x.data(), x.size(), y.data());
}

void narrow(std::span<const float> x, std::span<qb::bf16> y) {
  static convert_f32_bf16_fn* const kernel = f32_bf16.dispatch();
  check_shapes("convert::narrow", x, y);
  kernel(x.data(), x.size(), y.data());
}

}  // namespace qb::convert
