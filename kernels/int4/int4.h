// Int4 quantization: symmetric, no zero-point (contract, section 3).
//
// clang-format off
//   format                  input  stored beside the codes           arithmetic
//   s4 tensor, channel      f32    f32 scale = absmax/7              x*inv, rne; back q*scale
//   s4 group 32, 64, 128    f32    the same scale, rounded to f16    the same codes; back q*f32(scale)
//   s4 of the notebook      f16    f16 inv = 7/absmax                every step rounded to f16
//   q4_0                    f32    f16 d in each 18-byte block       ggml's; back f32(d)*(nibble-8)
// clang-format on
//
// s4 codes lie two a byte, two's complement, the even index in the low nibble; groups follow each
// other along K, each from a byte of its own: (group+1)/2 bytes, the last high nibble 0 if group is
// odd.
#pragma once

#include <span>

#include "core/variant.h"
#include "int4/kernels.h"

namespace qb::int4 {

std::span<const Variant> room();

inline constexpr Op<quantize_f32_s4_fn> quantize_f32_s4{"quantize_f32_s4", room};
inline constexpr Op<quantize_f32_s4g_fn> quantize_f32_s4g{"quantize_f32_s4g", room};
inline constexpr Op<quantize_f16_s4_fn> quantize_f16_s4{"quantize_f16_s4", room};
inline constexpr Op<dequantize_s4_f32_fn> dequantize_s4_f32{"dequantize_s4_f32", room};
inline constexpr Op<dequantize_s4g_f32_fn> dequantize_s4g_f32{"dequantize_s4g_f32", room};
inline constexpr Op<dequantize_s4_f16_fn> dequantize_s4_f16{"dequantize_s4_f16", room};
inline constexpr Op<pack_s4_fn> pack_s4{"pack_s4", room};
inline constexpr Op<unpack_s4_fn> unpack_s4{"unpack_s4", room};
inline constexpr Op<quantize_f32_q4_0_fn> quantize_f32_q4_0{"quantize_f32_q4_0", room};
inline constexpr Op<dequantize_q4_0_f32_fn> dequantize_q4_0_f32{"dequantize_q4_0_f32", room};

// The checked entries run the best variant this CPU has. Each throws BadArgument, and writes
// nothing then, if `group` does not divide the number of elements, an output is too short (longer
// ones are fine), a scale to be read is not there for each group and no more, an output overlaps
// another argument, or an input is not finite (the message names the first such index).

/// Codes and f32 scales of x's runs of `group` elements: x.size() for one tensor, K per channel.
void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<float> scale);
/// Codes and f16 scales of groups of 32, 64 or 128; no other `group` is taken. Refuses a scale that
/// overflows f16 (absmax 458640 and up), naming the group; one that underflows decodes to zeros.
void quantize(std::span<const float> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<f16> scale);
/// The notebook's: codes and f16 inverse scales, at most 65504, of runs of `group` elements.
void quantize(std::span<const f16> x, std::size_t group, std::span<std::uint8_t> q,
              std::span<f16> inv);
/// Blocks of 32, as ggml encodes them. Refuses a d that overflows f16, naming the block.
void quantize(std::span<const float> x, std::span<BlockQ4_0> y);

/// y = q * scale of the group. q holds (group+1)/2 bytes for each group.
void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const float> scale,
                std::span<float> y);
/// The same from f16 scales; `group` is 32, 64 or 128.
void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const f16> scale,
                std::span<float> y);
/// The notebook's: y = f16(q / inv) of the group, 0 where inv is 0.
void dequantize(std::span<const std::uint8_t> q, std::size_t group, std::span<const f16> inv,
                std::span<f16> y);
/// y = d * (nibble - 8) of the block. Any block whose d is finite decodes.
void dequantize(std::span<const BlockQ4_0> x, std::span<float> y);

/// (q.size()+1)/2 bytes. Refuses a code outside [-8, 7], naming its index.
void pack(std::span<const std::int8_t> q, std::span<std::uint8_t> packed);
/// q.size() codes from exactly (q.size()+1)/2 bytes; the high nibble that an odd size leaves over
/// is not looked at.
void unpack(std::span<const std::uint8_t> packed, std::span<std::int8_t> q);

}  // namespace qb::int4
