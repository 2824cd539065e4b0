// The storage of the block formats: a struct per format, as its bytes lie in a file or a tensor.
// Included by every instruction set's translation unit, so nothing here may emit code
// (docs/decisions/0002-odr.md).
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/types.h"

namespace qb {

/// Weights of a block of 32 (ggml's QK8_0, QK4_0, QK4_NL, QK_MXFP4).
inline constexpr std::size_t kBlock = 32;

/// GGUF `q8_0`: w[j] = f32(d) * qs[j].
struct BlockQ8_0 {
  f16 d;
  std::int8_t qs[kBlock];
};
static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 2);

/// GGUF `q4_0`. Byte j holds element j in the low nibble and element j+16 in the high one, each
/// stored +8: w[j] = f32(d) * (nibble - 8).
struct BlockQ4_0 {
  f16 d;
  std::uint8_t qs[kBlock / 2];
};
static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 2);

/// GGUF `iq4_nl`. Nibbles lie as in q4_0 and index a table of 16 int8 values:
/// w[j] = f32(d) * kIq4Values[nibble].
struct BlockIq4Nl {
  f16 d;
  std::uint8_t qs[kBlock / 2];
};
static_assert(sizeof(BlockIq4Nl) == 18 && alignof(BlockIq4Nl) == 2);

/// OCP `mxfp4`, as GGUF stores it. Nibbles lie as in q4_0 and are E2M1 numbers; e is a power of two
/// (E8M0): w[j] = 2^(e-128) * kE2m1Doubled[nibble], the table's values being doubled to be
/// integers.
struct BlockMxfp4 {
  std::uint8_t e;
  std::uint8_t qs[kBlock / 2];
};
static_assert(sizeof(BlockMxfp4) == 17 && alignof(BlockMxfp4) == 1);

/// The values of iq4_nl's (and iq4_xs') indices.
inline constexpr std::int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};
/// The values of E2M1 numbers, times two.
inline constexpr std::int8_t kE2m1Doubled[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                                 0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace qb
