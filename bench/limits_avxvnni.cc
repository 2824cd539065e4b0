// Limits of the AVX-VNNI level: vpdpbusd, 32 8-bit products an instruction.
#include "limits_ymm.h"

namespace qb::limits {
namespace {

double int8_peak(std::size_t rounds) {
  chains<12>(rounds, _mm256_setzero_si256(), _mm256_set1_epi8(3),
             [](V sum, V x) { return _mm256_dpbusd_avx_epi32(sum, x, x); });
  return 12 * 32 * 2;
}

}  // namespace

// Nibbles cost what bytes cost: there is no faster product of them.
extern const LimitKernels limits_avxvnni{"avxvnni", sizeof(V), kLoops,   kLoopCount,
                                         f32_peak,  int8_peak, int8_peak};
}  // namespace qb::limits
