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
//   words(w, n, k, count, to)  of 4 bits: 32 codes from k, a multiple of 32, eight to a word,
//                              lowest k in the lowest bits; `count` are there, the others 0
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
  static void words(const Weights& w, std::size_t n, std::size_t k, std::size_t count,
                    std::uint32_t (&to)[4]) {
    const auto* from = static_cast<const std::uint8_t*>(w.values) + n * ((w.k + 1) / 2) + k / 2;
    if (count >= 32) {
      __builtin_memcpy(to, from, sizeof to);
      return;
    }
    std::uint8_t bytes[16] = {};
    for (std::size_t i = 0; i < (count + 1) / 2; ++i) bytes[i] = from[i];
    if (count % 2) bytes[count / 2] &= 15;
    __builtin_memcpy(to, bytes, sizeof to);
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
  static void words(const Weights& w, std::size_t n, std::size_t k, std::size_t count,
                    std::uint32_t (&to)[4]) {
    CanonicalS4::words(w, n, k, count, to);
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
  /// Of eight bytes, pushed together, and less the 8 that they are stored with.
  static std::uint32_t low_nibbles(std::uint64_t x) {
    x &= 0x0f0f0f0f0f0f0f0f;
    x = (x | x >> 4) & 0x00ff00ff00ff00ff;
    x = (x | x >> 8) & 0x0000ffff0000ffff;
    return static_cast<std::uint32_t>(x | x >> 16) ^ 0x88888888u;
  }
  static void words(const Weights& w, std::size_t n, std::size_t k, std::size_t,
                    std::uint32_t (&to)[4]) {
    std::uint64_t bytes[2];
    __builtin_memcpy(bytes, block_of<BlockQ4_0>(w, n, k / kBlock).qs, sizeof bytes);
    to[0] = low_nibbles(bytes[0]);
    to[1] = low_nibbles(bytes[1]);
    to[2] = low_nibbles(bytes[0] >> 4);
    to[3] = low_nibbles(bytes[1] >> 4);
  }
  static f16 scale(const Weights& w, std::size_t n, std::size_t g) {
    return block_of<BlockQ4_0>(w, n, g).d;
  }
};

}  // namespace
}  // namespace qb::matmul
