// SPDX-License-Identifier: Apache-2.0
// Limits of the AVX-VNNI level: vpdpbusd, 32 8-bit products an instruction.
#include <immintrin.h>

#include "limits_kernels.h"
#include "limits_peak.h"

namespace qb::limits {
namespace {

double int8_peak(std::size_t rounds) {
  chains<12>(rounds, _mm256_setzero_si256(), _mm256_set1_epi8(3),
             [](__m256i sum, __m256i x) { return _mm256_dpbusd_avx_epi32(sum, x, x); });
  return 12 * 32 * 2;
}

}  // namespace

extern const LimitKernels limits_avxvnni{
    .isa = "avxvnni", .int8_peak = int8_peak, .int4_peak = int8_peak};
}  // namespace qb::limits
