#include "int4/int4.h"

#include "core/quantize_check.h"

namespace qb::int4 {
namespace {

constexpr std::string_view kQuantize = "int4::quantize";
constexpr std::string_view kDequantize = "int4::dequantize";
constexpr std::string_view kPack = "int4::pack";
constexpr std::string_view kUnpack = "int4::unpack";

/// The smallest magnitudes whose scale rounds to infinity in f16 (65520): absmax/7, and q4_0's
/// absmax/8.
constexpr float kOverflow = 7 * 65520.0f;
constexpr float kOverflowQ4_0 = 8 * 65520.0f;

/// Bytes of the packed codes of one group.
constexpr std::size_t code_bytes(std::size_t group) { return (group + 1) / 2; }

}  // namespace

std::span<const Variant> room() {
  static const Variant rows[] = {
#define QB_VARIANT QB_TABLE_ROW
#include "int4/variants.inc"
#undef QB_VARIANT
  };
  return rows;
}

void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<float> scale) {
  static quantize_f32_s4_fn* const kernel = quantize_f32_s4.dispatch();
  check::quantize(kQuantize, x, group, code_bytes(group), q, "scale", scale);
  kernel(x.data(), x.size() / group, group, q.data(), scale.data());
}

void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<f16> scale) {
  static quantize_f32_s4g_fn* const kernel = quantize_f32_s4g.dispatch();
  check::group_of_f16_scale(kQuantize, group);
  check::quantize(kQuantize, x, group, code_bytes(group), q, "scale", scale);
  check::scales_fit(kQuantize, x, group, "group", kOverflow);
  kernel(x.data(), x.size() / group, group, q.data(), scale.data());
}

void quantize(std::span<const f16> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<f16> inv) {
  static quantize_f16_s4_fn* const kernel = quantize_f16_s4.dispatch();
  check::quantize(kQuantize, x, group, code_bytes(group), q, "inv", inv);
  kernel(x.data(), x.size() / group, group, q.data(), inv.data());
}

void quantize(std::span<const float> x, std::span<BlockQ4_0> y) {
  static quantize_f32_q4_0_fn* const kernel = quantize_f32_q4_0.dispatch();
  check::quantize_blocks(kQuantize, x, y, kOverflowQ4_0);
  kernel(x.data(), x.size() / kBlock, y.data());
}

void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const float> scale,
                std::span<float> y) {
  static dequantize_s4_f32_fn* const kernel = dequantize_s4_f32.dispatch();
  check::dequantize(kDequantize, q, group, code_bytes(group), "scale", scale, y);
  kernel(q.data(), scale.size(), group, scale.data(), y.data());
}

void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const f16> scale,
                std::span<float> y) {
  static dequantize_s4g_f32_fn* const kernel = dequantize_s4g_f32.dispatch();
  check::group_of_f16_scale(kDequantize, group);
  check::dequantize(kDequantize, q, group, code_bytes(group), "scale", scale, y);
  kernel(q.data(), scale.size(), group, scale.data(), y.data());
}

void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const f16> inv,
                std::span<f16> y) {
  static dequantize_s4_f16_fn* const kernel = dequantize_s4_f16.dispatch();
  check::dequantize(kDequantize, q, group, code_bytes(group), "inv", inv, y);
  kernel(q.data(), inv.size(), group, inv.data(), y.data());
}

void dequantize(std::span<const BlockQ4_0> x, std::span<float> y) {
  static dequantize_q4_0_f32_fn* const kernel = dequantize_q4_0_f32.dispatch();
  check::dequantize_blocks(kDequantize, x, y);
  kernel(x.data(), x.size(), y.data());
}

void pack(std::span<const std::int8_t> q, std::span<std::uint8_t> packed) {
  static pack_s4_fn* const kernel = pack_s4.dispatch();
  check::size_at_least(kPack, "packed", packed.size(), (q.size() + 1) / 2);
  check::disjoint(kPack, "q", std::as_bytes(q), "packed", std::as_bytes(packed));
  for (std::size_t i = 0; i < q.size(); ++i)
    if (q[i] < -8 || q[i] > 7)
      check::refuse(
          kPack, "'q'[" + std::to_string(i) + "] is " + std::to_string(q[i]) + ", outside [-8, 7]");
  kernel(q.data(), q.size(), packed.data());
}

void unpack(std::span<const std::uint8_t> packed, std::span<std::int8_t> q) {
  static unpack_s4_fn* const kernel = unpack_s4.dispatch();
  check::size_is(kUnpack, "packed", packed.size(), (q.size() + 1) / 2);
  check::disjoint(kUnpack, "packed", std::as_bytes(packed), "q", std::as_bytes(q));
  kernel(packed.data(), q.size(), q.data());
}

}  // namespace qb::int4
