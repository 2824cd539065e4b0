// SPDX-License-Identifier: Apache-2.0
// Checks of ggml's blocks, q8_0 and q4_0: from f32 and back, to the bit (contract, section 3).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "checks/dequantize.h"

namespace qb::test {

template <class Block>
using BlockQuantizer = void(const float*, std::size_t blocks, Block*);
template <class Block>
using BlockDequantizer = void(const Block*, std::size_t blocks, float*);

/// What the checks ask of a block format: the oracle's block and element, every kind of codes, hard
/// groups, and largest values for which id is 1.
template <class Block>
struct BlockFormat;

template <>
struct BlockFormat<BlockQ8_0> {
  using Code = std::int8_t;
  static constexpr float kOnes[] = {127.0f};
  static constexpr int kWhole = 127;
  static BlockQ8_0 quantized(std::span<const float> x) { return oracle::quantize_q8_0(x); }
  static float back(const BlockQ8_0& b, std::size_t j) { return oracle::dequantized(b.qs[j], b.d); }
  static std::vector<std::vector<float>> hard_groups() { return hard_groups_of_8_bits(kBlock); }
  /// 0 and -0 count as the same d: ggml stores either.
  static bool same(const BlockQ8_0& a, const BlockQ8_0& b) {
    return oracle::value(a.d) == oracle::value(b.d) && std::memcmp(a.qs, b.qs, sizeof a.qs) == 0;
  }
};

template <>
struct BlockFormat<BlockQ4_0> {
  using Code = std::uint8_t;
  static constexpr float kOnes[] = {-8.0f, 8.0f, -9.1f, 8.3f};
  static constexpr int kWhole = 8;
  static BlockQ4_0 quantized(std::span<const float> x) { return oracle::quantize_q4_0(x); }
  static float back(const BlockQ4_0& b, std::size_t j) { return oracle::dequantized(b, j); }
  static std::vector<std::vector<float>> hard_groups() {
    auto groups = hard_groups_of_4_bits(kBlock, 8);
    for (const auto& g : hard_groups_of_4_bits(kBlock, 7)) groups.push_back(g);
    return groups;
  }
  static bool same(const BlockQ4_0& a, const BlockQ4_0& b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
  }
};

template <class Block>
std::vector<Block> expected_blocks(std::span<const float> values) {
  std::vector<Block> want;
  for (std::size_t i = 0; i + kBlock <= values.size(); i += kBlock)
    want.push_back(BlockFormat<Block>::quantized(values.subspan(i, kBlock)));
  return want;
}

template <class Block>
void expect_same_blocks(std::span<const Block> got, std::span<const Block> want,
                        const std::string& what) {
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (BlockFormat<Block>::same(got[i], want[i])) continue;
    if (got[i].d != want[i].d)
      fail(what, ": d of block ", i, " is ", oracle::value(got[i].d), ", expected ",
           oracle::value(want[i].d));
    for (std::size_t j = 0; j < std::size(want[i].qs); ++j)
      if (got[i].qs[j] != want[i].qs[j])
        fail(what, ": byte ", j, " of block ", i, " is ", int(got[i].qs[j]), ", expected ",
             int(want[i].qs[j]));
  }
}

template <class Block>
void check_blocks(BlockQuantizer<Block>* kernel, const std::vector<float>& values,
                  Against side = Against::end) {
  const std::size_t blocks = values.size() / kBlock;
  const Guarded<float> x(values, side);
  Guarded<Block> y(blocks, side);
  kernel(x.data(), blocks, y.data());
  const std::vector<Block> want = expected_blocks<Block>(values);
  expect_same_blocks<Block>(y.span(), want, std::to_string(blocks) + " blocks");
}

template <class Block>
void check_block_counts(BlockQuantizer<Block>* kernel, Effort effort = Effort::thorough) {
  const std::size_t most = effort == Effort::brief ? 40 : 100;
  for (std::size_t blocks = 0; blocks <= most; ++blocks)
    for (const Against side : {Against::end, Against::begin})
      check_blocks(kernel, weights(blocks * kBlock, unsigned(blocks)), side);
}

template <class Block>
void check_hard_blocks(BlockQuantizer<Block>* kernel) {
  const auto groups = BlockFormat<Block>::hard_groups();
  check_blocks(kernel, joined(groups));
  for (const auto& g : groups) check_blocks(kernel, g);
}

/// Where id is 1 the elements meet the rounding as they are: all halves, and steps of one ulp
/// around them; then every `step`-th of all floats up to the extreme.
template <class Block>
void check_block_rounding(BlockQuantizer<Block>* kernel, std::uint32_t step = 577) {
  using F = BlockFormat<Block>;
  std::vector<float> values;
  for (int whole = 0; whole < F::kWhole; ++whole)
    for (int ulps = -20; ulps <= 20; ++ulps) {
      float v = float(whole) + 0.5f;
      for (int i = 0; i < std::abs(ulps); ++i) v = std::nextafter(v, ulps < 0 ? 0.0f : 200.0f);
      values.push_back(v);
      values.push_back(-v);
    }
  for (std::uint32_t bits = 0x3e000000; bits < (F::kWhole == 8 ? 0x41000000u : 0x42fe0000u);
       bits += step) {
    float v;
    std::memcpy(&v, &bits, sizeof v);
    values.push_back(bits & 1 ? -v : v);
  }
  for (const float extreme : F::kOnes) {
    std::vector<float> x;
    for (const float v : values) {
      if (x.size() % kBlock == 0) x.push_back(extreme);
      x.push_back(v);
    }
    x.resize(x.size() / kBlock * kBlock);
    check_blocks(kernel, x);
  }
}

/// The largest magnitude at two places, with every combination of signs: in q4_0 the first decides.
template <class Block>
void check_two_extremes(BlockQuantizer<Block>* kernel) {
  std::vector<float> x;
  for (std::size_t a = 0; a < kBlock; ++a)
    for (std::size_t b = 0; b < kBlock; ++b)
      for (const float first : {2.5f, -2.5f})
        for (const float second : {2.5f, -2.5f}) {
          std::vector<float> block(kBlock);
          for (std::size_t j = 0; j < kBlock; ++j)
            block[j] = float(int((a * 7 + b * 5 + j * 11) % 41) - 20) / 10.0f;
          block[b] = second;
          block[a] = first;
          x.insert(x.end(), block.begin(), block.end());
        }
  check_blocks(kernel, x);
}

template <class Block>
void check_blocks_every_start(BlockQuantizer<Block>* kernel) {
  const std::vector<float> values = weights(40 * kBlock, 4);
  std::vector<Block> memory(80);
  for (std::size_t start = 0; start < 8; ++start) {
    kernel(values.data() + start, 37, memory.data() + start);
    const auto want = expected_blocks<Block>(std::span(values).subspan(start, 37 * kBlock));
    expect_same_blocks<Block>({&memory[start], 37}, want, "start " + std::to_string(start));
  }
}

template <class Block>
void check_blocks_non_finite(BlockQuantizer<Block>* kernel) {
  const std::vector<float> values = weights(21 * kBlock, 6);
  const auto want = expected_blocks<Block>(values);
  for (const float special : {kNan, -kNan, kInf, -kInf})
    for (std::size_t hit = 0; hit < 21; ++hit) {
      Guarded<float> x(values, Against::end);
      Guarded<Block> y(21);
      x[hit * kBlock + hit] = special;
      kernel(x.data(), 21, y.data());
      for (std::size_t i = 0; i < 21; ++i)
        if (i != hit)
          expect_same_blocks<Block>({&y[i], 1}, {&want[i], 1}, "beside what is not finite");
    }
}

/// Blocks of all codes, also those that an encoder never writes, and of every kind of scale.
template <class Block>
std::vector<Block> blocks_of_codes(std::size_t blocks) {
  using Code = typename BlockFormat<Block>::Code;
  constexpr std::size_t kBytes = sizeof(Block::qs);
  std::vector<Block> x(blocks);
  const std::vector<Code> q = Layout<Code>::codes(blocks, kBlock);
  for (std::size_t i = 0; i < blocks; ++i) {
    x[i].d = kHalfScales[i % kHalfScales.size()];
    if (i % 5 == 1) x[i].d = f16(unsigned(x[i].d) | 0x8000u);  // nothing forbids a negative d
    std::copy_n(&q[i * kBytes], kBytes, x[i].qs);
    if (kBytes == kBlock) x[i].qs[i % kBlock] = Code(-128);
  }
  return x;
}

template <class Block>
void check_dequantize_block_counts(BlockDequantizer<Block>* kernel) {
  for (std::size_t blocks = 0; blocks <= 70; ++blocks)
    for (const Against side : {Against::end, Against::begin}) {
      const Guarded<Block> x(blocks_of_codes<Block>(blocks), side);
      Guarded<float> y(blocks * kBlock, side);
      kernel(x.data(), blocks, y.data());
      std::vector<float> want;
      for (const Block& block : std::span(x.data(), blocks))
        for (std::size_t j = 0; j < kBlock; ++j) want.push_back(BlockFormat<Block>::back(block, j));
      expect_same(y, want, std::to_string(blocks) + " blocks");
    }
}

template <class Block>
void check_every_block_scale(BlockDequantizer<Block>* kernel, unsigned step = 1) {
  Block x = blocks_of_codes<Block>(1)[0];
  for (unsigned bits = 0; bits < 0x10000; bits += step) {
    if ((bits & 0x7c00u) == 0x7c00u) continue;
    x.d = f16(bits);
    std::array<float, kBlock> y, want;
    kernel(&x, 1, y.data());
    for (std::size_t j = 0; j < kBlock; ++j) want[j] = BlockFormat<Block>::back(x, j);
    expect_same(y, want, "scale " + std::to_string(oracle::value(x.d)));
  }
}

template <class Block>
void check_non_finite_block_scale(BlockDequantizer<Block>* kernel) {
  std::vector<Block> x = blocks_of_codes<Block>(9);
  for (Block& block : x) block.d = f16(0x3c00);
  x[4].d = f16(0x7e00);
  Guarded<float> y(9 * kBlock);
  kernel(x.data(), 9, y.data());
  for (std::size_t j = 0; j < y.size(); ++j)
    if (j / kBlock != 4 && y[j] != BlockFormat<Block>::back(x[j / kBlock], j % kBlock))
      fail("a scale that is not finite spoils [", j, "], of another block");
}

}  // namespace qb::test
