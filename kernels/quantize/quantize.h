// SPDX-License-Identifier: Apache-2.0
// Quantization, as the rest of the house knows it: the room's variants and operations, beside the
// checked functions that everybody may call (quantbench/quantize.h).
#pragma once

#include <span>

#include "core/variant.h"
#include "quantbench/quantize.h"
#include "quantize/kernels.h"

namespace qb::quantize {

std::span<const Variant> room();

// The operations, named as in ops.h: quantize_f32_s8, dequantize_q4_0_f32, ...
#define QB_VARIANT(arch, op, variant, isa) inline constexpr Op<op##_fn> op{#op, room};
QB_VARIANTS(any, quantize_all, scalar, baseline)
#undef QB_VARIANT

}  // namespace qb::quantize
