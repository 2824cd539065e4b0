// SPDX-License-Identifier: Apache-2.0
// Absmax: the largest magnitude of a tensor, a row or a group (docs/contract.md, section 2).
//
// Arrays need the alignment of their elements only. Each call runs the best variant that this CPU
// has, on the calling thread; several threads may call at once.
#pragma once

#include <cstddef>
#include <span>

#include "quantbench/error.h"
#include "quantbench/export.h"
#include "quantbench/types.h"

namespace qb::absmax {

/// max |x[i]|; 0 if x is empty, NaN if any element is NaN.
QUANTBENCH_API float tensor(std::span<const float> x);
QUANTBENCH_API float tensor(std::span<const qb::f16> x);

/// out[i] = the absmax of x's i-th run of `group` elements: a group along a row, or with
/// group == K a whole row. x.size() must be a multiple of group and out hold x.size()/group values;
/// x and out must not overlap. Throws BadArgument otherwise, and writes nothing then.
QUANTBENCH_API void groups(std::span<const float> x, std::size_t group, std::span<float> out);
QUANTBENCH_API void groups(std::span<const qb::f16> x, std::size_t group, std::span<float> out);

}  // namespace qb::absmax
