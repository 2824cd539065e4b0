// The canonical weight layouts, one value at a time: how every variant's pack reads them, and what
// the scalar variants compute with. In an anonymous namespace on purpose: see core/scalar_half.h.
#pragma once

#include "core/scalar_half.h"
#include "matmul/kernels.h"

namespace qb::matmul {
namespace {

/// Two's complement nibble i of a row of codes, low nibble first.
[[maybe_unused]] inline int nibble(const std::uint8_t* row, std::size_t i) {
  return static_cast<std::int8_t>(row[i / 2] << (i % 2 ? 0 : 4)) >> 4;
}

// Each format: code(w, n, k), what unpack gives back; scale(w, n, k), the f32 it is multiplied by.

struct CanonicalF32 {
  using Code = float;
  static Code code(const Weights& w, std::size_t n, std::size_t k) {
    return static_cast<const float*>(w.values)[n * w.k + k];
  }
};

struct CanonicalF16 {
  using Code = f16;
  static Code code(const Weights& w, std::size_t n, std::size_t k) {
    return static_cast<const f16*>(w.values)[n * w.k + k];
  }
};

struct CanonicalS8 {
  using Code = std::int8_t;
  static Code code(const Weights& w, std::size_t n, std::size_t k) {
    return static_cast<const std::int8_t*>(w.values)[n * w.k + k];
  }
  static float scale(const Weights& w, std::size_t n, std::size_t) {
    return static_cast<const float*>(w.scales)[n];
  }
};

struct CanonicalS4 {
  using Code = std::int8_t;
  static Code code(const Weights& w, std::size_t n, std::size_t k) {
    const auto* row = static_cast<const std::uint8_t*>(w.values) + n * ((w.k + 1) / 2);
    return static_cast<Code>(nibble(row, k));
  }
  static float scale(const Weights& w, std::size_t n, std::size_t) {
    return static_cast<const float*>(w.scales)[n];
  }
};

/// The f16 scales of the group formats, as stored.
struct GroupScale {
  static f16 stored(const Weights& w, std::size_t n, std::size_t k) {
    return static_cast<const f16*>(w.scales)[n * (w.k / w.group) + k / w.group];
  }
  static float scale(const Weights& w, std::size_t n, std::size_t k) {
    return f16_to_f32(stored(w, n, k));
  }
};

struct CanonicalS8g : GroupScale {
  using Code = std::int8_t;
  static Code code(const Weights& w, std::size_t n, std::size_t k) {
    return CanonicalS8::code(w, n, k);
  }
};

struct CanonicalS4g : GroupScale {
  using Code = std::int8_t;
  static Code code(const Weights& w, std::size_t n, std::size_t k) {
    return CanonicalS4::code(w, n, k);
  }
};

struct CanonicalQ8_0 {
  using Code = std::int8_t;
  static const BlockQ8_0& block(const Weights& w, std::size_t n, std::size_t k) {
    return static_cast<const BlockQ8_0*>(w.values)[n * (w.k / kBlock) + k / kBlock];
  }
  static Code code(const Weights& w, std::size_t n, std::size_t k) {
    return block(w, n, k).qs[k % kBlock];
  }
  static f16 stored(const Weights& w, std::size_t n, std::size_t k) { return block(w, n, k).d; }
  static float scale(const Weights& w, std::size_t n, std::size_t k) {
    return f16_to_f32(stored(w, n, k));
  }
};

struct CanonicalQ4_0 {
  using Code = std::int8_t;
  static const BlockQ4_0& block(const Weights& w, std::size_t n, std::size_t k) {
    return static_cast<const BlockQ4_0*>(w.values)[n * (w.k / kBlock) + k / kBlock];
  }
  static Code code(const Weights& w, std::size_t n, std::size_t k) {
    const std::size_t j = k % kBlock, half = kBlock / 2;
    const int byte = block(w, n, k).qs[j % half];
    return static_cast<Code>((j < half ? byte & 15 : byte >> 4) - 8);
  }
  static f16 stored(const Weights& w, std::size_t n, std::size_t k) { return block(w, n, k).d; }
  static float scale(const Weights& w, std::size_t n, std::size_t k) {
    return f16_to_f32(stored(w, n, k));
  }
};

}  // namespace
}  // namespace qb::matmul
