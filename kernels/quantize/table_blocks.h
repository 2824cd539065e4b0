// SPDX-License-Identifier: Apache-2.0
// The block formats whose 4-bit codes index a table of 16 values, for any instruction set: what
// their scales are, how a scale and codes are found, and the loops over blocks. A file of this room
// brings the vectors and instantiates the kernels (QB_TABLE_KERNELS).
//
// Encoding takes one block a lane (lanes.h).
//
// `V` is the instruction set's Lanes (lanes.h) and
//
//   decode<kStream>(const uint8_t* qs, const TableOf16&, float scale, float* y)   one block
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantbench/blocks.h"
#include "quantbench/types.h"
#include "quantize/lanes.h"
#include "quantize/table_of_16.h"

namespace qb::quantize {
namespace {

/// Of a block format: its table, the scale of a block, and the encoder of V::lanes() blocks.
template <class Block>
struct TableFormat;

/// e = floor(log2 absmax) - 2 + 127, at least 0; a code is the nearest of +-{0, 0.5, 1, 1.5, 2, 3,
/// 4, 6} * 2^(e-127), the smaller magnitude on a tie.
template <>
struct TableFormat<BlockMxfp4> {
  static constexpr TableOf16 kTable = table_of(kE2m1Doubled);

  /// 2^(e-128), by the bits of a float: subnormal for the first two.
  template <class V>
  static float scale(const BlockMxfp4& block) {
    const std::uint32_t e = block.e;
    return __builtin_bit_cast(float, e < 2 ? 0x200000u << e : (e - 1) << 23);
  }

  template <class V>
  static void encode(const float* columns, std::uint32_t* codes, BlockMxfp4* y) {
    // Between neighbours of 0, 0.5, 1, 1.5, 2, 3, 4, 6.
    constexpr float kMiddles[] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f};
    const std::size_t lanes = V::lanes();
    typename V::I most = V::words(0);
    for (std::size_t j = 0; j < kBlock; ++j)
      most = V::largest(most, V::bits(V::absolute(V::load(columns + j * lanes))));
    const typename V::I exponent = V::template shift_right<23>(most);
    const typename V::I e = V::largest(V::minus(exponent, V::words(2)), V::words(0));
    // 2^(127-e): its products are exact, but for those far below the first midpoint.
    const typename V::F inverse = V::floats(V::template shift_left<23>(V::minus(V::words(254), e)));
    for (std::size_t j = 0; j < kBlock; ++j) {
      const typename V::F v = V::multiply(V::load(columns + j * lanes), inverse);
      const typename V::F magnitude = V::absolute(v);
      typename V::I code = V::words(0);
      for (const float middle : kMiddles)
        code = V::plus_where(code, V::less(V::set(middle), magnitude), 1);
      code = V::plus_where(code, V::less(v, V::set(-kMiddles[0])), 8);
      V::store(codes + j * lanes, code);
    }
    alignas(64) std::uint32_t stored[V::kMostLanes];
    V::store(stored, e);
    for (std::size_t i = 0; i < lanes; ++i) y[i].e = std::uint8_t(stored[i]);
  }
};

/// d is the least-squares scale, with weights x^2, for the codes of x*(T[0]/m), m being the signed
/// value of largest magnitude (the first on a tie). Where |m| is below 1e-15, d and codes are 0.
template <>
struct TableFormat<BlockIq4Nl> {
  static constexpr TableOf16 kTable = table_of(kIq4Values);

  template <class V>
  static float scale(const BlockIq4Nl& block) {
    return V::widened(block.d);
  }

  template <class V>
  static void encode(const float* columns, std::uint32_t* codes, BlockIq4Nl* y) {
    using F = typename V::F;
    const std::size_t lanes = V::lanes();
    F most = V::set(0), extreme = V::set(0);
    for (std::size_t j = 0; j < kBlock; ++j) {
      const F x = V::load(columns + j * lanes), magnitude = V::absolute(x);
      const typename V::M larger = V::less(most, magnitude);
      most = V::select(larger, magnitude, most);
      extreme = V::select(larger, x, extreme);
    }
    const typename V::M zero = V::less(most, V::set(1e-15f));
    // So that a block of zeros, or a lane to spare, divides nothing by 0. A sum, since clang would
    // divide first and select among the quotients.
    const F one_if_zero = V::select(zero, V::set(1), V::set(0));
    const F divisor = V::divide(V::add(extreme, one_if_zero), V::set(kTable.values[0]));
    const F inverse = V::divide(V::set(1), divisor);
    F sum_xq = V::set(0), sum_qq = V::set(0);
    for (std::size_t j = 0; j < kBlock; ++j) {
      const F x = V::load(columns + j * lanes);
      typename V::I code = V::words(0);
      F q = V::set(0);
      V::nearest(V::multiply(inverse, x), kTable, code, q);
      const F wq = V::multiply(V::multiply(x, x), q);
      sum_xq = V::add(sum_xq, V::multiply(wq, x));
      sum_qq = V::add(sum_qq, V::multiply(wq, q));
      V::store(codes + j * lanes, V::only_where_not(zero, code));
    }
    alignas(64) float d[V::kMostLanes];
    const F quotient = V::divide(sum_xq, V::add(sum_qq, one_if_zero));
    V::store(d, V::select(zero, V::set(0), quotient));
    for (std::size_t i = 0; i < lanes; ++i) y[i].d = V::narrowed(d[i]);
  }
};

/// Codes and stored nibbles of V::lanes() blocks: word k of a block is its bytes 4k to 4k+3, byte j
/// has code j in its low and code j+16 in its high nibble.
template <class V, class Block>
inline void store_codes(const std::uint32_t* codes, Block* y) {
  const std::size_t lanes = V::lanes();
  const auto byte = [=](std::size_t j) {
    return V::any_of(V::load(codes + j * lanes),
                     V::template shift_left<4>(V::load(codes + (j + kBlock / 2) * lanes)));
  };
  for (std::size_t j = 0; j < kBlock / 2; j += 4) {
    alignas(64) std::uint32_t words[V::kMostLanes];
    V::store(words, V::any_of(V::any_of(byte(j), V::template shift_left<8>(byte(j + 1))),
                              V::any_of(V::template shift_left<16>(byte(j + 2)),
                                        V::template shift_left<24>(byte(j + 3)))));
    for (std::size_t i = 0; i < lanes; ++i)
      __builtin_memcpy(y[i].qs + j, words + i, sizeof words[i]);
  }
}

template <class V, class Block>
inline void encode_blocks(const float* x, std::size_t blocks, Block* y) {
  alignas(64) float columns[kBlock * V::kMostLanes];
  alignas(64) std::uint32_t codes[kBlock * V::kMostLanes];
  const std::size_t lanes = V::lanes();
  const auto encode = [&](const float* from, Block* to) {
    V::transpose(from, kBlock, columns, lanes);
    TableFormat<Block>::template encode<V>(columns, codes, to);
    store_codes<V>(codes, to);
  };
  for (; blocks >= lanes; blocks -= lanes, x += lanes * kBlock, y += lanes) encode(x, y);
  if (blocks == 0) return;
  float rest[kBlock * V::kMostLanes] = {};
  Block encoded[V::kMostLanes];
  __builtin_memcpy(rest, x, blocks * kBlock * sizeof *x);
  encode(rest, encoded);
  __builtin_memcpy(y, encoded, blocks * sizeof *y);
}

template <class V, class Block>
inline void decode_blocks(const Block* x, std::size_t blocks, float* y) {
  using Format = TableFormat<Block>;
  if (V::streams(y, blocks * sizeof *x, blocks * kBlock * sizeof *y)) {
    for (std::size_t i = 0; i < blocks; ++i, y += kBlock)
      V::template decode<true>(x[i].qs, Format::kTable, Format::template scale<V>(x[i]), y);
    V::fence();
  } else {
    for (std::size_t i = 0; i < blocks; ++i, y += kBlock)
      V::template decode<false>(x[i].qs, Format::kTable, Format::template scale<V>(x[i]), y);
  }
}

}  // namespace
}  // namespace qb::quantize

/// The kernels of one format of QB_TABLE_FORMATS.
#define QB_TABLE_KERNELS(format, Block, ...)                                                \
  void QB_SYMBOL(quantize_f32_##format)(const float* x, std::size_t blocks, Block* y) {     \
    encode_blocks<Vectors>(x, blocks, y);                                                   \
  }                                                                                         \
  void QB_SYMBOL(dequantize_##format##_f32)(const Block* x, std::size_t blocks, float* y) { \
    decode_blocks<Vectors>(x, blocks, y);                                                   \
  }
