// SPDX-License-Identifier: Apache-2.0
// Where the panels of the products by vpdpbusd keep scales and minima that stand before the codes
// (vnni_panels.h), for vectors of any length.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/panels_x86.h"

namespace qb::matmul {
namespace {

using std::size_t;
using Byte = std::uint8_t;

constexpr size_t kLine = 64;

/// Vector c of a panel's dword, or of its scales in units of `size` bytes.
template <class V>
constexpr size_t part(int c, size_t size) {
  return size_t(c) % (kPanel / V::kLanes) * V::kLanes * size;
}

// A Header says where the scales and minima of a panel stand, and loads a vector of them:
//
//   kSuper, kPair, kEach   bytes before kSuperBlock weights, before a pair, before each block
//   kOfPair                blocks of a pair: 2, or 4 of 16 codes
//   kInSuper               only if kPair is 0: bytes before kSuperBlock weights that one pair uses
//   put<F>(w, n, g, ...)   stores those of group g
//   scales, minima<V>(...) the c'th vector; i: of the pair's i'th block

/// Scales without minima: Kind says where they stand.
struct ScalesAlone {
  static constexpr size_t kSuper = 0, kPair = kLine, kEach = 0, kOfPair = 2;
};
/// Products of two: d and dmin as f16 before eight blocks; scales and minima, as bytes, of both
/// blocks of a pair.
struct LevelsOf256 {
  static constexpr size_t kSuper = kLine, kPair = kLine, kEach = 0, kOfPair = 2;
  template <class F>
  static void put(const Weights& w, size_t n, size_t g, Byte* super, Byte* pair) {
    Byte* const scales = pair + g % 2 * (2 * kPanel);
    put_levels<F>(w, n, g, super, scales, scales + kPanel);
  }
  template <class V>
  static typename V::Float scales(const Byte* super, const Byte* pair, const Byte*, int second,
                                  int c) {
    return V::mul(V::from_bytes(pair + second * 2 * int(kPanel) + part<V>(c, 1)),
                  V::from_half(super + part<V>(c, sizeof(f16))));
  }
  template <class V>
  static typename V::Float minima(const Byte* super, const Byte* pair, const Byte* each, int second,
                                  int c) {
    return scales<V>(super + kPanel * sizeof(f16), pair + kPanel, each, second, c);
  }
};
/// As f16 before each pair of blocks: scales and minima of the first, then of the second.
struct HalvesOfPairs {
  static constexpr size_t kSuper = 0, kPair = 2 * kLine, kEach = 0, kOfPair = 2;
  template <class F>
  static void put(const Weights& w, size_t n, size_t g, Byte*, Byte* pair) {
    put_halves<F>(w, n, g, pair + g % 2 * kLine);
  }
  template <class V>
  static typename V::Float scales(const Byte*, const Byte* pair, const Byte*, int second, int c) {
    return V::from_half(pair + second * int(kLine) + part<V>(c, sizeof(f16)));
  }
  template <class V>
  static typename V::Float minima(const Byte* super, const Byte* pair, const Byte* each, int second,
                                  int c) {
    return scales<V>(super, pair + kPanel * sizeof(f16), each, second, c);
  }
};
/// Scales as f16 before each pair of blocks, a line with those of the first and of the second, then
/// their zero points as bytes, of the first and of the second: a minimum is their product.
struct ZerosOfPairs {
  static constexpr size_t kSuper = 0, kPair = 2 * kLine, kEach = 0, kOfPair = 2;
  template <class F>
  static void put(const Weights& w, size_t n, size_t g, Byte*, Byte* pair) {
    put_zeros<F>(w, n, g, pair + g % 2 * (kLine / 2), pair + kLine + g % 2 * kPanel);
  }
  template <class V>
  static typename V::Float scales(const Byte*, const Byte* pair, const Byte*, int second, int c) {
    return V::from_half(pair + second * int(kLine / 2) + part<V>(c, sizeof(f16)));
  }
  template <class V>
  static typename V::Float minima(const Byte* super, const Byte* pair, const Byte* each, int second,
                                  int c) {
    return V::mul(scales<V>(super, pair, each, second, c),
                  V::from_bytes(pair + kLine + second * int(kPanel) + part<V>(c, 1)));
  }
};
/// Products of two without minima, of groups of 16: d before 256 weights, and the scales of four
/// groups before them.
struct ScalesOf256 {
  static constexpr size_t kSuper = kLine, kPair = kLine, kEach = 0, kOfPair = 4;
  template <class F>
  static void put(const Weights& w, size_t n, size_t g, Byte* super, Byte* pair) {
    put_levels<F>(w, n, g, super, pair + g % kOfPair * kPanel, nullptr);
  }
  template <class V>
  static typename V::Float scales(const Byte* super, const Byte* pair, const Byte*, int i, int c) {
    return V::mul(V::from_signed_bytes(pair + i * int(kPanel) + part<V>(c, 1)),
                  V::from_half(super + part<V>(c, sizeof(f16))));
  }
};
/// The same of groups of 32. Before 256 weights: the scales of all eight groups, then a line whose
/// first half is d as f16; the second half is unused.
struct ScalesOf256Together {
  static constexpr size_t kInSuper = 2 * kPanel, kGroups = kSuperBlock / kBlock;
  static constexpr size_t kSuper = kGroups * kPanel + kLine, kPair = 0, kEach = 0, kOfPair = 2;
  template <class F>
  static void put(const Weights& w, size_t n, size_t g, Byte* super, Byte*) {
    put_levels<F>(w, n, g, super + kGroups * kPanel, super + g % kGroups * kPanel, nullptr);
  }
  template <class V>
  static typename V::Float scales(const Byte* super, const Byte* pair, const Byte*, int i, int c) {
    return V::mul(V::from_signed_bytes(pair + i * int(kPanel) + part<V>(c, 1)),
                  V::from_half(super + kGroups * kPanel + part<V>(c, sizeof(f16))));
  }
};
/// The upper bits of f16 scales of four groups of 16 before them.
struct NarrowOf16 {
  static constexpr size_t kSuper = 0, kPair = kLine, kEach = 0, kOfPair = 4;
  template <class F>
  static void put(const Weights& w, size_t n, size_t g, Byte*, Byte* pair) {
    put_narrow<F>(w, n, g, pair + g % kOfPair * kPanel);
  }
  template <class V>
  static typename V::Float scales(const Byte*, const Byte* pair, const Byte*, int i, int c) {
    return V::from_upper_bits(pair + i * int(kPanel) + part<V>(c, 1));
  }
};
/// Floats before each block: scales, and minima if there are any.
struct FloatsOfBlocks {
  static constexpr size_t kSuper = 0, kPair = 0, kEach = 2 * kLine, kOfPair = 2;
  template <class V>
  static typename V::Float scales(const Byte*, const Byte*, const Byte* each, int, int c) {
    return V::load_float(each + part<V>(c, sizeof(float)));
  }
  template <class V>
  static typename V::Float minima(const Byte*, const Byte*, const Byte* each, int, int c) {
    return V::load_float(each + kLine + part<V>(c, sizeof(float)));
  }
};

/// Floats before each block of 32: a line with the scales of its first 16 codes, then a line with
/// those of the other 16.
struct FloatsOfHalves {
  static constexpr size_t kSuper = 0, kPair = 0, kEach = 2 * kLine, kOfPair = 4;
  template <class V>
  static typename V::Float scales(const Byte*, const Byte*, const Byte* each, int i, int c) {
    return V::load_float(each + size_t(i % 2) * kLine + part<V>(c, sizeof(float)));
  }
};

/// Panels that hold C vectors.
template <class V>
constexpr int panels_of(int C) {
  return C / int(kPanel / V::kLanes);
}
/// Which of them holds vector c.
template <class V>
constexpr int panel_of(int c) {
  return c / int(kPanel / V::kLanes);
}

/// Where the scales and minima of the next blocks stand, as Header has them.
template <class V, class Header, int panels>
struct Headers {
  const Byte* super[panels];
  const Byte* pair[panels];
  const Byte* each[panels];

  explicit Headers(const Byte* const (&panel)[panels]) {
    QB_UNROLL for (int p = 0; p < panels; ++p) super[p] = pair[p] = each[p] = panel[p];
  }

  /// Notes that the next pair begins at w; first: of kSuperBlock weights. Goes past what stands
  /// before it, and calls before(p, bytes) then.
  template <class Before>
  [[gnu::always_inline]] void next_pair(const Byte* (&w)[panels], bool first, Before before) {
    if (Header::kSuper && first) pass(super, Header::kSuper, w, before);
    if constexpr (Header::kPair > 0) {
      pass(pair, Header::kPair, w, before);
    } else if constexpr (requires { Header::kInSuper; }) {
      QB_UNROLL for (int p = 0; p < panels; ++p) pair[p] =
          first ? super[p] : pair[p] + Header::kInSuper;
    }
  }
  /// The same of the next block.
  template <class Before>
  [[gnu::always_inline]] void next_block(const Byte* (&w)[panels], Before before) {
    if (Header::kEach) pass(each, Header::kEach, w, before);
  }

  /// Scales and minima of the c'th vector, of the i'th block (or half) of a pair.
  typename V::Float scales(int c, int i) const {
    const int p = panel_of<V>(c);
    return Header::template scales<V>(super[p], pair[p], each[p], i, c);
  }
  typename V::Float minima(int c, int i) const {
    const int p = panel_of<V>(c);
    return Header::template minima<V>(super[p], pair[p], each[p], i, c);
  }

 private:
  template <class Before>
  [[gnu::always_inline]] static void pass(const Byte* (&header)[panels], size_t bytes,
                                          const Byte* (&w)[panels], Before before) {
    QB_UNROLL for (int p = 0; p < panels; ++p) {
      before(p, bytes);
      header[p] = w[p];
      w[p] += bytes;
    }
  }
};

}  // namespace
}  // namespace qb::matmul
