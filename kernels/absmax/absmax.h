// SPDX-License-Identifier: Apache-2.0
// Absmax: the largest magnitude of a tensor, a row or a group (contract, section 2).
#pragma once

#include <span>

#include "absmax/kernels.h"
#include "core/variant.h"

namespace qb::absmax {

std::span<const Variant> room();

inline constexpr Op<absmax_f32_fn> f32{"absmax_f32", room};
inline constexpr Op<absmax_f16_fn> f16{"absmax_f16", room};

/// max |x[i]|, on the best variant this CPU has; 0 if empty, NaN if any element is NaN.
float tensor(std::span<const float> x);
float tensor(std::span<const qb::f16> x);

/// out[i] = the absmax of x's i-th run of `group` elements: a group along a row, or with
/// group == K a whole row. x.size() must be a multiple of group and out hold x.size()/group values;
/// x and out must not overlap. Throws BadArgument otherwise, and writes nothing then.
void groups(std::span<const float> x, std::size_t group, std::span<float> out);
void groups(std::span<const qb::f16> x, std::size_t group, std::span<float> out);

}  // namespace qb::absmax
