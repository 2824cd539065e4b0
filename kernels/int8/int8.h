// Int8 quantization: symmetric, no zero-point (contract, section 3).
//
// clang-format off
//   format                  input  stored beside the codes           arithmetic
//   s8 tensor, channel      f32    f32 scale = absmax/127            x*inv, rne; back q*scale
//   s8 group 32, 64, 128    f32    the same scale, rounded to f16    the same codes; back q*f32(scale)
//   s8 of the notebook      f16    f16 inv = 127/absmax              every step rounded to f16
//   q8_0                    f32    f16 d in each 34-byte block       ggml's; back f32(d)*q
// clang-format on
//
// s8 codes are row-major int8 like the weights they stand for; groups follow each other along K.
#pragma once

#include <span>

#include "core/variant.h"
#include "int8/kernels.h"

namespace qb::int8 {

std::span<const Variant> room();

inline constexpr Op<quantize_f32_s8_fn> quantize_f32_s8{"quantize_f32_s8", room};
inline constexpr Op<quantize_f32_s8g_fn> quantize_f32_s8g{"quantize_f32_s8g", room};
inline constexpr Op<quantize_f16_s8_fn> quantize_f16_s8{"quantize_f16_s8", room};
inline constexpr Op<dequantize_s8_f32_fn> dequantize_s8_f32{"dequantize_s8_f32", room};
inline constexpr Op<dequantize_s8g_f32_fn> dequantize_s8g_f32{"dequantize_s8g_f32", room};
inline constexpr Op<dequantize_s8_f16_fn> dequantize_s8_f16{"dequantize_s8_f16", room};
inline constexpr Op<quantize_f32_q8_0_fn> quantize_f32_q8_0{"quantize_f32_q8_0", room};
inline constexpr Op<dequantize_q8_0_f32_fn> dequantize_q8_0_f32{"dequantize_q8_0_f32", room};

// The checked entries run the best variant this CPU has. Each throws BadArgument, and writes
// nothing then, if `group` does not divide the number of elements, an output is too short (longer
// ones are fine), a scale to be read is not there for each group and no more, an output overlaps
// another argument, or an input is not finite (the message names the first such index).

/// Codes and f32 scales of x's runs of `group` elements: x.size() for one tensor, K per channel.
void quantize(std::span<const float> x, std::size_t group, std::span<std::int8_t> q,
              std::span<float> scale);
/// Codes and f16 scales of groups of 32, 64 or 128; no other `group` is taken. Refuses a scale that
/// overflows f16 (absmax 8321040 and up), naming the group; one that underflows decodes to zeros.
void quantize(std::span<const float> x, std::size_t group, std::span<std::int8_t> q,
              std::span<f16> scale);
/// The notebook's: codes and f16 inverse scales, at most 65504, of runs of `group` elements.
void quantize(std::span<const f16> x, std::size_t group, std::span<std::int8_t> q,
              std::span<f16> inv);
/// Blocks of 32, as ggml encodes them. Refuses a d that overflows f16, naming the block.
void quantize(std::span<const float> x, std::span<BlockQ8_0> y);

/// y = q * scale of the group.
void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const float> scale,
                std::span<float> y);
/// The same from f16 scales; `group` is 32, 64 or 128.
void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const f16> scale,
                std::span<float> y);
/// The notebook's: y = f16(q / inv) of the group, 0 where inv is 0.
void dequantize(std::span<const std::int8_t> q, std::size_t group, std::span<const f16> inv,
                std::span<f16> y);
/// y = d * q of the block. Any block whose d is finite decodes.
void dequantize(std::span<const BlockQ8_0> x, std::span<float> y);

}  // namespace qb::int8
