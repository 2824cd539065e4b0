// Canonical weights as packing reads them, a block of 32 codes at a time:
// bytes of an output, bytes of a block in it, and where the block's codes start.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/kernels.h"

namespace qb::matmul {
namespace {

struct PerRow {
  static constexpr bool per_block = false;
};
struct PerBlock {
  static constexpr bool per_block = true;
  static f16 scale(const Weights& w, std::size_t n, std::size_t g) {
    return static_cast<const f16*>(w.scales)[n * (w.k / w.group) + g];
  }
};

template <class Scales>
struct Bytes : Scales {
  static constexpr int bits = 8;
  static constexpr bool neighbours = false;  ///< 4-bit: a byte holds k and k+1, two's complement
  static constexpr std::size_t block = kBlock, codes = 0;
  static std::size_t row(std::size_t k) { return k; }
};
template <class Scales>
struct Nibbles : Scales {
  static constexpr int bits = 4;
  static constexpr bool neighbours = true;
  static constexpr std::size_t block = kBlock / 2, codes = 0;
  static std::size_t row(std::size_t k) { return (k + 1) / 2; }
};
using S8 = Bytes<PerRow>;
using S4 = Nibbles<PerRow>;
using S8g = Bytes<PerBlock>;
using S4g = Nibbles<PerBlock>;
template <class Block, int bits_>
struct Blocks : PerBlock {
  static constexpr int bits = bits_;
  static constexpr bool neighbours = false;
  static constexpr std::size_t block = sizeof(Block), codes = sizeof(f16);
  static std::size_t row(std::size_t k) { return k / kBlock * block; }
  static f16 scale(const Weights& w, std::size_t n, std::size_t g) {
    return static_cast<const Block*>(w.values)[n * (w.k / kBlock) + g].d;
  }
};
using Q8_0 = Blocks<BlockQ8_0, 8>;
using Q4_0 = Blocks<BlockQ4_0, 4>;

}  // namespace
}  // namespace qb::matmul
