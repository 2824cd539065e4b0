// SPDX-License-Identifier: Apache-2.0
#include "quantize/quantize.h"

#include "core/quantize_check.h"

namespace qb::quantize {
namespace {

constexpr std::string_view kQuantize = "quantize::quantize";
constexpr std::string_view kDequantize = "quantize::dequantize";
constexpr std::string_view kPack = "quantize::pack";
constexpr std::string_view kUnpack = "quantize::unpack";

/// The smallest number that rounds to infinity in f16.
constexpr float kHalfInfinite = 65520.0f;

/// How codes of type Q lie.
template <class Q>
struct Codes;
template <>
struct Codes<std::int8_t> {
  static constexpr float kMost = 127;
  static constexpr std::size_t bytes(std::size_t group) { return group; }
};
template <>
struct Codes<std::uint8_t> {
  static constexpr float kMost = 7;
  static constexpr std::size_t bytes(std::size_t group) { return (group + 1) / 2; }
};

/// Checks the arguments, then runs `op`. `scale_name`: what the entry calls the scales.
template <const auto& op, class X, class Q, class S>
void quantize_checked(std::span<const X> x, std::size_t group, std::span<Q> q,
                      std::string_view scale_name, std::span<S> scale) {
  static auto* const kernel = op.dispatch();
  constexpr bool kHalfScale = sizeof(X) == sizeof(float) && sizeof(S) == sizeof(f16);
  if (kHalfScale) check::group_of_f16_scale(kQuantize, group);
  check::quantize(kQuantize, x, group, Codes<Q>::bytes(group), q, scale_name, scale);
  if constexpr (kHalfScale)
    check::scales_fit(kQuantize, x, group, "group", Codes<Q>::kMost * kHalfInfinite);
  kernel(x.data(), x.size() / group, group, q.data(), scale.data());
}

template <const auto& op, class Q, class S, class Y>
void dequantize_checked(std::span<const Q> q, std::size_t group, std::string_view scale_name,
                        std::span<const S> scale, std::span<Y> y) {
  static auto* const kernel = op.dispatch();
  if (sizeof(Y) == sizeof(float) && sizeof(S) == sizeof(f16))
    check::group_of_f16_scale(kDequantize, group);
  check::dequantize(kDequantize, q, group, Codes<Q>::bytes(group), scale_name, scale, y);
  kernel(q.data(), scale.size(), group, scale.data(), y.data());
}

/// Checks the arguments of a format with zero points, then runs `op`.
template <const auto& op, class S>
void quantize_with_zero_points(std::span<const float> x, std::size_t group,
                               std::span<std::uint8_t> q, std::span<S> scale,
                               std::span<std::uint8_t> zero) {
  static auto* const kernel = op.dispatch();
  check::group_of_f16_scale(kQuantize, group);
  check::quantize(kQuantize, x, group, group / 2, q, "scale", scale);
  const std::size_t groups = x.size() / group;
  if (!zero.empty()) check::size_at_least(kQuantize, "zero", zero.size(), (groups + 1) / 2);
  check::disjoint(kQuantize, "x", std::as_bytes(x), "zero", std::as_bytes(zero));
  check::disjoint(kQuantize, "q", std::as_bytes(q), "zero", std::as_bytes(zero));
  check::disjoint(kQuantize, "scale", std::as_bytes(scale), "zero", std::as_bytes(zero));
  check::scales_fit<S>(kQuantize, x, group, !zero.empty());
  kernel(x.data(), groups, group, q.data(), scale.data(), zero.empty() ? nullptr : zero.data());
}

template <const auto& op, class S>
void dequantize_with_zero_points(std::span<const std::uint8_t> q, std::size_t group,
                                 std::span<const S> scale, std::span<const std::uint8_t> zero,
                                 std::span<float> y) {
  static auto* const kernel = op.dispatch();
  check::group_of_f16_scale(kDequantize, group);
  check::dequantize(kDequantize, q, group, group / 2, "scale", scale, y);
  if (!zero.empty()) check::size_is(kDequantize, "zero", zero.size(), (scale.size() + 1) / 2);
  check::disjoint(kDequantize, "zero", std::as_bytes(zero), "y", std::as_bytes(y));
  kernel(q.data(), scale.size(), group, scale.data(), zero.empty() ? nullptr : zero.data(),
         y.data());
}

}  // namespace

std::span<const Variant> room() {
  static const Variant rows[] = {
#define QB_VARIANT QB_TABLE_ROW
#include "quantize/variants.inc"
#undef QB_VARIANT
  };
  return rows;
}

void quantize(std::span<const float> x, std::size_t group, std::span<std::int8_t> q,
              std::span<float> scale) {
  quantize_checked<quantize_f32_s8>(x, group, q, "scale", scale);
}
void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<float> scale) {
  quantize_checked<quantize_f32_s4>(x, group, q, "scale", scale);
}
void quantize(std::span<const float> x, std::size_t group, std::span<std::int8_t> q,
              std::span<f16> scale) {
  quantize_checked<quantize_f32_s8g>(x, group, q, "scale", scale);
}
void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<f16> scale) {
  quantize_checked<quantize_f32_s4g>(x, group, q, "scale", scale);
}
void quantize(std::span<const f16> x, std::size_t group, std::span<std::int8_t> q,
              std::span<f16> inv) {
  quantize_checked<quantize_f16_s8>(x, group, q, "inv", inv);
}
void quantize(std::span<const f16> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<f16> inv) {
  quantize_checked<quantize_f16_s4>(x, group, q, "inv", inv);
}

void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const float> scale,
                std::span<float> y) {
  dequantize_checked<dequantize_s8_f32>(q, group, "scale", scale, y);
}
void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const float> scale,
                std::span<float> y) {
  dequantize_checked<dequantize_s4_f32>(q, group, "scale", scale, y);
}
void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const f16> scale,
                std::span<float> y) {
  dequantize_checked<dequantize_s8g_f32>(q, group, "scale", scale, y);
}
void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const f16> scale,
                std::span<float> y) {
  dequantize_checked<dequantize_s4g_f32>(q, group, "scale", scale, y);
}
void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const f16> inv,
                std::span<f16> y) {
  dequantize_checked<dequantize_s8_f16>(q, group, "inv", inv, y);
}
void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const f16> inv,
                std::span<f16> y) {
  dequantize_checked<dequantize_s4_f16>(q, group, "inv", inv, y);
}

#define QB_ZERO_POINT_ENTRIES(format, Scale, ...)                                       \
  void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q, \
                std::span<Scale> scale, std::span<std::uint8_t> zero) {                 \
    quantize_with_zero_points<quantize_f32_##format>(x, group, q, scale, zero);         \
  }                                                                                     \
  void dequantize(std::span<const std::uint8_t> q, std::size_t group,                   \
                  std::span<const Scale> scale, std::span<const std::uint8_t> zero,     \
                  std::span<float> y) {                                                 \
    dequantize_with_zero_points<dequantize_##format##_f32>(q, group, scale, zero, y);   \
  }
QB_ZERO_POINT_FORMATS(QB_ZERO_POINT_ENTRIES, )
#undef QB_ZERO_POINT_ENTRIES

#define QB_BLOCK_ENTRIES(format, Block, ...)                          \
  void quantize(std::span<const float> x, std::span<Block> y) {       \
    static auto* const kernel = quantize_f32_##format.dispatch();     \
    check::quantize_blocks(kQuantize, x, y, kernel);                  \
    kernel(x.data(), x.size() / kWeightsOf<Block>, y.data());         \
  }                                                                   \
  void dequantize(std::span<const Block> x, std::span<float> y) {     \
    static auto* const kernel = dequantize_##format##_f32.dispatch(); \
    check::dequantize_blocks(kDequantize, x, y);                      \
    kernel(x.data(), x.size(), y.data());                             \
  }
QB_BLOCK_FORMATS(QB_BLOCK_ENTRIES, )
#undef QB_BLOCK_ENTRIES

void pack(std::span<const std::int8_t> q, std::span<std::uint8_t> packed) {
  static auto* const kernel = pack_s4.dispatch();
  check::size_at_least(kPack, "packed", packed.size(), (q.size() + 1) / 2);
  check::disjoint(kPack, "q", std::as_bytes(q), "packed", std::as_bytes(packed));
  for (std::size_t i = 0; i < q.size(); ++i)
    if (q[i] < -8 || q[i] > 7)
      check::refuse(
          kPack, "'q'[" + std::to_string(i) + "] is " + std::to_string(q[i]) + ", outside [-8, 7]");
  kernel(q.data(), q.size(), packed.data());
}

void unpack(std::span<const std::uint8_t> packed, std::span<std::int8_t> q) {
  static auto* const kernel = unpack_s4.dispatch();
  check::size_is(kUnpack, "packed", packed.size(), (q.size() + 1) / 2);
  check::disjoint(kUnpack, "packed", std::as_bytes(packed), "q", std::as_bytes(q));
  kernel(packed.data(), q.size(), q.data());
}

}  // namespace qb::quantize
