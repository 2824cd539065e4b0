// SPDX-License-Identifier: Apache-2.0
// The kinds of codes and of scales that products know. A format has one of each (source.h); every
// vector load, decoder and layout of this room goes by them.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <cstddef>

#include "core/scalar_half.h"
#include "quantbench/blocks.h"

namespace qb::matmul {
namespace {

// --- Kinds of codes ----------------------------------------------------------------------------

struct Float32 {
  static constexpr int bits = 32;
};
struct Float16 {
  static constexpr int bits = 16;
};
/// Signed bytes.
struct Bytes {
  static constexpr int bits = 8;
};
/// Bytes for 0 to 255.
struct UnsignedBytes {
  static constexpr int bits = 8;
};
/// 4 bits, 0 to 15, for the integers from -8 to 7.
struct Nibbles {
  static constexpr int bits = 4;
  static constexpr int value(int nibble) { return nibble - 8; }
  static constexpr float kFloats[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
};
/// 4 bits, the index of one of 16 int8 values.
template <const std::int8_t (&values)[16]>
struct Table {
#define QB_EACH_VALUE(f)                                                                      \
  {                                                                                           \
    f(values[0]), f(values[1]), f(values[2]), f(values[3]), f(values[4]), f(values[5]),       \
        f(values[6]), f(values[7]), f(values[8]), f(values[9]), f(values[10]), f(values[11]), \
        f(values[12]), f(values[13]), f(values[14]), f(values[15])                            \
  }
  static constexpr int bits = 4;
  // Copies, since an array of blocks.h that is read by address would be shared weakly.
  alignas(16) static constexpr std::int8_t kValues[16] = QB_EACH_VALUE(std::int8_t);
  alignas(64) static constexpr float kFloats[16] = QB_EACH_VALUE(float);
  /// The values + 128.
#define QB_RAISED(v) static_cast<std::uint8_t>((v) + 128)
  alignas(16) static constexpr std::uint8_t kRaised[16] = QB_EACH_VALUE(QB_RAISED);
#undef QB_RAISED
#undef QB_EACH_VALUE
  static constexpr int value(int index) { return kValues[index]; }
};
template <class Codes>
constexpr bool kIsTable = false;
template <const std::int8_t (&values)[16]>
constexpr bool kIsTable<Table<values>> = true;

inline constexpr std::int8_t kCount[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
/// 4 bits, 0 to 15, for just these. Who has no shorter way looks them up.
using UnsignedNibbles = Table<kCount>;
template <class Codes>
constexpr bool kIsUnsigned = __is_same(Codes, UnsignedNibbles) || __is_same(Codes, UnsignedBytes);

// --- Kinds of scales ---------------------------------------------------------------------------

struct None {};

/// Both exact in f32, and so is a code times the scale: one FMA gives the weight.
struct ScaleAndMinimum {
  float scale, minimum;
};
/// The same as products of two, d * scale and dmin * minimum, of which groups of a block of 256
/// share the first.
struct ScaleAndMinimumOf256 {
  qb::f16 d, dmin;
  std::uint8_t scale, minimum;
};
/// The same as two f16, which each group has to itself.
struct HalfScaleAndMinimum {
  qb::f16 scale, minimum;
};
/// For each group of 16, half of what an activation's scale is for. It is exact in f32, and so is a
/// code times it.
struct ScaleOf16 {
  float scale;
};
/// The scale of a group of 16 as an f16 whose sign and last seven bits are 0: a byte holds the
/// rest.
struct HalfOf16 {
  qb::f16 scale;
};
/// The scale of a group of 32. Exact in f32, and so is a code times it.
struct ScaleOf32 {
  float scale;
};
/// A ScaleOf16 or ScaleOf32 as d * scale, where all groups of a block of 256 share d.
struct ScaleOf256 {
  qb::f16 d;
  std::int8_t scale;
};
/// Codes that share a scale at the least: what products add up as integers.
template <class Scale>
constexpr std::size_t kUnitOf = kBlock;
template <>
inline constexpr std::size_t kUnitOf<ScaleOf16> = 16;
template <>
inline constexpr std::size_t kUnitOf<HalfOf16> = 16;

template <class Scale>
constexpr bool kHasMinimum = false;
template <>
inline constexpr bool kHasMinimum<ScaleAndMinimum> = true;
/// Whether scales of that type belong to groups, and not to outputs.
template <class Scale>
constexpr bool kOfGroups = !__is_same(Scale, float) && !__is_same(Scale, None);

[[maybe_unused]] inline float to_f32(float scale) { return scale; }
[[maybe_unused]] inline float to_f32(qb::f16 scale) { return f16_to_f32(scale); }
[[maybe_unused]] inline float to_f32(qb::bf16 scale) { return bf16_to_f32(scale); }
[[maybe_unused]] inline float to_f32(ScaleAndMinimum pair) { return pair.scale; }
[[maybe_unused]] inline float to_f32(ScaleOf16 group) { return group.scale; }
[[maybe_unused]] inline float to_f32(ScaleOf32 group) { return group.scale; }
[[maybe_unused]] inline float to_f32(HalfOf16 group) { return f16_to_f32(group.scale); }

}  // namespace
}  // namespace qb::matmul
