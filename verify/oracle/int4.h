// SPDX-License-Identifier: Apache-2.0
// Oracle of the int4 layouts, from the contract (section 3): whole arrays, group by group.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "oracle/quantize.h"
#include "quantbench/blocks.h"

namespace qb::oracle {

/// Two codes of [-8, 7] a byte, two's complement, the even index in the low nibble.
inline std::vector<std::uint8_t> pack_s4(std::span<const std::int8_t> q) {
  std::vector<std::uint8_t> packed((q.size() + 1) / 2);
  for (std::size_t j = 0; j < q.size(); ++j) {
    const int nibble = q[j] < 0 ? q[j] + 16 : q[j];
    packed[j / 2] = std::uint8_t(packed[j / 2] + (j % 2 ? 16 * nibble : nibble));
  }
  return packed;
}

/// Code j of a packed group.
inline int unpacked_s4(std::span<const std::uint8_t> packed, std::size_t j) {
  const int nibble = j % 2 ? packed[j / 2] / 16 : packed[j / 2] % 16;
  return nibble < 8 ? nibble : nibble - 16;
}

/// Packed codes of all groups, each from a byte of its own, and what is stored beside them: f32 or
/// f16 scales, or the notebook's inv.
template <class S>
struct S4 {
  std::vector<std::uint8_t> q;
  std::vector<S> scale;

  void append(std::span<const std::int8_t> codes, S group_scale) {
    for (const std::uint8_t byte : pack_s4(codes)) q.push_back(byte);
    scale.push_back(group_scale);
  }
};

/// f32 input, S = float (per tensor, per channel) or f16 (per group).
template <class S>
S4<S> quantize_s4(std::span<const float> x, std::size_t groups, std::size_t len) {
  S4<S> out;
  std::vector<std::int8_t> codes(len);
  for (std::size_t i = 0; i < groups; ++i) {
    const auto group = x.subspan(i * len, len);
    const QuantizerF32 quantizer(group, 7);
    for (std::size_t j = 0; j < len; ++j) codes[j] = std::int8_t(quantizer.code(group[j]));
    if constexpr (sizeof(S) == sizeof(f16))
      out.append(codes, to_f16(quantizer.scale));
    else
      out.append(codes, quantizer.scale);
  }
  return out;
}

/// f16 input: the notebook's.
inline S4<f16> quantize_s4(std::span<const f16> x, std::size_t groups, std::size_t len) {
  S4<f16> out;
  std::vector<std::int8_t> codes(len);
  for (std::size_t i = 0; i < groups; ++i) {
    const auto group = x.subspan(i * len, len);
    const QuantizerF16 quantizer(group, 7);
    for (std::size_t j = 0; j < len; ++j) codes[j] = std::int8_t(quantizer.code(group[j]));
    out.append(codes, quantizer.inv);
  }
  return out;
}

/// One block of q4_0 from 32 values, as ggml's reference encodes it.
inline BlockQ4_0 quantize_q4_0(std::span<const float> x) {
  float largest = 0;  // signed, of the largest magnitude; the first on a tie
  for (const float e : x)
    if (std::fabs(e) > std::fabs(largest)) largest = e;
  const float d = largest / -8.0f;  // exact but for subnormals
  float id = 0;
  if (d != 0 && round_to_format(std::fabs(1.0 / d), 8, 23) != 0x7f800000u) id = float(1.0 / d);

  BlockQ4_0 block;
  block.d = to_f16(d);
  const auto nibble = [=](float e) {
    const double lifted = double(float(double(e) * id)) + 8.5;
    const int whole = int(std::trunc(double(float(lifted))));
    return whole < 15 ? whole : 15;
  };
  for (std::size_t j = 0; j < kBlock / 2; ++j)
    block.qs[j] = std::uint8_t(nibble(x[j]) + 16 * nibble(x[j + kBlock / 2]));
  return block;
}

/// Element j of a block.
inline float dequantized(const BlockQ4_0& block, std::size_t j) {
  const std::uint8_t byte = block.qs[j % (kBlock / 2)];
  const int nibble = j < kBlock / 2 ? byte % 16 : byte / 16;
  return float(value(block.d) * (nibble - 8));
}

}  // namespace qb::oracle
