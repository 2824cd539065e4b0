// SPDX-License-Identifier: Apache-2.0
// Storage types of the suite. Included by every instruction set's translation unit, so nothing here
// may emit code: no inline functions, no templates (see docs/decisions/0002-odr.md).
#pragma once

#include <cstddef>
#include <cstdint>

namespace qb {

/// IEEE binary16, as bits. Strong types, so that a half is never taken for a bfloat16 or a count.
enum class f16 : std::uint16_t {};
/// bfloat16 (the high half of a binary32), as bits.
enum class bf16 : std::uint16_t {};
/// OCP E4M3 (ml_dtypes' float8_e4m3fn), as bits: sign, four bits of exponent (bias 7), three of
/// mantissa. No infinities; the largest magnitude is 448; 0x7f and 0xff are NaN.
enum class e4m3 : std::uint8_t {};
/// OCP E5M2, as bits: the high byte of a binary16.
enum class e5m2 : std::uint8_t {};

}  // namespace qb
