#include "int8/int8.h"

#include "core/quantize_check.h"

namespace qb::int8 {
namespace {

constexpr std::string_view kQuantize = "int8::quantize";
constexpr std::string_view kDequantize = "int8::dequantize";

/// The smallest absmax whose scale, absmax/127 in f32, rounds to infinity in f16: 127 * 65520.
constexpr float kOverflow = 8321040.0f;

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
  check::quantize(kQuantize, x, group, group, q, "scale", scale);
  kernel(x.data(), x.size() / group, group, q.data(), scale.data());
}

void quantize(std::span<const float> x, std::size_t group, std::span<std::int8_t> q,
              std::span<f16> scale) {
  static quantize_f32_s8g_fn* const kernel = quantize_f32_s8g.dispatch();
  check::group_of_f16_scale(kQuantize, group);
  check::quantize(kQuantize, x, group, group, q, "scale", scale);
  check::scales_fit(kQuantize, x, group, "group", kOverflow);
  kernel(x.data(), x.size() / group, group, q.data(), scale.data());
}

void quantize(std::span<const f16> x, std::size_t group, std::span<std::int8_t> q,
              std::span<f16> inv) {
  static quantize_f16_s8_fn* const kernel = quantize_f16_s8.dispatch();
  check::quantize(kQuantize, x, group, group, q, "inv", inv);
  kernel(x.data(), x.size() / group, group, q.data(), inv.data());
}

void quantize(std::span<const float> x, std::span<BlockQ8_0> y) {
  static quantize_f32_q8_0_fn* const kernel = quantize_f32_q8_0.dispatch();
  check::quantize_blocks(kQuantize, x, y, kOverflow);
  kernel(x.data(), x.size() / kBlock, y.data());
}

void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const float> scale,
                std::span<float> y) {
  static dequantize_s8_f32_fn* const kernel = dequantize_s8_f32.dispatch();
  check::dequantize(kDequantize, q, group, group, "scale", scale, y);
  kernel(q.data(), scale.size(), group, scale.data(), y.data());
}

void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const f16> scale,
                std::span<float> y) {
  static dequantize_s8g_f32_fn* const kernel = dequantize_s8g_f32.dispatch();
  check::group_of_f16_scale(kDequantize, group);
  check::dequantize(kDequantize, q, group, group, "scale", scale, y);
  kernel(q.data(), scale.size(), group, scale.data(), y.data());
}

void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const f16> inv,
                std::span<f16> y) {
  static dequantize_s8_f16_fn* const kernel = dequantize_s8_f16.dispatch();
  check::dequantize(kDequantize, q, group, group, "inv", inv, y);
  kernel(q.data(), inv.size(), group, inv.data(), y.data());
}

void dequantize(std::span<const BlockQ8_0> x, std::span<float> y) {
  static dequantize_q8_0_f32_fn* const kernel = dequantize_q8_0_f32.dispatch();
  check::dequantize_blocks(kDequantize, x, y);
  kernel(x.data(), x.size(), y.data());
}

}  // namespace qb::int8
