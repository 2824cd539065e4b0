// SPDX-License-Identifier: Apache-2.0
// Limits of the AVX512-BF16 level: vdpbf16ps, 32 products an instruction.
#include <immintrin.h>

#include "limits_kernels.h"
#include "limits_peak.h"

namespace qb::limits {
namespace {

double bf16_peak(std::size_t rounds) {
  chains<12>(rounds, _mm512_set1_ps(1.0f), _mm512_set1_epi16(0x3f7f), [](__m512 sum, __m512i x) {
    const auto halves = __builtin_bit_cast(__m512bh, x);
    return _mm512_dpbf16_ps(sum, halves, halves);
  });
  return 12 * 32 * 2;
}

}  // namespace

extern const LimitKernels limits_avx512bf16{.isa = "avx512bf16", .bf16_peak = bf16_peak};
}  // namespace qb::limits
