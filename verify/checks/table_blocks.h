// SPDX-License-Identifier: Apache-2.0
// Checks of the block formats whose 4-bit codes index a table (quantize/table_blocks.h), whatever
// their table and scale: from f32 and back, to the bit (contract, section 3).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "checks/blocks.h"
#include "core/stream.h"
#include "oracle/blocks.h"
#include "support/guarded.h"

namespace qb::test {

/// The i-th of all scales: the bits of an f16, or an exponent.
template <class Block>
Block with_scale(unsigned i) {
  Block block{};
  if constexpr (requires { block.e; })
    block.e = std::uint8_t(i);
  else
    block.d = f16(i);
  return block;
}

/// All scales that are numbers, 255 of E8M0 among them, and the scale 1.
template <class Block>
std::vector<Block> every_scale() {
  std::vector<Block> list;
  if constexpr (requires(Block b) { b.e; }) {
    for (unsigned e = 0; e < 256; ++e) list.push_back(with_scale<Block>(e));
  } else {
    for (unsigned bits = 0; bits < 0x10000; bits += 7)
      if ((bits & 0x7c00u) != 0x7c00u) list.push_back(with_scale<Block>(bits));
  }
  return list;
}
template <class Block>
Block unit() {
  if constexpr (requires(Block b) { b.e; })
    return with_scale<Block>(127);
  else
    return with_scale<Block>(0x3c00);
}

/// What the codes stand for under the scale 1, by code.
template <class Block>
std::vector<float> values_by_code() {
  Block block = unit<Block>();
  for (std::size_t j = 0; j < kBlock / 2; ++j) block.qs[j] = std::uint8_t(j);
  std::vector<float> list;
  for (std::size_t j = 0; j < kBlock / 2; ++j) list.push_back(oracle::decoded(block, j));
  return list;
}

/// Beyond this sums that find a scale may overflow.
template <class Block>
constexpr float largest_magnitude() {
  if constexpr (requires(Block b) { b.e; })
    return kMost;
  else
    return 1e12f;
}

template <class Block>
std::vector<Block> expected_table_blocks(std::span<const float> x) {
  std::vector<Block> want(x.size() / kBlock);
  for (std::size_t i = 0; i < want.size(); ++i)
    oracle::encode(x.subspan(i * kBlock, kBlock), want[i]);
  return want;
}

template <class Block>
void expect_same_table_blocks(std::span<const Block> got, std::span<const Block> want,
                              const std::string& what) {
  for (std::size_t i = 0; i < want.size(); ++i)
    for (std::size_t byte = 0; byte < sizeof(Block); ++byte) {
      const int is = reinterpret_cast<const std::uint8_t*>(&got[i])[byte];
      const int must_be = reinterpret_cast<const std::uint8_t*>(&want[i])[byte];
      if (is != must_be)
        fail(what, ": byte ", byte, " of block ", i, " of ", want.size(), " is ", is, ", expected ",
             must_be);
    }
}

template <class Block>
void check_table_encode(BlockQuantizer<Block>* kernel, const std::vector<float>& values,
                        Against side = Against::end) {
  const Guarded<float> x(values, side);
  Guarded<Block> y(values.size() / kBlock, side);
  kernel(x.data(), y.size(), y.data());
  expect_same_table_blocks<Block>(y.span(), expected_table_blocks<Block>(values), "encoded");
}

template <class Block>
void check_table_counts(BlockQuantizer<Block>* kernel, std::size_t most = 70) {
  for (std::size_t blocks = 0; blocks <= most; ++blocks)
    for (const Against side : {Against::end, Against::begin})
      check_table_encode<Block>(kernel, weights(blocks * kBlock, unsigned(blocks)), side);
}

/// Values half way between a format's, and a step of one ulp beside them, at many scales; the
/// largest magnitude first and last, with either sign; zeros, subnormals, the largest there are.
template <class Block>
std::vector<float> hard_table_values() {
  std::vector<float> x;
  const auto block = [&](auto value_at) {
    for (std::size_t j = 0; j < kBlock; ++j) x.push_back(value_at(j));
  };
  const std::vector<float> values = values_by_code<Block>();
  float top = 0;
  for (const float v : values)
    if (std::fabs(v) > std::fabs(top)) top = v;
  for (const float scale : {1.0f, -1.0f, 0x1p-12f, 0x1p10f, 3.0f, 0.7f})
    for (std::size_t first = 0; first < values.size() - 1; ++first)
      for (const float toward : {0.0f, -kInf, kInf})
        for (const float larger : {1.0f, 1.25f})
          block([&](std::size_t j) {
            if (j == first) return top * larger * scale;
            const std::size_t k = (first + j) % (values.size() - 1);
            const float middle = (values[k] + values[k + 1]) / 2;
            return (toward == 0.0f ? middle : std::nextafter(middle, toward)) * scale;
          });
  block([](std::size_t j) { return j & 1 ? -0.0f : 0.0f; });
  block([](std::size_t) { return -0.0f; });
  for (const float most : {largest_magnitude<Block>(), largest_magnitude<Block>() / 2, kLeast,
                           3 * kLeast, 0x1p-126f, 0x1p-127f, 0x1p-125f, 0x1p-124f,
                           std::nextafter(1.0f, 0.0f), 1.0f, 1e-15f, 1.1e-15f, 9e-16f})
    for (const std::size_t at : {std::size_t{0}, kBlock / 2, kBlock - 1})
      for (const float sign : {1.0f, -1.0f}) {
        block([&](std::size_t j) {
          return j == at ? sign * most : most * (float(j % 7) / 7 - 0.5f);
        });
        block([&](std::size_t j) { return j == at ? sign * most : j % 3 ? -most : most; });
      }
  return x;
}

/// Floats of every exponent below the largest.
template <class Block>
std::vector<float> table_values_of_every_exponent(std::size_t blocks) {
  std::mt19937 words(5);
  std::vector<float> x(blocks * kBlock);
  for (std::size_t i = 0; i < blocks; ++i) {
    const int top = std::min(int(words() % 254), std::ilogb(largest_magnitude<Block>()) + 126);
    for (std::size_t j = 0; j < kBlock; ++j) {
      const float v = std::ldexp(1 + float(words() % (1 << 23)) / (1 << 23),
                                 top - 127 - int(words() % (1 + words() % 9)));
      x[i * kBlock + j] = words() & 1 ? -v : v;
    }
  }
  return x;
}

template <class Block>
void check_table_starts(BlockQuantizer<Block>* kernel) {
  const std::vector<float> values = weights(40 * kBlock, 4);
  std::vector<Block> memory(80);
  for (std::size_t start = 0; start < 17; ++start) {
    kernel(values.data() + start, 37, memory.data() + start);
    expect_same_table_blocks<Block>(
        {&memory[start], 37},
        expected_table_blocks<Block>(std::span(values).subspan(start, 37 * kBlock)),
        "from " + std::to_string(start));
  }
}

template <class Block>
void check_table_non_finite(BlockQuantizer<Block>* kernel) {
  const std::vector<float> values = weights(21 * kBlock, 6);
  const std::vector<Block> want = expected_table_blocks<Block>(values);
  for (const float special : {kNan, -kNan, kInf, -kInf})
    for (std::size_t hit = 0; hit < 21; ++hit) {
      Guarded<float> x(values, Against::end);
      Guarded<Block> y(21);
      x[hit * kBlock + hit] = special;
      kernel(x.data(), 21, y.data());
      for (std::size_t i = 0; i < 21; ++i)
        if (i != hit)
          expect_same_table_blocks<Block>({&y[i], 1}, {&want[i], 1}, "beside a special");
    }
}

/// Blocks of all codes under the given scales.
template <class Block>
std::vector<Block> blocks_of_any_codes(std::size_t n, const std::vector<Block>& scales) {
  std::mt19937 words(9);
  std::vector<Block> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = scales[i % scales.size()];
    for (std::uint8_t& byte : x[i].qs) byte = std::uint8_t(words());
  }
  return x;
}

template <class Block>
void check_table_decode(BlockDequantizer<Block>* kernel, const std::vector<Block>& blocks,
                        Against side) {
  const Guarded<Block> x(blocks, side);
  Guarded<float> y(blocks.size() * kBlock, side);
  kernel(x.data(), blocks.size(), y.data());
  for (std::size_t j = 0; j < y.size(); ++j) {
    const float want = oracle::decoded(blocks[j / kBlock], j % kBlock);
    if (std::memcmp(&y[j], &want, sizeof want) != 0)
      fail("block ", j / kBlock, " of ", blocks.size(), ": [", j % kBlock, "] is ", y[j],
           ", expected ", want);
  }
}

template <class Block>
void check_table_decode_counts(BlockDequantizer<Block>* kernel, std::size_t most = 70) {
  for (std::size_t n = 0; n <= most; ++n)
    for (const Against side : {Against::end, Against::begin})
      check_table_decode<Block>(kernel, blocks_of_any_codes<Block>(n, every_scale<Block>()), side);
}

/// Every code under every scale.
template <class Block>
void check_table_decode_scales(BlockDequantizer<Block>* kernel) {
  const std::vector<Block> scales = every_scale<Block>();
  std::vector<Block> x = scales;
  for (Block& block : x)
    for (std::size_t j = 0; j < kBlock / 2; ++j) block.qs[j] = std::uint8_t(0x11 * j);
  check_table_decode<Block>(kernel, x, Against::end);
}

/// Past the caches, where results may be streamed, aligned or not.
template <class Block>
void check_table_decode_long(BlockDequantizer<Block>* kernel) {
  const std::size_t n = kStreamBytesWriting / (kBlock * sizeof(float)) + 3;
  const std::vector<Block> tile = blocks_of_any_codes<Block>(997, every_scale<Block>());
  std::vector<float> want;
  for (const Block& block : tile)
    for (std::size_t j = 0; j < kBlock; ++j) want.push_back(oracle::decoded(block, j));
  std::vector<Block> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = tile[i % tile.size()];
  std::vector<float> y(n * kBlock + 16);
  for (const std::size_t start : {0, 1, 8}) {
    kernel(x.data(), n, y.data() + start);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < n; ++i)
      wrong += std::memcmp(&y[start + i * kBlock], &want[i % tile.size() * kBlock],
                           kBlock * sizeof(float)) != 0;
    if (wrong) fail(wrong, " blocks of ", n, " decode wrong, from ", start);
  }
}

}  // namespace qb::test
