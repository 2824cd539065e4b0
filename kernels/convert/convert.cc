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

template <const auto& op, class In, class Out>
void convert(std::string_view entry, std::span<const In> x, std::span<Out> y) {
  static auto* const kernel = op.dispatch();
  check_shapes(entry, x, y);
  kernel(x.data(), x.size(), y.data());
}

constexpr std::string_view kWiden = "convert::widen", kNarrow = "convert::narrow";

}  // namespace

std::span<const Variant> room() {
  static const Variant rows[] = {
#define QB_VARIANT QB_TABLE_ROW
#include "convert/variants.inc"
#undef QB_VARIANT
  };
  return rows;
}

void widen(std::span<const qb::f16> x, std::span<float> y) { convert<f16_f32>(kWiden, x, y); }
void widen(std::span<const qb::bf16> x, std::span<float> y) { convert<bf16_f32>(kWiden, x, y); }
void widen(std::span<const qb::e4m3> x, std::span<float> y) { convert<e4m3_f32>(kWiden, x, y); }
void widen(std::span<const qb::e5m2> x, std::span<float> y) { convert<e5m2_f32>(kWiden, x, y); }

void narrow(std::span<const float> x, std::span<qb::f16> y) { convert<f32_f16>(kNarrow, x, y); }
void narrow(std::span<const float> x, std::span<qb::bf16> y) { convert<f32_bf16>(kNarrow, x, y); }
void narrow(std::span<const float> x, std::span<qb::e4m3> y) { convert<f32_e4m3>(kNarrow, x, y); }
void narrow(std::span<const float> x, std::span<qb::e5m2> y) { convert<f32_e5m2>(kNarrow, x, y); }

}  // namespace qb::convert
