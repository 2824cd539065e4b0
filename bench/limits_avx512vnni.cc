// Limits of the AVX512-VNNI level: vpdpbusd, 64 8-bit products an instruction.
#include "limits_zmm.h"

namespace qb::limits {
namespace {

double int8_peak(std::size_t rounds) {
  chains<12>(rounds, _mm512_setzero_si512(), _mm512_set1_epi8(3),
             [](V sum, V x) { return _mm512_dpbusd_epi32(sum, x, x); });
  return 12 * 64 * 2;
}

}  // namespace

// Nibbles cost what bytes cost: there is no faster product of them.
extern const LimitKernels limits_avx512vnni{"avx512vnni", sizeof(V), kLoops,   kLoopCount,
                                            f32_peak,     int8_peak, int8_peak};
}  // namespace qb::limits
