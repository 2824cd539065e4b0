#include "int8/int8.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace qb::int8 {
namespace {

constexpr std::string_view kQuantize = "int8::quantize";
constexpr std::string_view kDequantize = "int8::dequantize";

/// The smallest absmax whose scale, absmax/127 in f32, rounds to infinity in f16: 127 * 65520.
constexpr float kOverflow = 8321040.0f;

template <class T>
std::span<const std::byte> bytes(std::span<T> values) {
  return std::as_bytes(values);
}

void check_group_of_f16_scale(std::string_view op, std::size_t group) {
  if (group != 32 && group != 64 && group != 128)
    check::refuse(op, "'group' = " + std::to_string(group) + " is none of 32, 64 and 128");
}

template <class X, class S>
void check_quantize(std::span<const X> x, std::size_t group, std::span<std::int8_t> q,
                    std::string_view scale_name, std::span<S> scale) {
  check::divides(kQuantize, "group", group, "x.size()", x.size());
  check::size_at_least(kQuantize, "q", q.size(), x.size());
  check::size_at_least(kQuantize, scale_name, scale.size(), x.size() / group);
  check::disjoint(kQuantize, "x", bytes(x), "q", bytes(q));
  check::disjoint(kQuantize, "x", bytes(x), scale_name, bytes(scale));
  check::disjoint(kQuantize, "q", bytes(q), scale_name, bytes(scale));
  check::finite(kQuantize, "x", x);
}

template <class S, class Y>
void check_dequantize(std::span<const std::int8_t> q, std::size_t group,
                      std::string_view scale_name, std::span<const S> scale, std::span<Y> y) {
  check::divides(kDequantize, "group", group, "q.size()", q.size());
  check::size_is(kDequantize, scale_name, scale.size(), q.size() / group);
  check::size_at_least(kDequantize, "y", y.size(), q.size());
  check::disjoint(kDequantize, "q", bytes(q), "y", bytes(y));
  check::disjoint(kDequantize, scale_name, bytes(scale), "y", bytes(y));
  check::finite(kDequantize, scale_name, scale);
}

void check_scales_fit(std::span<const float> x, std::size_t group, std::string_view what) {
  const auto at =
      std::find_if(x.begin(), x.end(), [](float e) { return std::fabs(e) >= kOverflow; });
  if (at == x.end()) return;
  const auto index = std::size_t(at - x.begin());
  check::refuse(kQuantize, "the scale of " + std::string(what) + " " +
                               std::to_string(index / group) + " overflows f16: 'x'[" +
                               std::to_string(index) + "] is " + std::to_string(*at) +
                               ", the limit 8321040");
}

}  // namespace

std::span<const Variant> room() {
  static const Variant rows[] = {
#define QB_VARIANT QB_TABLE_ROW
#include "int8/variants.inc"
#undef QB_VARIANT
  };
  return rows;
}

void quantize(std::span<const float> x, std::size_t group, std::span<std::int8_t> q,
              std::span<float> scale) {
  static quantize_f32_s8_fn* const kernel = quantize_f32_s8.dispatch();
  check_quantize(x, group, q, "scale", scale);
  kernel(x.data(), x.size() / group, group, q.data(), scale.data());
}

void quantize(std::span<const float> x, std::size_t group, std::span<std::int8_t> q,
              std::span<f16> scale) {
  static quantize_f32_s8g_fn* const kernel = quantize_f32_s8g.dispatch();
  check_group_of_f16_scale(kQuantize, group);
  check_quantize(x, group, q, "scale", scale);
  check_scales_fit(x, group, "group");
  kernel(x.data(), x.size() / group, group, q.data(), scale.data());
}

void quantize(std::span<const f16> x, std::size_t group, std::span<std::int8_t> q,
              std::span<f16> inv) {
  static quantize_f16_s8_fn* const kernel = quantize_f16_s8.dispatch();
  check_quantize(x, group, q, "inv", inv);
  kernel(x.data(), x.size() / group, group, q.data(), inv.data());
}

void quantize(std::span<const float> x, std::span<BlockQ8_0> y) {
  static quantize_f32_q8_0_fn* const kernel = quantize_f32_q8_0.dispatch();
  check::divides(kQuantize, "block", kBlock, "x.size()", x.size());
  check::size_at_least(kQuantize, "y", y.size(), x.size() / kBlock);
  check::disjoint(kQuantize, "x", bytes(x), "y", bytes(y));
  check::finite(kQuantize, "x", x);
  check_scales_fit(x, kBlock, "block");
  kernel(x.data(), x.size() / kBlock, y.data());
}

void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const float> scale,
                std::span<float> y) {
  static dequantize_s8_f32_fn* const kernel = dequantize_s8_f32.dispatch();
  check_dequantize(q, group, "scale", scale, y);
  kernel(q.data(), scale.size(), group, scale.data(), y.data());
}

void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const f16> scale,
                std::span<float> y) {
  static dequantize_s8g_f32_fn* const kernel = dequantize_s8g_f32.dispatch();
  check_group_of_f16_scale(kDequantize, group);
  check_dequantize(q, group, "scale", scale, y);
  kernel(q.data(), scale.size(), group, scale.data(), y.data());
}

void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const f16> inv,
                std::span<f16> y) {
  static dequantize_s8_f16_fn* const kernel = dequantize_s8_f16.dispatch();
  check_dequantize(q, group, "inv", inv, y);
  kernel(q.data(), inv.size(), group, inv.data(), y.data());
}

void dequantize(std::span<const BlockQ8_0> x, std::span<float> y) {
  static dequantize_q8_0_f32_fn* const kernel = dequantize_q8_0_f32.dispatch();
  check::size_at_least(kDequantize, "y", y.size(), x.size() * kBlock);
  check::disjoint(kDequantize, "x", bytes(x), "y", bytes(y));
  for (std::size_t i = 0; i < x.size(); ++i)
    if ((unsigned(x[i].d) & 0x7c00u) == 0x7c00u)
      check::refuse(kDequantize, "the scale of block " + std::to_string(i) + " is not finite");
  kernel(x.data(), x.size(), y.data());
}

}  // namespace qb::int8
