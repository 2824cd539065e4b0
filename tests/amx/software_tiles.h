// SPDX-License-Identifier: Apache-2.0
// AMX tiles in plain C++, after Intel's manual (volume 2, TILELOADD to TDPBF16PS), for machines
// without them. Included before the AMX kernels (-include), it takes the place of the compiler's
// intrinsics: the kernels' layouts, blocking and arithmetic are then what is tested. What the
// hardware refuses with #UD or #GP stops the program here.
//
// Not modelled: the tiles' state in XSAVE, and the order of a tile load among other loads and
// stores, which the hardware is free to choose as for any load.
#pragma once

#include <immintrin.h>

// Only here: were they defined before, gcc 13's immintrin.h would take AMX for enabled.
#define __AMX_INT8__ 1
#define __AMX_BF16__ 1

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {
namespace software_tiles {

struct Tile {
  int rows = 0, row_bytes = 0;
  alignas(64) std::uint8_t bytes[16][64] = {};
};
struct State {
  bool configured = false;
  Tile tiles[8];
};
inline thread_local State state;

[[noreturn]] inline void fault(const char* what) {
  std::fprintf(stderr, "software_tiles: %s\n", what);
  std::abort();
}

inline void load_config(const void* memory) {
  std::uint8_t config[64];
  std::memcpy(config, memory, sizeof config);
  state = {};
  if (config[0] == 0) return;
  if (config[0] != 1) fault("a palette that is neither 0 nor 1");
  if (config[1] != 0) fault("a start row that is not 0");
  for (int i = 2; i < 16; ++i)
    if (config[i]) fault("a reserved byte of the configuration that is not 0");
  for (int t = 0; t < 8; ++t) {
    std::uint16_t row_bytes;
    std::memcpy(&row_bytes, config + 16 + 2 * t, sizeof row_bytes);
    const int rows = config[48 + t];
    if (row_bytes > 64 || rows > 16) fault("a tile of more than 16 rows of 64 bytes");
    if ((row_bytes == 0) != (rows == 0))
      fault("a tile with rows but no bytes, or bytes but no rows");
    state.tiles[t].rows = rows;
    state.tiles[t].row_bytes = row_bytes;
  }
  for (int t = 8; t < 16; ++t)
    if (config[16 + 2 * t] || config[17 + 2 * t] || config[48 + t]) fault("more than 8 tiles");
  state.configured = true;
}

inline Tile& tile(int t) {
  if (!state.configured || state.tiles[t].rows == 0) fault("a tile that is not configured");
  return state.tiles[t];
}

inline void zero(int t) { std::memset(tile(t).bytes, 0, sizeof state.tiles[t].bytes); }

inline void load(int t, const void* base, std::size_t stride) {
  zero(t);
  Tile& to = tile(t);
  for (int r = 0; r < to.rows; ++r)
    std::memcpy(to.bytes[r], static_cast<const char*>(base) + std::size_t(r) * stride,
                std::size_t(to.row_bytes));
}

inline void store(int t, void* base, std::size_t stride) {
  const Tile& from = tile(t);
  for (int r = 0; r < from.rows; ++r)
    std::memcpy(static_cast<char*>(base) + std::size_t(r) * stride, from.bytes[r],
                std::size_t(from.row_bytes));
}

/// The three tiles of a product, whose sizes must fit.
struct Product {
  Tile& sums;
  const Tile &a, &b;
  int rows, columns, depth;  ///< depth: words of four bytes along K
};
inline Product product(int sums, int a, int b) {
  if (sums == a || sums == b || a == b) fault("a product of a tile with itself");
  const Product p{tile(sums),           tile(a), tile(b), tile(sums).rows, tile(sums).row_bytes / 4,
                  tile(a).row_bytes / 4};
  if (p.sums.row_bytes % 4 || p.a.row_bytes % 4 || p.b.row_bytes % 4)
    fault("a product of rows that are no multiple of 4 bytes");
  if (p.a.rows != p.rows || p.b.rows != p.depth || p.b.row_bytes != p.sums.row_bytes)
    fault("a product of tiles whose sizes do not fit");
  return p;
}

/// sums[m][n] += the four products of signed bytes of each word, modulo 2^32.
inline void dot_bytes(int sums, int a, int b) {
  const Product p = product(sums, a, b);
  for (int m = 0; m < p.rows; ++m) {
    alignas(64) std::uint32_t sum[16];
    std::memcpy(sum, p.sums.bytes[m], sizeof sum);
    for (int k = 0; k < p.depth; ++k)
      for (int n = 0; n < p.columns; ++n)
        for (int i = 0; i < 4; ++i)
          sum[n] += std::uint32_t(int(std::int8_t(p.a.bytes[m][4 * k + i])) *
                                  int(std::int8_t(p.b.bytes[k][4 * n + i])));
    std::memcpy(p.sums.bytes[m], sum, sizeof sum);
    std::memset(p.sums.bytes[m] + p.sums.row_bytes, 0, std::size_t(64 - p.sums.row_bytes));
  }
}

/// Subnormal numbers are zeros, read or written.
inline float flushed(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7f800000) == 0) bits &= 0x80000000;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline float widened(const std::uint8_t* bf16) {
  std::uint16_t half;
  std::memcpy(&half, bf16, sizeof half);
  const std::uint32_t bits = std::uint32_t(half) << 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return flushed(x);
}

/// sums[m][n] += (the even products of bf16, added in order) + (the odd ones), each step one FMA.
inline void dot_bf16(int sums, int a, int b) {
  const Product p = product(sums, a, b);
  for (int m = 0; m < p.rows; ++m) {
    float part[2][16] = {};
    for (int k = 0; k < p.depth; ++k)
      for (int i = 0; i < 2; ++i) {
        const float x = widened(p.a.bytes[m] + 4 * k + 2 * i);
        for (int n = 0; n < p.columns; ++n)
          part[i][n] = flushed(std::fma(x, widened(p.b.bytes[k] + 4 * n + 2 * i), part[i][n]));
      }
    for (int n = 0; n < p.columns; ++n) {
      float sum;
      std::memcpy(&sum, p.sums.bytes[m] + 4 * n, sizeof sum);
      sum = flushed(flushed(sum) + flushed(part[0][n] + part[1][n]));
      std::memcpy(p.sums.bytes[m] + 4 * n, &sum, sizeof sum);
    }
  }
}

}  // namespace software_tiles
}  // namespace

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbssd
#undef _tile_dpbf16ps
#define _tile_loadconfig(config) software_tiles::load_config(config)
#define _tile_release() software_tiles::state = {}
#define _tile_zero(t) software_tiles::zero(t)
#define _tile_loadd(t, base, stride) software_tiles::load(t, base, stride)
#define _tile_stored(t, base, stride) software_tiles::store(t, base, stride)
#define _tile_dpbssd(sums, a, b) software_tiles::dot_bytes(sums, a, b)
#define _tile_dpbf16ps(sums, a, b) software_tiles::dot_bf16(sums, a, b)
