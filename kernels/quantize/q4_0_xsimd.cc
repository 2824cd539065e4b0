// SPDX-License-Identifier: Apache-2.0
// q4_0, portable.
#include "quantize/kernels.h"
#include "quantize/s4_xsimd.h"

namespace qb::quantize {
namespace {

inline Float larger(const Float& a, const Float& b) { return xsimd::max(a, b); }
inline Float smaller(const Float& a, const Float& b) { return xsimd::min(a, b); }

/// The first of a block's values of that magnitude.
inline float first_of_magnitude(const float* x, float magnitude) {
  for (std::size_t j = 0; j < kBlock; ++j)
    if (__builtin_fabsf(x[j]) == magnitude) return x[j];
  return 0.0f;
}

/// Lane i: the signed value of the largest magnitude in block i, the first on a tie; +0 if all are
/// zero.
inline Float signed_extremes(const float* x) {
  Float high[kLanes], low[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) {
    high[i] = low[i] = Float::load_unaligned(x + i * kBlock);
    for (std::size_t j = kLanes; j < kBlock; j += kLanes) {
      const Float v = Float::load_unaligned(x + i * kBlock + j);
      high[i] = larger(high[i], v);
      low[i] = smaller(low[i], v);
    }
  }
  const Float highest = reduce_lanes(high, larger), lowest = reduce_lanes(low, smaller);
  const Float extreme = xsimd::select(-lowest > highest, lowest, highest) + Float(0.0f);
  if (!xsimd::any((highest == -lowest) & (extreme != Float(0.0f)))) return extreme;
  float lane[kLanes];  // rare
  extreme.store_unaligned(lane);
  for (std::size_t i = 0; i < kLanes; ++i)
    lane[i] = first_of_magnitude(x + i * kBlock, __builtin_fabsf(lane[i])) + 0.0f;
  return Float::load_unaligned(lane);
}

/// min(15, trunc(x*id + 8.5)). Clamped first, so that a non-finite value converts too.
inline Int nibble(const float* x, const Float& id) {
  const Float v = Float::load_unaligned(x) * id + Float(8.5f);
  return xsimd::to_int(xsimd::max(xsimd::min(v, Float(15.0f)), Float(0.0f)));
}

inline Int two_nibbles(const float* x, const Float& id) {
  return nibble(x, id) | (nibble(x + kBlock / 2, id) << 4);
}

/// kLanes blocks.
inline void encode_blocks(const float* x, BlockQ4_0* y) {
  const Float d = signed_extremes(x) * Float(-0.125f);
  float scale[kLanes], factor[kLanes];
  d.store_unaligned(scale);
  // A block of zeros, or of a lane to spare, has the code 8 whatever id is: 1 divides nothing by 0.
  // By bits, since clang would divide first and select among the quotients.
  const Float divisor = d | xsimd::select(d == Float(0.0f), Float(1.0f), Float(0.0f));
  finite_or_zero(quotient(Float(1.0f), divisor)).store_unaligned(factor);
  for (std::size_t i = 0; i < kLanes; ++i, x += kBlock, ++y) {
    y->d = f32_to_f16(scale[i]);
    const Float id(factor[i]);
    Word byte[16 / Word::size];
    for (std::size_t j = 0; j < kBlock / 2; j += Word::size)
      byte[j / Word::size] = narrow(two_nibbles(x + j, id), two_nibbles(x + j + kLanes, id));
    store_bytes(y->qs, byte);
  }
}

}  // namespace

void QB_SYMBOL(quantize_f32_q4_0)(const float* x, std::size_t blocks, BlockQ4_0* y) {
  std::size_t i = 0;
  for (; i + kLanes <= blocks; i += kLanes) encode_blocks(x + i * kBlock, y + i);
  if (i < blocks) {
    float rest[kLanes * kBlock] = {};
    BlockQ4_0 encoded[kLanes];
    __builtin_memcpy(rest, x + i * kBlock, (blocks - i) * kBlock * sizeof(float));
    encode_blocks(rest, encoded);
    __builtin_memcpy(y + i, encoded, (blocks - i) * sizeof(BlockQ4_0));
  }
}

void QB_SYMBOL(dequantize_q4_0_f32)(const BlockQ4_0* x, std::size_t blocks, float* y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    const Float d(f16_to_f32(x[i].d));
    for (std::size_t j = 0; j < kBlock / 2; j += kLanes) {
      const Int both = load8(x[i].qs + j);
      (xsimd::to_float((both & Int(15)) - Int(8)) * d).store_unaligned(y + j);
      (xsimd::to_float((both >> 4) - Int(8)) * d).store_unaligned(y + kBlock / 2 + j);
    }
  }
}

}  // namespace qb::quantize
