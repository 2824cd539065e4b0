// The canonical weight layouts as the packing into panels reads them. In an anonymous namespace on
// purpose: see core/scalar_half.h.
#pragma once

#include "core/scalar_half.h"
#include "matmul/kernels.h"

namespace qb::matmul {
namespace {

/// Two's complement nibble i of a row of codes, low nibble first.
[[maybe_unused]] inline int nibble(const std::uint8_t* row, std::size_t i) {
  return static_cast<std::int8_t>(row[i / 2] << (i % 2 ? 0 : 4)) >> 4;
}

// Each format: what unpack gives back, as packing reads it, and the scale as it is stored.
//   read(w, n, k, count, to)   codes [k, k+count) of output n
//   word(w, n, k, count)       of 4 bits: eight codes from k, a multiple of 8, lowest k in the
//   lowest
//                              bits; count of them, at most eight, are there, and the others 0
//   scale(w, n, g)             of group g of output n; g is 0 where an output has one scale

/// Codes that lie one beside the other as they are packed.
template <class Code_>
struct Consecutive {
  using Code = Code_;
  static void read(const Weights& w, std::size_t n, std::size_t k, std::size_t count, Code* to) {
    __builtin_memcpy(to, static_cast<const Code*>(w.values) + n * w.k + k, count * sizeof(Code));
  }
};
using CanonicalF32 = Consecutive<float>;
using CanonicalF16 = Consecutive<f16>;

struct CanonicalS8 : Consecutive<std::int8_t> {
  static float scale(const Weights& w, std::size_t n, std::size_t) {
    return static_cast<const float*>(w.scales)[n];
  }
};

struct CanonicalS4 {
  static std::uint32_t word(const Weights& w, std::size_t n, std::size_t k, std::size_t count) {
    const auto* from = static_cast<const std::uint8_t*>(w.values) + n * ((w.k + 1) / 2) + k / 2;
    std::uint32_t codes = 0;
    if (count >= 8) {
      __builtin_memcpy(&codes, from, sizeof codes);
      return codes;
    }
    __builtin_memcpy(&codes, from, (count + 1) / 2);
    return codes & ((1u << 4 * count) - 1);
  }
  static float scale(const Weights& w, std::size_t n, std::size_t g) {
    return CanonicalS8::scale(w, n, g);
  }
};

struct CanonicalS8g : Consecutive<std::int8_t> {
  static f16 scale(const Weights& w, std::size_t n, std::size_t g) {
    return static_cast<const f16*>(w.scales)[n * (w.k / w.group) + g];
  }
};

struct CanonicalS4g {
  static std::uint32_t word(const Weights& w, std::size_t n, std::size_t k, std::size_t count) {
    return CanonicalS4::word(w, n, k, count);
  }
  static f16 scale(const Weights& w, std::size_t n, std::size_t g) {
    return CanonicalS8g::scale(w, n, g);
  }
};

template <class Block>
const Block& block_of(const Weights& w, std::size_t n, std::size_t b) {
  return static_cast<const Block*>(w.values)[n * (w.k / kBlock) + b];
}

struct CanonicalQ8_0 {
  using Code = std::int8_t;
  /// Within a block.
  static void read(const Weights& w, std::size_t n, std::size_t k, std::size_t count, Code* to) {
    __builtin_memcpy(to, block_of<BlockQ8_0>(w, n, k / kBlock).qs + k % kBlock, count);
  }
  static f16 scale(const Weights& w, std::size_t n, std::size_t g) {
    return block_of<BlockQ8_0>(w, n, g).d;
  }
};

struct CanonicalQ4_0 {
  static std::uint32_t word(const Weights& w, std::size_t n, std::size_t k, std::size_t) {
    const std::size_t j = k % kBlock, half = kBlock / 2;
    std::uint64_t x;
    __builtin_memcpy(&x, block_of<BlockQ4_0>(w, n, k / kBlock).qs + j % half, sizeof x);
    // A nibble of each byte, pushed together.
    x = x >> (j < half ? 0 : 4) & 0x0f0f0f0f0f0f0f0f;
    x = (x | x >> 4) & 0x00ff00ff00ff00ff;
    x = (x | x >> 8) & 0x0000ffff0000ffff;
    return static_cast<std::uint32_t>(x | x >> 16) ^ 0x88888888u;  // stored +8
  }
  static f16 scale(const Weights& w, std::size_t n, std::size_t g) {
    return block_of<BlockQ4_0>(w, n, g).d;
  }
};

}  // namespace
}  // namespace qb::matmul
