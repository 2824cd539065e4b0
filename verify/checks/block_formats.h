// SPDX-License-Identifier: Apache-2.0
// Checks of the block formats, whatever their codes and scales, by the oracle's encode() and
// decoded(): from f32 and back, to the bit (contract, section 3). Of q8_0 and q4_0:
// checks/blocks.h.
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

/// Whether the codes of a format index a table: its oracle has the values.
template <class Block>
concept TableBlock = requires(Block block) {
  oracle::table_value(block, 0);
};

/// Gives a block the i-th of all scales, the bits of an f16 or a byte, and another minimum; the
/// next ones to other groups where each has its own.
template <class Block>
void set_scale(Block& block, unsigned i) {
  if constexpr (requires { block.e; })
    block.e = std::uint8_t(i);
  else if constexpr (requires { block.d; })
    block.d = f16(i);
  else
    for (std::uint8_t& scale : block.scales) scale = std::uint8_t(i++);
  if constexpr (requires { block.dmin; }) block.dmin = f16(i * 5 % 0x7c00);
  if constexpr (requires { block.m; }) block.m = f16(i * 5 % 0x7c00);
}

/// All scales that are numbers, as set_scale numbers them; 255 of E8M0 among them.
template <class Block>
std::vector<unsigned> every_scale() {
  std::vector<unsigned> list;
  if constexpr (!requires(Block b) { b.d; }) {
    for (unsigned byte = 0; byte < 256; ++byte) list.push_back(byte);
  } else {
    for (unsigned bits = 0; bits < 0x10000; bits += 7)
      if ((bits & 0x7c00u) != 0x7c00u) list.push_back(bits);
  }
  return list;
}

/// The value of each code under the scale 1.
template <class Block>
std::vector<float> values_by_code() {
  Block block{};
  set_scale(
      block, requires { block.e; } ? 127 : 0x3c00);  // 1
  for (std::size_t j = 0; j < kBlock / 2; ++j) block.qs[j] = std::uint8_t(j);
  std::vector<float> list;
  for (std::size_t j = 0; j < kBlock / 2; ++j) list.push_back(oracle::decoded(block, j));
  return list;
}

/// Of larger values the sums that find a scale may overflow.
template <class Block>
constexpr float largest_magnitude() {
  if constexpr (!requires(Block b) { b.d; })
    return kMost;
  else
    return kWeightsOf<Block> == kSuperBlock ? 1e10f : 1e12f;
}

template <class Block>
std::vector<Block> expected_encoding(std::span<const float> x) {
  std::vector<Block> want(x.size() / kWeightsOf<Block>);
  for (std::size_t i = 0; i < want.size(); ++i)
    oracle::encode(x.subspan(i * kWeightsOf<Block>, kWeightsOf<Block>), want[i]);
  return want;
}

template <class Block>
void expect_same_encoding(std::span<const Block> got, std::span<const Block> want,
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
void check_format_encode(BlockQuantizer<Block>* kernel, const std::vector<float>& values,
                         Against side = Against::end) {
  const Guarded<float> x(values, side);
  Guarded<Block> y(values.size() / kWeightsOf<Block>, side);
  kernel(x.data(), y.size(), y.data());
  expect_same_encoding<Block>(y.span(), expected_encoding<Block>(values), "encoded");
}

/// Twice the blocks that the longest vectors take at a time, and more: 64 groups of 32 are 8 blocks
/// of 256.
template <class Block>
constexpr std::size_t kMostBlocks = kWeightsOf<Block> > kBlock ? 20 : 70;

template <class Block>
void check_format_counts(BlockQuantizer<Block>* kernel, std::size_t most = kMostBlocks<Block>) {
  for (std::size_t blocks = 0; blocks <= most; ++blocks)
    for (const Against side : {Against::end, Against::begin})
      check_format_encode<Block>(kernel, weights(blocks * kWeightsOf<Block>, unsigned(blocks)),
                                 side);
}

/// Values half way between a format's, and a step of one ulp beside them, at many scales; the
/// largest magnitude first and last, with either sign; zeros, subnormals, the largest there are.
template <class Block>
std::vector<float> hard_values() requires TableBlock<Block> {
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

/// One of the kinds of groups of 32 that are hard for a search of the scale: all values equal or
/// nearly equal, ties, zeros, tiny and subnormal numbers, an outlier, one sign.
inline std::vector<float> hard_group(unsigned kind, std::mt19937& words, float largest) {
  std::normal_distribution<float> normal;
  const float sign = words() & 1 ? -1.0f : 1.0f;
  const float scale = std::ldexp(1.0f, int(words() % 60) - 30);
  std::vector<float> x(32);
  for (std::size_t j = 0; j < 32; ++j) {
    const float n = normal(words);
    const auto of_kind = [&]() -> float {
      switch (kind) {
        case 0:
          return n * scale;
        case 1:
          return n * std::exp(2 * normal(words));
        case 2:
          return 0.01f + 0.02f * n;
        case 3:
          return sign * std::fabs(n);
        case 4:
          return 0.0f;
        case 5:
          return -0.0f;
        case 6:
          return sign * scale;
        case 7:
          return sign * (words() & 1 ? 1.0f : std::nextafter(1.0f, 2.0f));
        case 8:
          return 1 + std::ldexp(n, -22);
        case 9:
          return float(int(n * 8)) / 4;
        case 10:
          return float(int(j % 16)) * scale * sign;
        case 11:
          return float(int(j)) * 0.5f;
        case 12:
          return std::ldexp(n, -30 - int(words() % 90));
        case 13:
          return float(words() % 97) * kLeast * sign;
        case 14:
          return j == 7 ? 1000 * n : n;
        case 15:
          return j % 5 ? 0.0f : n;
        default:
          return n * (largest / 8);
      }
    };
    x[j] = of_kind();
  }
  return x;
}
constexpr unsigned kHardGroups = 17;

template <class Block>
std::vector<float> hard_values() requires(!TableBlock<Block>) {
  std::mt19937 words(11);
  std::vector<float> x;
  const auto add = [&](unsigned kind) {
    const std::vector<float> group = hard_group(kind, words, largest_magnitude<Block>());
    x.insert(x.end(), group.begin(), group.end());
  };
  constexpr std::size_t kGroups = kWeightsOf<Block> / 32;
  for (int round = 0; round < 6; ++round)
    for (unsigned kind = 0; kind < kHardGroups; ++kind)
      for (std::size_t g = 0; g < kGroups; ++g) add(kind);
  for (std::size_t i = 0; i < 150 * kGroups; ++i) add(words() % (kHardGroups - 1));
  return x;
}

/// Floats of every exponent below the largest.
template <class Block>
std::vector<float> values_of_every_exponent(std::size_t blocks) {
  std::mt19937 words(5);
  std::vector<float> x(blocks * kWeightsOf<Block>);
  for (std::size_t i = 0; i < blocks; ++i) {
    const int top = std::min(int(words() % 254), std::ilogb(largest_magnitude<Block>()) + 126);
    for (std::size_t j = 0; j < kWeightsOf<Block>; ++j) {
      const float v = std::ldexp(1 + float(words() % (1 << 23)) / (1 << 23),
                                 top - 127 - int(words() % (1 + words() % 9)));
      x[i * kWeightsOf<Block> + j] = words() & 1 ? -v : v;
    }
  }
  return x;
}

template <class Block>
void check_format_starts(BlockQuantizer<Block>* kernel) {
  const std::vector<float> values = weights(40 * kWeightsOf<Block>, 4);
  std::vector<Block> memory(80);
  for (std::size_t start = 0; start < 17; ++start) {
    kernel(values.data() + start, 37, memory.data() + start);
    expect_same_encoding<Block>(
        {&memory[start], 37},
        expected_encoding<Block>(std::span(values).subspan(start, 37 * kWeightsOf<Block>)),
        "from " + std::to_string(start));
  }
}

template <class Block>
void check_format_non_finite(BlockQuantizer<Block>* kernel) {
  const std::vector<float> values = weights(21 * kWeightsOf<Block>, 6);
  const std::vector<Block> want = expected_encoding<Block>(values);
  for (const float special : {kNan, -kNan, kInf, -kInf})
    for (std::size_t hit = 0; hit < 21; ++hit) {
      Guarded<float> x(values, Against::end);
      Guarded<Block> y(21);
      x[hit * kWeightsOf<Block> + hit] = special;
      kernel(x.data(), 21, y.data());
      for (std::size_t i = 0; i < 21; ++i)
        if (i != hit) expect_same_encoding<Block>({&y[i], 1}, {&want[i], 1}, "beside a special");
    }
}

/// Blocks of any bytes under the given scales.
template <class Block>
std::vector<Block> blocks_of_any_codes(std::size_t n, const std::vector<unsigned>& scales) {
  std::mt19937 words(9);
  std::vector<Block> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    auto* const bytes = reinterpret_cast<std::uint8_t*>(&x[i]);
    for (std::size_t j = 0; j < sizeof(Block); ++j) bytes[j] = std::uint8_t(words());
    set_scale(x[i], scales[i % scales.size()]);
  }
  return x;
}

template <class Block>
void check_format_decode(BlockDequantizer<Block>* kernel, const std::vector<Block>& blocks,
                         Against side) {
  const Guarded<Block> x(blocks, side);
  Guarded<float> y(blocks.size() * kWeightsOf<Block>, side);
  kernel(x.data(), blocks.size(), y.data());
  for (std::size_t j = 0; j < y.size(); ++j) {
    const float want = oracle::decoded(blocks[j / kWeightsOf<Block>], j % kWeightsOf<Block>);
    if (std::memcmp(&y[j], &want, sizeof want) != 0)
      fail("block ", j / kWeightsOf<Block>, " of ", blocks.size(), ": [", j % kWeightsOf<Block>,
           "] is ", y[j], ", expected ", want);
  }
}

template <class Block>
void check_format_decode_counts(BlockDequantizer<Block>* kernel,
                                std::size_t most = kMostBlocks<Block>) {
  for (std::size_t n = 0; n <= most; ++n)
    for (const Against side : {Against::end, Against::begin})
      check_format_decode<Block>(kernel, blocks_of_any_codes<Block>(n, every_scale<Block>()), side);
}

/// Any codes, and of a table all of them, under every scale.
template <class Block>
void check_format_decode_scales(BlockDequantizer<Block>* kernel) {
  const std::vector<unsigned> scales = every_scale<Block>();
  std::vector<Block> x = blocks_of_any_codes<Block>(scales.size(), scales);
  if constexpr (TableBlock<Block>)
    for (Block& block : x)
      for (std::size_t j = 0; j < kBlock / 2; ++j) block.qs[j] = std::uint8_t(0x11 * j);
  check_format_decode<Block>(kernel, x, Against::end);
}

/// An input larger than the caches, for which kernels may use streaming stores; y aligned or not.
template <class Block>
void check_format_decode_long(BlockDequantizer<Block>* kernel) {
  const std::size_t n = kStreamBytesWriting / (kWeightsOf<Block> * sizeof(float)) + 3;
  const std::vector<Block> tile = blocks_of_any_codes<Block>(997, every_scale<Block>());
  std::vector<float> want;
  for (const Block& block : tile)
    for (std::size_t j = 0; j < kWeightsOf<Block>; ++j) want.push_back(oracle::decoded(block, j));
  std::vector<Block> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = tile[i % tile.size()];
  std::vector<float> y(n * kWeightsOf<Block> + 16);
  for (const std::size_t start : {0, 1, 8}) {
    kernel(x.data(), n, y.data() + start);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < n; ++i)
      wrong +=
          std::memcmp(&y[start + i * kWeightsOf<Block>], &want[i % tile.size() * kWeightsOf<Block>],
                      kWeightsOf<Block> * sizeof(float)) != 0;
    if (wrong) fail(wrong, " blocks of ", n, " decode wrong, from ", start);
  }
}

}  // namespace qb::test
