// The kernels of this room, raw: no checks. Included by every instruction set's file.
#pragma once

#include "core/declare.h"
#include "core/types.h"
#include "formats/blocks.h"

namespace qb::int8 {

// Contract, section 3. `groups` runs of `len` elements: one group is "per tensor", one per row "per
// channel", runs of 32/64/128 along K "per group". Absmax, scale and codes in one call. Alignment:
// that of the element; outputs overlap nothing. len == 0 writes scale 0. Non-finite input gives
// unspecified codes but touches nothing outside the spans.

/// f32 arithmetic: scale[i] = absmax/127 in f32, inv = 127/absmax, q = clip(rne(x*inv)).
/// absmax == 0, or inv not finite: scale 0 and codes 0.
using quantize_f32_s8_fn = void(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                                float* scale);
/// The same codes (from the unrounded f32 inv); the scale is stored as f16.
using quantize_f32_s8g_fn = void(const float* x, std::size_t groups, std::size_t len,
                                 std::int8_t* q, f16* scale);
/// The notebook's: inv[i] = f16(127/absmax) saturated at 65504, q = clip(rne(f16(x*inv))).
/// absmax == 0 stores inv 0 and codes 0.
using quantize_f16_s8_fn = void(const f16* x, std::size_t groups, std::size_t len, std::int8_t* q,
                                f16* inv);
/// y = q*scale[group] in f32.
using dequantize_s8_f32_fn = void(const std::int8_t* q, std::size_t groups, std::size_t len,
                                  const float* scale, float* y);
/// y = q*f32(scale[group]) in f32.
using dequantize_s8g_f32_fn = void(const std::int8_t* q, std::size_t groups, std::size_t len,
                                   const f16* scale, float* y);
/// The notebook's: y = f16(f16(q)/inv[group]); all 0 where inv is 0.
using dequantize_s8_f16_fn = void(const std::int8_t* q, std::size_t groups, std::size_t len,
                                  const f16* inv, f16* y);
/// ggml's q8_0: d = absmax/127, q = round half away from zero of x*(1/d), d stored as f16.
using quantize_f32_q8_0_fn = void(const float* x, std::size_t blocks, BlockQ8_0* y);
/// y = f32(d)*q.
using dequantize_q8_0_f32_fn = void(const BlockQ8_0* x, std::size_t blocks, float* y);

#define QB_VARIANT QB_DECLARE_VARIANT
#include "int8/variants.inc"
#undef QB_VARIANT

}  // namespace qb::int8
