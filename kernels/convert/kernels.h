// SPDX-License-Identifier: Apache-2.0
// The kernels of this room, raw: no checks. Included by every instruction set's file.
#pragma once

#include "core/declare.h"
#include "quantbench/types.h"

namespace qb::convert {

// y[i] = x[i] converted, i < n (contract, section 1). Bit-exact: nearest, ties to even, gradual
// underflow whatever FTZ/DAZ says; NaN stays NaN, quiet, its (top) payload kept. Alignment: that of
// the element. x and y must not overlap.
using convert_f16_f32_fn = void(const f16* x, std::size_t n, float* y);
using convert_f32_f16_fn = void(const float* x, std::size_t n, f16* y);
using convert_bf16_f32_fn = void(const bf16* x, std::size_t n, float* y);
using convert_f32_bf16_fn = void(const float* x, std::size_t n, bf16* y);

#define QB_VARIANT QB_DECLARE_VARIANT
#include "convert/variants.inc"
#undef QB_VARIANT

}  // namespace qb::convert
