// SPDX-License-Identifier: Apache-2.0
// Convert, as the rest of the house knows it: the room's variants and operations, beside the
// checked functions that everybody may call (quantbench/convert.h).
#pragma once

#include <span>

#include "convert/kernels.h"
#include "core/variant.h"
#include "quantbench/convert.h"

namespace qb::convert {

std::span<const Variant> room();

inline constexpr Op<convert_f16_f32_fn> f16_f32{"convert_f16_f32", room};
inline constexpr Op<convert_f32_f16_fn> f32_f16{"convert_f32_f16", room};
inline constexpr Op<convert_bf16_f32_fn> bf16_f32{"convert_bf16_f32", room};
inline constexpr Op<convert_f32_bf16_fn> f32_bf16{"convert_f32_bf16", room};
inline constexpr Op<convert_e4m3_f32_fn> e4m3_f32{"convert_e4m3_f32", room};
inline constexpr Op<convert_f32_e4m3_fn> f32_e4m3{"convert_f32_e4m3", room};
inline constexpr Op<convert_e5m2_f32_fn> e5m2_f32{"convert_e5m2_f32", room};
inline constexpr Op<convert_f32_e5m2_fn> f32_e5m2{"convert_f32_e5m2", room};

}  // namespace qb::convert
