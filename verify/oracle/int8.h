// SPDX-License-Identifier: Apache-2.0
// Oracle of the int8 layouts, from the contract (section 3): whole arrays, group by group.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "oracle/quantize.h"
#include "quantbench/blocks.h"

namespace qb::oracle {

/// Codes of all groups, and what is stored beside them: f32 or f16 scales, or the notebook's inv.
template <class S>
struct S8 {
  std::vector<std::int8_t> q;
  std::vector<S> scale;
};

/// f32 input, S = float (per tensor, per channel) or f16 (per group).
template <class S>
S8<S> quantize_s8(std::span<const float> x, std::size_t groups, std::size_t len) {
  S8<S> out;
  for (std::size_t i = 0; i < groups; ++i) {
    const auto group = x.subspan(i * len, len);
    const QuantizerF32 quantizer(group, 127);
    if constexpr (sizeof(S) == sizeof(f16))
      out.scale.push_back(to_f16(quantizer.scale));
    else
      out.scale.push_back(quantizer.scale);
    for (const float e : group) out.q.push_back(std::int8_t(quantizer.code(e)));
  }
  return out;
}

/// f16 input: the notebook's.
inline S8<f16> quantize_s8(std::span<const f16> x, std::size_t groups, std::size_t len) {
  S8<f16> out;
  for (std::size_t i = 0; i < groups; ++i) {
    const auto group = x.subspan(i * len, len);
    const QuantizerF16 quantizer(group, 127);
    out.scale.push_back(quantizer.inv);
    for (const f16 e : group) out.q.push_back(std::int8_t(quantizer.code(e)));
  }
  return out;
}

/// One block of q8_0 from 32 values.
inline BlockQ8_0 quantize_q8_0(std::span<const float> x) {
  const QuantizerQ8_0 quantizer(x);
  BlockQ8_0 block;
  block.d = quantizer.d;
  for (std::size_t j = 0; j < kBlock; ++j) block.qs[j] = std::int8_t(quantizer.code(x[j]));
  return block;
}

}  // namespace qb::oracle
