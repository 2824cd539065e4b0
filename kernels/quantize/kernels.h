// SPDX-License-Identifier: Apache-2.0
// The kernels of this room, raw: no checks. Included by every instruction set's file.
#pragma once

#include "core/declare.h"
#include "quantbench/blocks.h"
#include "quantbench/types.h"
#include "quantize/ops.h"

namespace qb::quantize {

// Contract, section 3. `groups` runs of `len` elements: one group is "per tensor", one per row "per
// channel", runs of 32, 64 or 128 along K "per group". Absmax, scale and codes in one call.
// Alignment: that of the element. Outputs overlap nothing. len == 0 writes scale 0. Input that is
// not finite gives unspecified codes but touches nothing outside the spans.
//
// s8: one code a byte; group i's are the len bytes at q + i*len. qmax is 127.
// s4: two codes a byte, two's complement, low nibble = even index. Every group starts on a byte of
// its own: group i's are the (len+1)/2 bytes at q + i*((len+1)/2), and an odd len leaves its last
// high nibble 0. qmax is 7.

/// f32 arithmetic: scale[i] = absmax/qmax in f32, inv = qmax/absmax, q = clip(rne(x*inv)).
/// absmax == 0, or inv not finite: scale 0 and codes 0.
using quantize_f32_s8_fn = void(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                                float* scale);
using quantize_f32_s4_fn = void(const float* x, std::size_t groups, std::size_t len,
                                std::uint8_t* q, float* scale);
/// The same codes (from the unrounded f32 inv); the scale is stored as f16.
using quantize_f32_s8g_fn = void(const float* x, std::size_t groups, std::size_t len,
                                 std::int8_t* q, f16* scale);
using quantize_f32_s4g_fn = void(const float* x, std::size_t groups, std::size_t len,
                                 std::uint8_t* q, f16* scale);
/// The notebook's: inv[i] = f16(qmax/absmax) saturated at 65504, q = clip(rne(f16(x*inv))).
/// absmax == 0 stores inv 0 and codes 0.
using quantize_f16_s8_fn = void(const f16* x, std::size_t groups, std::size_t len, std::int8_t* q,
                                f16* inv);
using quantize_f16_s4_fn = void(const f16* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                                f16* inv);
/// y = q*scale[group] in f32.
using dequantize_s8_f32_fn = void(const std::int8_t* q, std::size_t groups, std::size_t len,
                                  const float* scale, float* y);
using dequantize_s4_f32_fn = void(const std::uint8_t* q, std::size_t groups, std::size_t len,
                                  const float* scale, float* y);
/// y = q*f32(scale[group]) in f32.
using dequantize_s8g_f32_fn = void(const std::int8_t* q, std::size_t groups, std::size_t len,
                                   const f16* scale, float* y);
using dequantize_s4g_f32_fn = void(const std::uint8_t* q, std::size_t groups, std::size_t len,
                                   const f16* scale, float* y);
/// The notebook's: y = f16(f16(q)/inv[group]); all 0 where inv is 0.
using dequantize_s8_f16_fn = void(const std::int8_t* q, std::size_t groups, std::size_t len,
                                  const f16* inv, f16* y);
using dequantize_s4_f16_fn = void(const std::uint8_t* q, std::size_t groups, std::size_t len,
                                  const f16* inv, f16* y);

/// (n+1)/2 bytes from n codes in [-8, 7]; an odd n leaves the last high nibble 0.
using pack_s4_fn = void(const std::int8_t* q, std::size_t n, std::uint8_t* packed);
/// n codes from (n+1)/2 bytes.
using unpack_s4_fn = void(const std::uint8_t* packed, std::size_t n, std::int8_t* q);

// u4f, u4h: `groups` runs of `len` elements, 32, 64 or 128; codes from 0 to 15, two a byte, low
// nibble = even index. With lo = min(0, smallest) and hi = max(0, largest) scale = (hi-lo)/15,
// zero = clip(rne(-lo/scale)) and q = clip(rne(x/scale) + zero), clipped to [0, 15]; all three are
// 0 where the scale is. Zero points lie two a byte, low nibble = even group, and the high nibble
// that an odd number of groups leaves over is 0. `zero` is null: it counts as 8 in every group, and
// the codes are those of s4, 8 larger. Back (q - zero)*scale.
#define QB_ZERO_POINT_KERNELS(format, Scale, ...)                                              \
  using quantize_f32_##format##_fn = void(const float* x, std::size_t groups, std::size_t len, \
                                          std::uint8_t* q, Scale* scale, std::uint8_t* zero);  \
  using dequantize_##format##_f32_fn =                                                         \
      void(const std::uint8_t* q, std::size_t groups, std::size_t len, const Scale* scale,     \
           const std::uint8_t* zero, float* y);
QB_ZERO_POINT_FORMATS(QB_ZERO_POINT_KERNELS, )
#undef QB_ZERO_POINT_KERNELS

// Block formats: `blocks` blocks of kWeightsOf<Block> weights, as ggml's reference encodes and
// decodes them.
//
// q8_0  d = absmax/127, q = x*(1/d) rounded half away from zero, d stored as f16; back f32(d)*q.
// q4_0  d = m/-8 with m the signed value of largest magnitude (the first on a tie), stored nibble =
//       min(15, trunc(x*(1/d) + 8.5)), d stored as f16; back f32(d)*(nibble - 8). A block whose 1/d
//       is not finite is treated as zero: all nibbles 8, and d, below 2^-127, is a zero in f16
//       (with ggml's sign: a block of zeros has d = 0/-8 = -0).
// mxfp4 and others whose codes index a table: quantize/table_blocks.h; q4_K and others of 256
// weights: quantize/superblocks.h.
#define QB_BLOCK_KERNELS(format, Block, ...)                                             \
  using quantize_f32_##format##_fn = void(const float* x, std::size_t blocks, Block* y); \
  using dequantize_##format##_f32_fn = void(const Block* x, std::size_t blocks, float* y);
QB_BLOCK_FORMATS(QB_BLOCK_KERNELS, )
#undef QB_BLOCK_KERNELS

#define QB_VARIANT QB_DECLARE_VARIANT
#include "quantize/variants.inc"
#undef QB_VARIANT

}  // namespace qb::quantize
