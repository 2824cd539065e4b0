// SPDX-License-Identifier: Apache-2.0
// The kernels of this room, raw: no checks. Included by every instruction set's file.
#pragma once

#include "convert/ops.h"
#include "core/declare.h"
#include "core/fp8.h"
#include "quantbench/types.h"

namespace qb::convert {

// y[i] = x[i] converted, i < n (contract, section 1). Bit-exact: nearest, ties to even, gradual
// underflow whatever FTZ/DAZ says; NaN stays NaN, quiet, its (top) payload kept. Alignment: that of
// the element. x and y must not overlap.
using convert_f16_f32_fn = void(const f16* x, std::size_t n, float* y);
using convert_f32_f16_fn = void(const float* x, std::size_t n, f16* y);
using convert_bf16_f32_fn = void(const bf16* x, std::size_t n, float* y);
using convert_f32_bf16_fn = void(const float* x, std::size_t n, bf16* y);

// The 8-bit floats. Narrowing to E4M3 saturates at 448, infinity too; to E5M2 it overflows to
// infinity. NaN of E4M3, which has one for each sign, keeps its sign only.
using convert_e4m3_f32_fn = void(const e4m3* x, std::size_t n, float* y);
using convert_f32_e4m3_fn = void(const float* x, std::size_t n, e4m3* y);
using convert_e5m2_f32_fn = void(const e5m2* x, std::size_t n, float* y);
using convert_f32_e5m2_fn = void(const float* x, std::size_t n, e5m2* y);

#define QB_VARIANT QB_DECLARE_VARIANT
#include "convert/variants.inc"
#undef QB_VARIANT

}  // namespace qb::convert
