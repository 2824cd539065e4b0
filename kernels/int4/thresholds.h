// Codes of a long f16 group by table: thresholds on the bits instead of arithmetic on the values.
//
// With inv given, the code of |x| is the number of thresholds T1..T7 at or below it, and on the
// bits of binary16 that is integer arithmetic, a word an element: no conversion to f32, back for
// the rounding, and to f32 again. With d = bits(|x|) - (T1 - 1), saturated at 0, all codes lie in
// d < 4096 (T1 is less than four binades below absmax): sixteen windows of 256, each with at most
// two thresholds inside (from 146 apart), so vpshufb by d's high byte looks up the code at the
// window's start and the two low bytes to compare with.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <immintrin.h>

#include "core/types.h"

#if !defined(__F16C__)
#error "for the instruction sets of cmake/Isa.cmake that have F16C"
#endif

namespace qb::int4 {
namespace {

/// From this length on the table (some 400 cycles) pays.
constexpr std::size_t kLongHalf = 4096;

struct ThresholdTable {
  std::uint16_t offset = 0;  ///< T1 - 1
  /// By window: the code at its start, and the low bytes, biased, above which it is one more.
  alignas(16) std::int8_t start[16], first[16], second[16];
  bool usable = false;

  ThresholdTable(unsigned absmax_bits, float inv) {
    if (absmax_bits == 0 || absmax_bits >= 0x7c00u) return;
    const auto half = [](float v) {
      return unsigned(_mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(v), _MM_FROUND_TO_NEAREST_INT), 0));
    };
    const auto wide = [](unsigned bits) { return _cvtsh_ss(static_cast<unsigned short>(bits)); };
    const auto code = [=](unsigned bits) {
      return _mm_cvtss_si32(_mm_set_ss(wide(half(wide(bits) * inv))));
    };
    unsigned at[7];
    for (int k = 0; k < 7; ++k) {
      unsigned bits = half((float(k) + 0.5f) / inv);
      while (bits > 0 && code(bits) > k) --bits;  // a step or two, as the roundings have it
      while (code(bits) <= k) ++bits;
      at[k] = bits;
    }
    const unsigned below = at[0] - 1;
    if (absmax_bits - below >= 4096 && absmax_bits > below) return;
    for (int w = 0; w < 16; ++w) {
      int codes = 0, inside = 0;
      first[w] = second[w] = 127;  // nothing is greater
      for (const unsigned threshold : at) {
        const int d = int(threshold - below) - 256 * w;
        if (d <= 0) ++codes;
        if (d <= 0 || d > 255) continue;
        if (inside == 2) return;
        (inside++ ? second : first)[w] = std::int8_t(d - 1 - 128);
      }
      start[w] = std::int8_t(codes);
    }
    offset = std::uint16_t(below);
    usable = true;
  }
};

}  // namespace
}  // namespace qb::int4
