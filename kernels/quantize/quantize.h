// SPDX-License-Identifier: Apache-2.0
// Quantization: symmetric, no zero-point (contract, section 3).
//
// clang-format off
//   format                 input  stored beside the codes            arithmetic
//   s8, s4 tensor, channel f32    f32 scale = absmax/qmax            x*inv, rne; back q*scale
//   s8, s4 group of 32 ... f32    the scale, rounded to f16          the same codes; q*f32(scale)
//   s8, s4 of the notebook f16    f16 inv = qmax/absmax              every step rounded to f16
//   q8_0                   f32    f16 d in each 34-byte block        ggml's; back f32(d)*q
//   q4_0                   f32    f16 d in each 18-byte block        ggml's; back f32(d)*(nibble-8)
//   mxfp4, iq4_nl          f32    a scale in each block              ggml's; scale*table[nibble]
//   q4_1                   f32    f16 d and m in each 20-byte block  ggml's; f32(d)*nibble + f32(m)
//   q5_0                   f32    f16 d in each 22-byte block        ggml's; f32(d)*(code-16)
//   tq2_0                  f32    f16 d in each block of 256         ggml's; f32(d)*(code-1)
//   q4_K, q5_K             f32    in blocks of 256, a scale and a    ggml's; scale*code - minimum
//                                 minimum for each 32
//   q6_K                   f32    in blocks of 256, a scale for      ggml's; scale*code
//                                 each 16
// clang-format on
//
// s8 codes are row-major int8 like the weights they stand for. s4 codes lie two a byte, two's
// complement, the even index in the low nibble. Groups follow each other along K; those of s4 each
// start on a byte: (group+1)/2 bytes, the last high nibble 0 if group is odd.
#pragma once

#include <span>

#include "core/variant.h"
#include "quantize/kernels.h"

namespace qb::quantize {

std::span<const Variant> room();

// The operations, named as in ops.h: quantize_f32_s8, dequantize_q4_0_f32, ...
#define QB_VARIANT(arch, op, variant, isa) inline constexpr Op<op##_fn> op{#op, room};
QB_VARIANTS(any, quantize_all, scalar, baseline)
#undef QB_VARIANT

// The checked entries run the best variant this CPU has. Each throws BadArgument, and writes
// nothing then, if `group` does not divide the number of elements, an output is too short (longer
// ones are fine), a scale to be read is not there for each group and no more, an output overlaps
// another argument, or an input is not finite (the message names the first such index).

/// Codes and f32 scales of x's runs of `group` elements: x.size() for one tensor, K per channel.
void quantize(std::span<const float> x, std::size_t group, std::span<std::int8_t> q,
              std::span<float> scale);
void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<float> scale);
/// Codes and f16 scales of groups of 32, 64 or 128; no other `group` is taken. Refuses a scale that
/// overflows f16 (absmax of 65520 * qmax and up), naming the group; one that underflows decodes to
/// zeros.
void quantize(std::span<const float> x, std::size_t group, std::span<std::int8_t> q,
              std::span<f16> scale);
void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<f16> scale);
/// The notebook's: codes and f16 inverse scales, at most 65504, of runs of `group` elements.
void quantize(std::span<const f16> x, std::size_t group, std::span<std::int8_t> q,
              std::span<f16> inv);
void quantize(std::span<const f16> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<f16> inv);

/// y = q * scale of the group. Codes of int4 take (group+1)/2 bytes for each group.
void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const float> scale,
                std::span<float> y);
void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const float> scale,
                std::span<float> y);
/// The same from f16 scales; `group` is 32, 64 or 128.
void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const f16> scale,
                std::span<float> y);
void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const f16> scale,
                std::span<float> y);
/// The notebook's: y = f16(q / inv) of the group, 0 where inv is 0.
void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const f16> inv,
                std::span<f16> y);
void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const f16> inv,
                std::span<f16> y);

// Blocks of 32 or 256, as ggml encodes and decodes them. Quantizing refuses a scale that overflows
// f16, dequantizing one that is not finite, naming the block.
#define QB_BLOCK_ENTRIES(format, Block, ...)                   \
  void quantize(std::span<const float> x, std::span<Block> y); \
  void dequantize(std::span<const Block> x, std::span<float> y);
QB_BLOCK_FORMATS(QB_BLOCK_ENTRIES, )
#undef QB_BLOCK_ENTRIES

/// (q.size()+1)/2 bytes. Refuses a code outside [-8, 7], naming its index.
void pack(std::span<const std::int8_t> q, std::span<std::uint8_t> packed);
/// q.size() codes from exactly (q.size()+1)/2 bytes; the high nibble that an odd size leaves over
/// is not looked at.
void unpack(std::span<const std::uint8_t> packed, std::span<std::int8_t> q);

}  // namespace qb::quantize
