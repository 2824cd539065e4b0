// SPDX-License-Identifier: Apache-2.0
// Absmax, as the rest of the house knows it: the room's variants and operations, beside the checked
// functions that everybody may call (quantbench/absmax.h).
#pragma once

#include <span>

#include "absmax/kernels.h"
#include "core/variant.h"
#include "quantbench/absmax.h"

namespace qb::absmax {

std::span<const Variant> room();

inline constexpr Op<absmax_f32_fn> f32{"absmax_f32", room};
inline constexpr Op<absmax_f16_fn> f16{"absmax_f16", room};

}  // namespace qb::absmax
