// SPDX-License-Identifier: Apache-2.0
// AMX's tile registers: what each holds, and the loops over steps of K that multiply 16 or 32 rows
// of activations with a panel of 32 outputs. amx_tiles.h says why they are so.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace qb::matmul {
namespace {

using std::size_t;
using Byte = std::uint8_t;

constexpr size_t kTile = 1024;  // bytes
constexpr size_t kRows = 16;    // of a tile
constexpr size_t kLine = 64;    // bytes of a tile's row: a step of K
constexpr size_t kStrip = 16;   // outputs of a tile
constexpr size_t kPanel = 32;   // outputs

// 0 and 1: sums of 16 rows with the panel's two strips; 2 and 3: of the next 16 (or of the same,
// odd steps). 4 and 5: activations of the two. 6 and 7: weights of the two strips.
struct alignas(64) TileConfig {
  std::uint8_t palette, start_row, reserved[14];
  std::uint16_t row_bytes[16];
  std::uint8_t rows[16];
};

/// What was stored is in memory from here on: a tile load is an asm that does not say what it
/// reads.
inline void stored(const void* p) { asm volatile("" : : "r"(p) : "memory"); }

inline void load_config(const TileConfig& config) {
  stored(&config);
  _tile_loadconfig(&config);
}

/// Tiles of `upper` and `lower` rows of activations; `k_bytes` of K in each of them.
inline void configure(size_t upper, size_t lower, size_t k_bytes) {
  TileConfig config = {};
  config.palette = 1;
  for (int t = 0; t < 8; ++t) {
    config.row_bytes[t] = kLine;
    config.rows[t] = static_cast<std::uint8_t>(t >= 6            ? k_bytes / 4
                                               : t == 4 || t < 2 ? upper
                                                                 : lower);
  }
  config.row_bytes[4] = config.row_bytes[5] = static_cast<std::uint16_t>(k_bytes);
  load_config(config);
}

/// The same for weights as the first factor: sums and activations have a column for each row of
/// activations.
[[maybe_unused]] inline void configure_turned(size_t upper, size_t lower) {
  TileConfig config = {};
  config.palette = 1;
  for (int t = 0; t < 8; ++t) {
    config.row_bytes[t] =
        static_cast<std::uint16_t>(t >= 6 ? kLine : 4 * (t == 4 || t < 2 ? upper : lower));
    config.rows[t] = kStrip;
  }
  load_config(config);
}

/// The products of a 2x2 square by one instruction: of sums, activations and weights. The registers
/// of gcc's tile intrinsics must be literals.
#define QB_TILE_PRODUCTS(Name, product)             \
  struct Name {                                     \
    static void upper_left() { product(0, 4, 6); }  \
    static void upper_right() { product(1, 4, 7); } \
    static void lower_left() { product(2, 5, 6); }  \
    static void lower_right() { product(3, 5, 7); } \
  };

constexpr size_t kSums = 2 * kRows * kPanel;  // of a square

inline void zero_sums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}
inline void load_sums(const std::int32_t* sums) {
  _tile_loadd(0, sums, kPanel * 4);
  _tile_loadd(1, sums + kStrip, kPanel * 4);
  _tile_loadd(2, sums + kRows * kPanel, kPanel * 4);
  _tile_loadd(3, sums + kRows * kPanel + kStrip, kPanel * 4);
}
inline void store_sums(std::int32_t* sums) {
  _tile_stored(0, sums, kPanel * 4);
  _tile_stored(1, sums + kStrip, kPanel * 4);
  _tile_stored(2, sums + kRows * kPanel, kPanel * 4);
  _tile_stored(3, sums + kRows * kPanel + kStrip, kPanel * 4);
}

/// 32 rows, a tile of 16 at a and one `lower` bytes behind it, times a panel at b.
template <class Products, class Meanwhile>
[[gnu::noinline]] void two_rows_of_tiles(const Byte* a, size_t lower, const Byte* b, size_t steps,
                                         Meanwhile& shared) {
  Meanwhile meanwhile = shared;  // in registers
  for (size_t s = 0; s < steps; ++s, a += kTile, b += 2 * kTile) {
    _tile_loadd(4, a, kLine);
    _tile_loadd(6, b, kLine);
    Products::upper_left();
    _tile_loadd(7, b + kTile, kLine);
    Products::upper_right();
    _tile_loadd(5, a + lower, kLine);
    Products::lower_left();
    Products::lower_right();
    meanwhile.step();
  }
  meanwhile.rest_of_pieces();
  shared = meanwhile;
}

/// 16 rows at a: even and odd steps apart.
template <class Products, class Meanwhile>
[[gnu::noinline]] void one_row_of_tiles(const Byte* a, const Byte* b, size_t steps,
                                        Meanwhile& shared) {
  Meanwhile meanwhile = shared;
  for (size_t s = 0; s < steps; s += 2, a += 2 * kTile, b += 4 * kTile) {
    _tile_loadd(4, a, kLine);
    _tile_loadd(6, b, kLine);
    Products::upper_left();
    _tile_loadd(7, b + kTile, kLine);
    Products::upper_right();
    meanwhile.step();
    if (s + 1 == steps) break;
    _tile_loadd(5, a + kTile, kLine);
    _tile_loadd(6, b + 2 * kTile, kLine);
    Products::lower_left();
    _tile_loadd(7, b + 3 * kTile, kLine);
    Products::lower_right();
    meanwhile.step();
  }
  meanwhile.rest_of_pieces();
  shared = meanwhile;
}

}  // namespace
}  // namespace qb::matmul
