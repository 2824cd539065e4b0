#include "int4/int4.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

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

template <class T>
std::span<const std::byte> bytes(std::span<T> values) {
  return std::as_bytes(values);
}

void check_group_of_f16_scale(std::string_view op, std::size_t group) {
  if (group != 32 && group != 64 && group != 128)
    check::refuse(op, "'group' = " + std::to_string(group) + " is none of 32, 64 and 128");
}

template <class X, class S>
void check_quantize(std::span<const X> x, std::size_t group, std::span<std::uint8_t> q,
                    std::string_view scale_name, std::span<S> scale) {
  check::divides(kQuantize, "group", group, "x.size()", x.size());
  const std::size_t groups = x.size() / group;
  check::size_at_least(kQuantize, "q", q.size(), groups * ((group + 1) / 2));
  check::size_at_least(kQuantize, scale_name, scale.size(), groups);
  check::disjoint(kQuantize, "x", bytes(x), "q", bytes(q));
  check::disjoint(kQuantize, "x", bytes(x), scale_name, bytes(scale));
  check::disjoint(kQuantize, "q", bytes(q), scale_name, bytes(scale));
  check::finite(kQuantize, "x", x);
}

template <class S, class Y>
void check_dequantize(std::span<const std::uint8_t> q, std::size_t group,
                      std::string_view scale_name, std::span<const S> scale, std::span<Y> y) {
  if (group == 0) check::refuse(kDequantize, "'group' is 0");
  const std::size_t stride = (group + 1) / 2;
  check::divides(kDequantize, "bytes per group", stride, "q.size()", q.size());
  const std::size_t groups = q.size() / stride;
  check::size_is(kDequantize, scale_name, scale.size(), groups);
  check::size_at_least(kDequantize, "y", y.size(), groups * group);
  check::disjoint(kDequantize, "q", bytes(q), "y", bytes(y));
  check::disjoint(kDequantize, scale_name, bytes(scale), "y", bytes(y));
  check::finite(kDequantize, scale_name, scale);
}

void check_scales_fit(std::span<const float> x, std::size_t group, std::string_view what,
                      float limit) {
  const auto at = std::find_if(x.begin(), x.end(), [=](float e) { return std::fabs(e) >= limit; });
  if (at == x.end()) return;
  const auto index = std::size_t(at - x.begin());
  check::refuse(kQuantize, "the scale of " + std::string(what) + " " +
                               std::to_string(index / group) + " overflows f16: 'x'[" +
                               std::to_string(index) + "] is " + std::to_string(*at) +
                               ", the limit " + std::to_string(int(limit)));
}

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
  check_quantize(x, group, q, "scale", scale);
  kernel(x.data(), x.size() / group, group, q.data(), scale.data());
}

void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<f16> scale) {
  static quantize_f32_s4g_fn* const kernel = quantize_f32_s4g.dispatch();
  check_group_of_f16_scale(kQuantize, group);
  check_quantize(x, group, q, "scale", scale);
  check_scales_fit(x, group, "group", kOverflow);
  kernel(x.data(), x.size() / group, group, q.data(), scale.data());
}

void quantize(std::span<const f16> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<f16> inv) {
  static quantize_f16_s4_fn* const kernel = quantize_f16_s4.dispatch();
  check_quantize(x, group, q, "inv", inv);
  kernel(x.data(), x.size() / group, group, q.data(), inv.data());
}

void quantize(std::span<const float> x, std::span<BlockQ4_0> y) {
  static quantize_f32_q4_0_fn* const kernel = quantize_f32_q4_0.dispatch();
  check::divides(kQuantize, "block", kBlock, "x.size()", x.size());
  check::size_at_least(kQuantize, "y", y.size(), x.size() / kBlock);
  check::disjoint(kQuantize, "x", bytes(x), "y", bytes(y));
  check::finite(kQuantize, "x", x);
  check_scales_fit(x, kBlock, "block", kOverflowQ4_0);
  kernel(x.data(), x.size() / kBlock, y.data());
}

void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const float> scale,
                std::span<float> y) {
  static dequantize_s4_f32_fn* const kernel = dequantize_s4_f32.dispatch();
  check_dequantize(q, group, "scale", scale, y);
  kernel(q.data(), scale.size(), group, scale.data(), y.data());
}

void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const f16> scale,
                std::span<float> y) {
  static dequantize_s4g_f32_fn* const kernel = dequantize_s4g_f32.dispatch();
  check_group_of_f16_scale(kDequantize, group);
  check_dequantize(q, group, "scale", scale, y);
  kernel(q.data(), scale.size(), group, scale.data(), y.data());
}

void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const f16> inv,
                std::span<f16> y) {
  static dequantize_s4_f16_fn* const kernel = dequantize_s4_f16.dispatch();
  check_dequantize(q, group, "inv", inv, y);
  kernel(q.data(), inv.size(), group, inv.data(), y.data());
}

void dequantize(std::span<const BlockQ4_0> x, std::span<float> y) {
  static dequantize_q4_0_f32_fn* const kernel = dequantize_q4_0_f32.dispatch();
  check::size_at_least(kDequantize, "y", y.size(), x.size() * kBlock);
  check::disjoint(kDequantize, "x", bytes(x), "y", bytes(y));
  for (std::size_t i = 0; i < x.size(); ++i)
    if ((unsigned(x[i].d) & 0x7c00u) == 0x7c00u)
      check::refuse(kDequantize, "the scale of block " + std::to_string(i) + " is not finite");
  kernel(x.data(), x.size(), y.data());
}

void pack(std::span<const std::int8_t> q, std::span<std::uint8_t> packed) {
  static pack_s4_fn* const kernel = pack_s4.dispatch();
  check::size_at_least(kPack, "packed", packed.size(), (q.size() + 1) / 2);
  check::disjoint(kPack, "q", bytes(q), "packed", bytes(packed));
  for (std::size_t i = 0; i < q.size(); ++i)
    if (q[i] < -8 || q[i] > 7)
      check::refuse(
          kPack, "'q'[" + std::to_string(i) + "] is " + std::to_string(q[i]) + ", outside [-8, 7]");
  kernel(q.data(), q.size(), packed.data());
}

void unpack(std::span<const std::uint8_t> packed, std::span<std::int8_t> q) {
  static unpack_s4_fn* const kernel = unpack_s4.dispatch();
  check::size_is(kUnpack, "packed", packed.size(), (q.size() + 1) / 2);
  check::disjoint(kUnpack, "packed", bytes(packed), "q", bytes(q));
  kernel(packed.data(), q.size(), q.data());
}

}  // namespace qb::int4
