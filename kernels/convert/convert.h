// SPDX-License-Identifier: Apache-2.0
// Convert: between binary32, binary16 and bfloat16 (contract, section 1).
#pragma once

#include <span>

#include "convert/kernels.h"
#include "core/variant.h"

namespace qb::convert {

std::span<const Variant> room();

inline constexpr Op<convert_f16_f32_fn> f16_f32{"convert_f16_f32", room};
inline constexpr Op<convert_f32_f16_fn> f32_f16{"convert_f32_f16", room};
inline constexpr Op<convert_bf16_f32_fn> bf16_f32{"convert_bf16_f32", room};
inline constexpr Op<convert_f32_bf16_fn> f32_bf16{"convert_f32_bf16", room};

/// y[i] = x[i], on the best variant this CPU has. Widening is exact; narrowing rounds to nearest,
/// ties to even, and overflows to infinity; NaN stays NaN, quiet, its (top) payload kept.
/// y must hold x.size() values and not overlap x. Throws BadArgument otherwise, and writes nothing
/// then.
void widen(std::span<const qb::f16> x, std::span<float> y);
void widen(std::span<const qb::bf16> x, std::span<float> y);
void narrow(std::span<const float> x, std::span<qb::f16> y);
void narrow(std::span<const float> x, std::span<qb::bf16> y);

}  // namespace qb::convert
