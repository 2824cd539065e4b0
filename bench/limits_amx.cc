// Limits of the AMX level: products of tiles that stay in their registers, a 2x2 square of sums as
// the kernels have it. bf16 for the f32 peak. Bandwidth is AVX-512's.
#include <immintrin.h>

#include <cstdint>

#include "limits_kernels.h"

namespace qb::limits {
namespace {

struct alignas(64) TileConfig {
  std::uint8_t palette, start_row, reserved[14];
  std::uint16_t row_bytes[16];
  std::uint8_t rows[16];
};

/// Eight full tiles, all zero: the unit takes no shorter for them.
void configure() {
  TileConfig config = {};
  config.palette = 1;
  for (int t = 0; t < 8; ++t) config.row_bytes[t] = 64, config.rows[t] = 16;
  __asm__ volatile("" : : "r"(&config) : "memory");  // gcc 12 drops the stores otherwise
  _tile_loadconfig(&config);                         // and sets all tiles to zero
}

double int8_peak(std::size_t rounds) {
  configure();
  for (std::size_t i = 0; i < rounds; ++i) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
  return 4 * 16 * 16 * 64 * 2;
}

double bf16_peak(std::size_t rounds) {
  configure();
  for (std::size_t i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return 4 * 16 * 16 * 32 * 2;
}

}  // namespace

// Nibbles cost what bytes cost: there is no faster product of them.
extern const LimitKernels limits_amx{"amx", 64, nullptr, 0, bf16_peak, int8_peak, int8_peak};
}  // namespace qb::limits
