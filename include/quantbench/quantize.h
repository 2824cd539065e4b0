// SPDX-License-Identifier: Apache-2.0
// Quantization (docs/contract.md, section 3): symmetric, but for the formats with a zero point or
// a minimum.
//
// clang-format off
//   format                 input  stored beside the codes            arithmetic
//   s8, s4 tensor, channel f32    f32 scale = absmax/qmax            x*inv, rne; back q*scale
//   s8, s4 group of 32 ... f32    the scale, rounded to f16          the same codes; q*f32(scale)
//   s8, s4 of the notebook f16    f16 inv = qmax/absmax              every step rounded to f16
//   u4f, u4h group of 32.. f32    an f32 or f16 scale, a zero point  back (q - zero)*scale
//   q8_0                   f32    f16 d in each 34-byte block        ggml's; back f32(d)*q
//   q4_0                   f32    f16 d in each 18-byte block        ggml's; back f32(d)*(nibble-8)
//   mxfp4, iq4_nl          f32    a scale in each block              ggml's; scale*table[nibble]
//   q4_1                   f32    f16 d and m in each 20-byte block  ggml's; f32(d)*nibble + f32(m)
//   q5_0                   f32    f16 d in each 22-byte block        ggml's; f32(d)*(code-16)
//   tq2_0                  f32    f16 d in each block of 256         ggml's; f32(d)*(code-1)
//   nvfp4                  f32    in blocks of 64, an E4M3 scale     ggml's; scale*number
//                                 for each 16
//   iq4_xs                 f32    in blocks of 256, a scale for      ggml's; scale*table[nibble]
//                                 each 32
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

#include <cstddef>
#include <cstdint>
#include <span>

#include "quantbench/blocks.h"
#include "quantbench/error.h"
#include "quantbench/export.h"
#include "quantbench/formats.h"
#include "quantbench/types.h"

namespace qb::quantize {

// Each function runs the best variant that this CPU has, on the calling thread, on arrays with the
// alignment of their elements; several threads may call at once. Each throws BadArgument, and
// writes nothing then, if `group` does not divide the number of elements, an output is too short
// (longer ones are fine), a scale to be read is not there for each group and no more, an output
// overlaps another argument, or an input is not finite (the message names the first such index).

/// Codes and f32 scales of x's runs of `group` elements: x.size() for one tensor, K per channel.
QUANTBENCH_API void quantize(std::span<const float> x, std::size_t group, std::span<std::int8_t> q,
                             std::span<float> scale);
QUANTBENCH_API void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q,
                             std::span<float> scale);
/// Codes and f16 scales of groups of 32, 64 or 128; no other `group` is taken. Refuses a scale that
/// overflows f16 (absmax of 65520 * qmax and up), naming the group; one that underflows decodes to
/// zeros.
QUANTBENCH_API void quantize(std::span<const float> x, std::size_t group, std::span<std::int8_t> q,
                             std::span<f16> scale);
QUANTBENCH_API void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q,
                             std::span<f16> scale);
/// The notebook's: codes and f16 inverse scales, at most 65504, of runs of `group` elements.
QUANTBENCH_API void quantize(std::span<const f16> x, std::size_t group, std::span<std::int8_t> q,
                             std::span<f16> inv);
QUANTBENCH_API void quantize(std::span<const f16> x, std::size_t group, std::span<std::uint8_t> q,
                             std::span<f16> inv);

/// y = q * scale of the group. Codes of int4 take (group+1)/2 bytes for each group.
QUANTBENCH_API void dequantize(std::span<const std::int8_t> q, std::size_t group,
                               std::span<const float> scale, std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const std::uint8_t> q, std::size_t group,
                               std::span<const float> scale, std::span<float> y);
/// The same from f16 scales; `group` is 32, 64 or 128.
QUANTBENCH_API void dequantize(std::span<const std::int8_t> q, std::size_t group,
                               std::span<const f16> scale, std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const std::uint8_t> q, std::size_t group,
                               std::span<const f16> scale, std::span<float> y);
/// The notebook's: y = f16(q / inv) of the group, 0 where inv is 0.
QUANTBENCH_API void dequantize(std::span<const std::int8_t> q, std::size_t group,
                               std::span<const f16> inv, std::span<f16> y);
QUANTBENCH_API void dequantize(std::span<const std::uint8_t> q, std::size_t group,
                               std::span<const f16> inv, std::span<f16> y);

/// u4f and u4h: codes from 0 to 15, two a byte as those of s4, and scales of groups of 32, 64 or
/// 128; x is one row of weights. `zero`: a zero point for each group, two a byte, the even group in
/// the low nibble, in (groups+1)/2 bytes; or empty, and every zero point counts as 8. Refuses a
/// scale that overflows its type, naming the group.
QUANTBENCH_API void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q,
                             std::span<float> scale, std::span<std::uint8_t> zero);
QUANTBENCH_API void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q,
                             std::span<f16> scale, std::span<std::uint8_t> zero);
/// Back: y = (q - zero) * scale of the group.
QUANTBENCH_API void dequantize(std::span<const std::uint8_t> q, std::size_t group,
                               std::span<const float> scale, std::span<const std::uint8_t> zero,
                               std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const std::uint8_t> q, std::size_t group,
                               std::span<const f16> scale, std::span<const std::uint8_t> zero,
                               std::span<float> y);

/// Blocks of 32, 64 or 256 weights, as ggml encodes and decodes them: x.size() is a multiple of a
/// block's weights (kWeightsOf) and y holds a block for each. Refuses a scale that overflows f16,
/// naming the block.
QUANTBENCH_API void quantize(std::span<const float> x, std::span<BlockQ8_0> y);
QUANTBENCH_API void quantize(std::span<const float> x, std::span<BlockQ4_0> y);
QUANTBENCH_API void quantize(std::span<const float> x, std::span<BlockMxfp4> y);
QUANTBENCH_API void quantize(std::span<const float> x, std::span<BlockIq4Nl> y);
QUANTBENCH_API void quantize(std::span<const float> x, std::span<BlockQ4_1> y);
QUANTBENCH_API void quantize(std::span<const float> x, std::span<BlockQ5_0> y);
QUANTBENCH_API void quantize(std::span<const float> x, std::span<BlockTq2_0> y);
QUANTBENCH_API void quantize(std::span<const float> x, std::span<BlockNvfp4> y);
QUANTBENCH_API void quantize(std::span<const float> x, std::span<BlockIq4Xs> y);
QUANTBENCH_API void quantize(std::span<const float> x, std::span<BlockQ4_K> y);
QUANTBENCH_API void quantize(std::span<const float> x, std::span<BlockQ5_K> y);
QUANTBENCH_API void quantize(std::span<const float> x, std::span<BlockQ6_K> y);

/// Back: y holds x.size() times a block's weights. Refuses a scale that is not finite, naming the
/// block.
QUANTBENCH_API void dequantize(std::span<const BlockQ8_0> x, std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const BlockQ4_0> x, std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const BlockMxfp4> x, std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const BlockIq4Nl> x, std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const BlockQ4_1> x, std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const BlockQ5_0> x, std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const BlockTq2_0> x, std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const BlockNvfp4> x, std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const BlockIq4Xs> x, std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const BlockQ4_K> x, std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const BlockQ5_K> x, std::span<float> y);
QUANTBENCH_API void dequantize(std::span<const BlockQ6_K> x, std::span<float> y);

/// (q.size()+1)/2 bytes. Refuses a code outside [-8, 7], naming its index.
QUANTBENCH_API void pack(std::span<const std::int8_t> q, std::span<std::uint8_t> packed);
/// q.size() codes from exactly (q.size()+1)/2 bytes; the high nibble that an odd size leaves over
/// is not looked at.
QUANTBENCH_API void unpack(std::span<const std::uint8_t> packed, std::span<std::int8_t> q);

// A matrix of weights in any format of formats.inc.

/// Throws BadArgument if rows of k weights can't be of that format: k is not a multiple of the
/// block or of `group`, or so large that the bytes of a row can't be counted, or `group`, which is
/// looked at for the group formats only, is not 32, 64 or 128.
QUANTBENCH_API void check_rows(Format format, std::size_t k, std::size_t group);

/// The n rows of k weights at w, each row quantized as its format says: one scale a row, a scale
/// for each `group` of 32, 64 or 128, or blocks. f32 is copied, f16 rounded.
///
/// `values` takes n * info(format).row_bytes(k) bytes, aligned as the format's elements, `scales`
/// scales_bytes(n, k, group) bytes, aligned as a scale: of u4h first the scales of all rows, then
/// their zero points, or without these n * scales_of_row(k, group) * scale_bytes() bytes. Throws
/// BadArgument if a span has another size or alignment or overlaps another, and as check_rows()
/// and, for the values, quantize() do; rows before a refused one are then written.
QUANTBENCH_API void quantize_rows(Format format, std::span<const float> w, std::size_t n,
                                  std::size_t k, std::size_t group, std::span<std::byte> values,
                                  std::span<std::byte> scales);

/// Back to f32, with the same sizes.
QUANTBENCH_API void dequantize_rows(Format format, std::span<const std::byte> values,
                                    std::span<const std::byte> scales, std::size_t n, std::size_t k,
                                    std::size_t group, std::span<float> w);

}  // namespace qb::quantize
