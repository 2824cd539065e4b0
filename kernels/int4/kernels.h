// The kernels of this room, raw: no checks. Included by every instruction set's file.
#pragma once

#include "core/declare.h"
#include "core/types.h"
#include "formats/blocks.h"

namespace qb::int4 {

// Contract, section 3. As kernels/int8/kernels.h, with qmax = 7 and two codes a byte, two's
// complement, low nibble = even index. Every group starts on a byte of its own: group i's codes are
// the (len+1)/2 bytes at q + i*((len+1)/2), and an odd len leaves its last high nibble 0.

using quantize_f32_s4_fn = void(const float* x, std::size_t groups, std::size_t len,
                                std::uint8_t* q, float* scale);
using quantize_f32_s4g_fn = void(const float* x, std::size_t groups, std::size_t len,
                                 std::uint8_t* q, f16* scale);
using quantize_f16_s4_fn = void(const f16* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                                f16* inv);
using dequantize_s4_f32_fn = void(const std::uint8_t* q, std::size_t groups, std::size_t len,
                                  const float* scale, float* y);
using dequantize_s4g_f32_fn = void(const std::uint8_t* q, std::size_t groups, std::size_t len,
                                   const f16* scale, float* y);
using dequantize_s4_f16_fn = void(const std::uint8_t* q, std::size_t groups, std::size_t len,
                                  const f16* inv, f16* y);
/// (n+1)/2 bytes from n codes in [-8, 7]; an odd n leaves the last high nibble 0.
using pack_s4_fn = void(const std::int8_t* q, std::size_t n, std::uint8_t* packed);
/// n codes from (n+1)/2 bytes.
using unpack_s4_fn = void(const std::uint8_t* packed, std::size_t n, std::int8_t* q);
/// ggml's q4_0: d = m/-8 with m the signed value of largest magnitude (the first on a tie),
/// stored nibble = min(15, trunc(x*(1/d) + 8.5)); d stored as f16. A block whose 1/d is not finite
/// is treated as zero: all nibbles 8, and d, below 2^-127, is a zero in f16 (with ggml's sign: a
/// block of zeros has d = 0/-8 = -0).
using quantize_f32_q4_0_fn = void(const float* x, std::size_t blocks, BlockQ4_0* y);
/// y = f32(d)*(nibble - 8).
using dequantize_q4_0_f32_fn = void(const BlockQ4_0* x, std::size_t blocks, float* y);

#define QB_VARIANT QB_DECLARE_VARIANT
#include "int4/variants.inc"
#undef QB_VARIANT

}  // namespace qb::int4
