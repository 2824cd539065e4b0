// SPDX-License-Identifier: Apache-2.0
// What the checked entries of int8 and int4 must do alike: round trips of every format, and
// refusals that say what is wrong and leave every output as it was.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "checks/dequantize.h"
#include "core/check.h"
#include "quantbench/blocks.h"
#include "quantbench/types.h"

namespace qb::test {

/// The message of the BadArgument that `call` throws; empty if it throws none.
template <class Call>
std::string refusal(Call call) {
  try {
    call();
  } catch (const BadArgument& e) {
    return e.what();
  }
  return {};
}

// `Entries` is one room:
//   using Code, Block;
//   static constexpr const char* kName;          as in its messages
//   static constexpr float kGroupOverflow;       the least absmax whose f16 scale is infinite, of a
//   static constexpr float kBlockOverflow;       group and of a block
//   static void quantize(...), dequantize(...)   its entries
//   static Block block(std::span<const float>);  the oracle's block of 32 values
//   static float back(const Block&, std::size_t j);

template <class Entries>
void check_round_trips() {
  using Code = typename Entries::Code;
  using L = Layout<Code>;
  const std::vector<float> x = weights(256, 1);
  std::vector<Code> q(L::bytes(256));
  std::vector<float> y(256);

  std::vector<float> scale(2);
  Entries::quantize(x, 128, q, scale);
  Entries::dequantize(q, 128, scale, y);
  const auto channels = L::template quantized<float, float>(x, 2, 128);
  expect_same(q, channels.q, "per channel");
  for (std::size_t j = 0; j < 256; ++j) ASSERT_NEAR(x[j], y[j], scale[j / 128] * 0.5001f);

  std::vector<f16> half_scale(8);
  Entries::quantize(x, 32, q, half_scale);
  Entries::dequantize(q, 32, half_scale, y);
  const auto groups = L::template quantized<float, f16>(x, 8, 32);
  expect_same(q, groups.q, "per group");
  expect_same(half_scale, groups.scale, "per group");
  expect_same(y, expected_back<float>(q, 8, 32, half_scale), "per group");

  const std::vector<f16> h = halves(x);
  std::vector<f16> inv(1), back(256);
  Entries::quantize(h, 256, q, inv);
  Entries::dequantize(q, 256, inv, back);
  expect_same(q, L::template quantized<f16, f16>(h, 1, 256).q, "f16");
  expect_same(back, expected_back<f16>(q, 1, 256, inv), "f16");

  std::vector<typename Entries::Block> blocks(8);
  Entries::quantize(x, blocks);
  Entries::dequantize(blocks, y);
  for (std::size_t i = 0; i < 8; ++i) {
    const auto want = Entries::block(std::span(x).subspan(i * kBlock, kBlock));
    EXPECT_EQ(std::memcmp(&blocks[i], &want, sizeof want), 0) << "block " << i;
  }
  for (std::size_t j = 0; j < 256; ++j)
    ASSERT_EQ(y[j], Entries::back(blocks[j / kBlock], j % kBlock));
}

template <class Entries>
void check_empty() {
  using Code = typename Entries::Code;
  using Block = typename Entries::Block;
  Entries::quantize(std::span<const float>{}, 32, std::span<Code>{}, std::span<float>{});
  Entries::quantize(std::span<const float>{}, 32, std::span<Code>{}, std::span<f16>{});
  Entries::quantize(std::span<const f16>{}, 7, std::span<Code>{}, std::span<f16>{});
  Entries::quantize(std::span<const float>{}, std::span<Block>{});
  Entries::dequantize(std::span<const Code>{}, 5, std::span<const float>{}, std::span<float>{});
  Entries::dequantize(std::span<const Block>{}, std::span<float>{});
}

/// The bytes of `of` from `at` on, as other elements.
template <class T, class From>
std::span<T> overlaid(std::vector<From>& of, std::size_t at, std::size_t n) {
  return {reinterpret_cast<T*>(reinterpret_cast<unsigned char*>(of.data()) + at), n};
}

/// What the checked entries of quantizing are called with, and what must be left of it: groups of a
/// few elements of ones, outputs that no entry writes as it refuses.
template <class Entries>
struct QuantizeArguments {
  using Code = typename Entries::Code;
  using Block = typename Entries::Block;

  const std::string in = std::string(Entries::kName) + "::quantize: ";
  const std::size_t bytes = Layout<Code>::bytes(128);
  std::vector<float> x = std::vector<float>(128, 1.0f), scale = std::vector<float>(4, -1.0f);
  std::vector<f16> half = std::vector<f16>(128, f16(0x3c00)),
                   half_scale = std::vector<f16>(4, f16(7));
  std::vector<Code> q = std::vector<Code>(bytes, 99);
  std::vector<Block> blocks = std::vector<Block>(4);

  QuantizeArguments() { std::memset(blocks.data(), 0x5a, sizeof(Block) * 4); }

  static std::string refused(auto&&... arguments) {
    return refusal([&] { Entries::quantize(arguments...); });
  }

  void expect_untouched() const {
    EXPECT_EQ(q, std::vector<Code>(bytes, 99));
    EXPECT_EQ(scale, std::vector<float>(4, -1.0f));
    EXPECT_EQ(half_scale, std::vector<f16>(4, f16(7)));
    for (const Block& block : blocks) EXPECT_EQ(*std::rbegin(block.qs), 0x5a);
  }
};

template <class Entries>
void check_quantize_refuses_sizes() {
  using testing::HasSubstr;
  QuantizeArguments<Entries> a;
  constexpr auto refused = [](auto&&... arguments) {
    return QuantizeArguments<Entries>::refused(arguments...);
  };
  const std::span<float> few(a.scale.data(), 1);
  const std::span<typename Entries::Code> short_q(a.q.data(), a.bytes - 1);
  EXPECT_EQ(refused(a.x, 48, a.q, a.scale), a.in + "'group' = 48 does not divide 'x.size()' = 128");
  EXPECT_NE(refused(a.x, 0, a.q, a.scale), "");
  EXPECT_EQ(refused(a.x, 64, a.q, few), a.in + "'scale' has room for 1 elements, needs 2");
  EXPECT_EQ(refused(a.x, 64, short_q, a.scale), a.in + "'q' has room for " +
                                                    std::to_string(a.bytes - 1) +
                                                    " elements, needs " + std::to_string(a.bytes));
  EXPECT_EQ(refused(a.x, 16, a.q, a.half_scale), a.in + "'group' = 16 is none of 32, 64 and 128");
  EXPECT_THAT(refused(std::span(a.x).first(96), 64, a.q, a.half_scale),
              HasSubstr("'group' = 64 does not divide"));
  EXPECT_THAT(refused(a.half, 100, a.q, a.half_scale), HasSubstr("divide"));
  EXPECT_THAT(refused(a.half, 64, a.q, std::span(a.half_scale).first(1)),
              HasSubstr("'inv' has room for 1"));
  EXPECT_THAT(refused(std::span(a.x).first(33), a.blocks),
              HasSubstr("'block' = 32 does not divide 'x.size()' = 33"));
  EXPECT_THAT(refused(a.x, std::span(a.blocks).first(3)),
              HasSubstr("'y' has room for 3 elements, needs 4"));
  a.expect_untouched();
}

template <class Entries>
void check_quantize_refuses_overlaps() {
  using Code = typename Entries::Code;
  using testing::HasSubstr;
  QuantizeArguments<Entries> a;
  constexpr auto refused = [](auto&&... arguments) {
    return QuantizeArguments<Entries>::refused(arguments...);
  };
  const auto behind = overlaid<Code>(a.x, sizeof(float) * 128 - a.bytes, a.bytes);
  EXPECT_EQ(refused(a.x, 64, behind, a.scale), a.in + "'x' and 'q' overlap");
  EXPECT_EQ(refused(a.x, 64, a.q, std::span(a.x).subspan(100)), a.in + "'x' and 'scale' overlap");
  EXPECT_EQ(refused(a.half, 64, overlaid<Code>(a.half, 0, a.bytes), a.half_scale),
            a.in + "'x' and 'q' overlap");
  EXPECT_THAT(refused(a.x, overlaid<typename Entries::Block>(a.x, 0, 4)),
              HasSubstr("'x' and 'y' overlap"));
  EXPECT_THAT(refused(a.x, 64, a.q, overlaid<float>(a.q, 0, 2)),
              HasSubstr("'q' and 'scale' overlap"));
  a.expect_untouched();
}

template <class Entries>
void check_quantize_refuses_values() {
  using testing::HasSubstr;
  QuantizeArguments<Entries> a;
  constexpr auto refused = [](auto&&... arguments) {
    return QuantizeArguments<Entries>::refused(arguments...);
  };
  for (const float bad : {kNan, kInf, -kInf}) {
    a.x[77] = a.x[78] = bad;
    EXPECT_THAT(refused(a.x, 128, a.q, a.scale), HasSubstr("'x'[77]"));
    EXPECT_THAT(refused(a.x, 32, a.q, a.half_scale), HasSubstr("'x'[77]"));
    EXPECT_THAT(refused(a.x, a.blocks), HasSubstr("'x'[77]"));
  }
  a.x[77] = a.x[78] = 1.0f;
  a.half[5] = f16(0x7c00);
  EXPECT_THAT(refused(a.half, 64, a.q, a.half_scale), HasSubstr("'x'[5] is infinite"));

  a.x[70] = -Entries::kGroupOverflow;
  EXPECT_THAT(refused(a.x, 32, a.q, a.half_scale), HasSubstr("group 2"));
  a.x[70] = Entries::kBlockOverflow;
  EXPECT_THAT(refused(a.x, a.blocks), HasSubstr("block 2"));
  a.expect_untouched();

  a.x[70] = std::nextafter(Entries::kGroupOverflow, 0.0f);  // its scale rounds to the largest f16
  Entries::quantize(a.x, 32, a.q, a.half_scale);
  EXPECT_EQ(a.half_scale[2], f16(0x7bff));
  a.x[70] = -std::nextafter(Entries::kBlockOverflow, 0.0f);
  Entries::quantize(a.x, a.blocks);
  EXPECT_EQ(a.blocks[2].d, f16(0x7bff));
}

template <class Entries>
void check_quantize_refuses() {
  check_quantize_refuses_sizes<Entries>();
  check_quantize_refuses_overlaps<Entries>();
  check_quantize_refuses_values<Entries>();
}

template <class Entries>
void check_dequantize_refuses() {
  using Code = typename Entries::Code;
  using Block = typename Entries::Block;
  using testing::HasSubstr;
  const std::string in = std::string(Entries::kName) + "::dequantize: ";
  std::vector<Code> q(Layout<Code>::bytes(128), 3);
  std::vector<float> scale(2, 1.0f), y(128, -5.0f);
  std::vector<f16> half_scale(2, f16(0x3c00)), half_y(128, f16(9));
  std::vector<Block> blocks(4);
  for (Block& block : blocks) block.d = f16(0x3c00);
  const auto refused = [](auto&&... arguments) {
    return refusal([&] { Entries::dequantize(arguments...); });
  };

  EXPECT_THAT(refused(q, 48, scale, y), HasSubstr("does not divide"));
  EXPECT_THAT(refused(q, 0, scale, y), HasSubstr("'group' is 0"));
  EXPECT_EQ(refused(q, 32, scale, y), in + "'scale' has 2 elements, expected 4");
  EXPECT_EQ(refused(q, 64, scale, std::span(y).first(100)),
            in + "'y' has room for 100 elements, needs 128");
  EXPECT_THAT(refused(std::span(q).first(Layout<Code>::bytes(96)), 48, half_scale, y),
              HasSubstr("is none of 32, 64 and 128"));
  EXPECT_THAT(refused(q, 32, half_scale, half_y), HasSubstr("'inv' has 2 elements, expected 4"));
  EXPECT_THAT(refused(blocks, std::span(y).first(127)), HasSubstr("needs 128"));
  EXPECT_THAT(refused(overlaid<Code>(y, 0, q.size()), 64, scale, y),
              HasSubstr("'q' and 'y' overlap"));
  EXPECT_THAT(refused(q, 128, std::span(y).first(1), y), HasSubstr("'scale' and 'y' overlap"));
  EXPECT_THAT(refused(overlaid<Block>(y, 0, 4), y), HasSubstr("'x' and 'y' overlap"));
  scale[1] = kInf;
  EXPECT_THAT(refused(q, 64, scale, y), HasSubstr("'scale'[1]"));
  half_scale[1] = f16(0x7e00);
  EXPECT_THAT(refused(q, 64, half_scale, half_y), HasSubstr("'inv'[1] is NaN"));
  blocks[3].d = f16(0xfc00);
  EXPECT_THAT(refused(blocks, y), HasSubstr("block 3"));
  EXPECT_EQ(y, std::vector<float>(128, -5.0f));
  EXPECT_EQ(half_y, std::vector<f16>(128, f16(9)));
}

}  // namespace qb::test
