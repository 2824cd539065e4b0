// SPDX-License-Identifier: Apache-2.0
// Limits of the AVX512-VNNI level: vpdpbusd, 64 8-bit products an instruction.
#include <immintrin.h>

#include "limits_kernels.h"
#include "limits_peak.h"

namespace qb::limits {
namespace {

double int8_peak(std::size_t rounds) {
  chains<12>(rounds, _mm512_setzero_si512(), _mm512_set1_epi8(3),
             [](__m512i sum, __m512i x) { return _mm512_dpbusd_epi32(sum, x, x); });
  return 12 * 64 * 2;
}

}  // namespace

extern const LimitKernels limits_avx512vnni{
    .isa = "avx512vnni", .int8_peak = int8_peak, .int4_peak = int8_peak};
}  // namespace qb::limits
