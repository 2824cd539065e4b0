// Oracle of the block formats, from the contract (section 3): a block from 32 values, and element j
// of a block.
#pragma once

#include <span>

#include "oracle/int4.h"
#include "oracle/int8.h"

namespace qb::oracle {

inline void encode(std::span<const float> x, BlockQ8_0& to) { to = quantize_q8_0(x); }
inline float decoded(const BlockQ8_0& block, std::size_t j) {
  return dequantized(block.qs[j], block.d);
}

inline void encode(std::span<const float> x, BlockQ4_0& to) { to = quantize_q4_0(x); }
inline float decoded(const BlockQ4_0& block, std::size_t j) { return dequantized(block, j); }

}  // namespace qb::oracle
