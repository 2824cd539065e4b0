// SPDX-License-Identifier: Apache-2.0
// Quantization of a matrix of weights into any format of formats/formats.inc, and back.
#pragma once

#include <cstddef>
#include <span>

#include "formats/format.h"

namespace qb::quantize {

/// Throws BadArgument if rows of k weights can't be of that format: k is not a multiple of the
/// block or of `group`, or `group`, which is looked at for the group formats only, is not 32, 64 or
/// 128.
void check_rows(Format format, std::size_t k, std::size_t group);

/// The n rows of k weights at w, each row quantized as its format says: one scale a row, a scale
/// for each `group` of 32, 64 or 128, or blocks. f32 is copied, f16 rounded.
///
/// `values` takes n * info(format).row_bytes(k) bytes, aligned as the format's elements, `scales`
/// n * scales_of_row(k, group) * scale_bytes() bytes, aligned as a scale. Throws BadArgument if a
/// span has another size or alignment, and as check_rows() and, for the values, quantize() do; rows
/// before a refused one are then written.
void quantize_rows(Format format, std::span<const float> w, std::size_t n, std::size_t k,
                   std::size_t group, std::span<std::byte> values, std::span<std::byte> scales);

/// Back to f32, with the same sizes.
void dequantize_rows(Format format, std::span<const std::byte> values,
                     std::span<const std::byte> scales, std::size_t n, std::size_t k,
                     std::size_t group, std::span<float> w);

}  // namespace qb::quantize
