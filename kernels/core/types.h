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

/// A block format's group length along K (ggml's QK8_0 and QK4_0).
inline constexpr std::size_t kBlock = 32;

/// GGUF `q8_0`: 34 bytes for 32 weights, w[j] = f32(d) * qs[j].
struct BlockQ8_0 {
  f16 d;
  std::int8_t qs[kBlock];
};
static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 2);

/// GGUF `q4_0`: 18 bytes for 32 weights. Byte j holds element j in the low nibble and element j+16
/// in the high one, each stored +8: w[j] = f32(d) * (nibble - 8).
struct BlockQ4_0 {
  f16 d;
  std::uint8_t qs[kBlock / 2];
};
static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 2);

}  // namespace qb
