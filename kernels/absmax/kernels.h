// SPDX-License-Identifier: Apache-2.0
// The kernels of this room, raw: no checks. Included by every instruction set's file.
#pragma once

#include "core/declare.h"
#include "quantbench/types.h"

namespace qb::absmax {

/// out[i] = max_j |x[i*len + j]|, j < len, for i < groups (contract, section 2). Exact; NaN in a
/// group gives NaN; len == 0 gives 0. One group of n is "per tensor", one per row of K "per row".
/// x: groups*len elements, out: groups elements; any alignment; they must not overlap.
using absmax_f32_fn = void(const float* x, std::size_t groups, std::size_t len, float* out);
/// The same over binary16, the result widened exactly to f32.
using absmax_f16_fn = void(const f16* x, std::size_t groups, std::size_t len, float* out);

#define QB_VARIANT QB_DECLARE_VARIANT
#include "absmax/variants.inc"
#undef QB_VARIANT

}  // namespace qb::absmax
