// SPDX-License-Identifier: Apache-2.0
// f32 -> bf16, AVX512-BF16.
//
// vcvtne2ps2bf16 rounds 32 elements as the contract does, but takes subnormals for zero. A
// vfpclassps for each sixteen finds them, and NaN, whose payload is not left to the instruction;
// where there is one, and in the tail, the bits are rounded. So is all of a call with
// denormals-are-zero set, under which vfpclassps takes subnormals for zero too.
//
// Six operations for 64 elements, where rounding bits takes 22: faster in L1 and L2; from L3
// outward memory binds both.
#include "convert/avx512.h"

#include "convert/kernels.h"

#if !defined(__AVX512BF16__)
#error "compile with the flags of cmake/Isa.cmake for avx512bf16"
#endif

namespace qb::convert {
namespace {

struct Rounded : FloatToBrain {
  static __mmask16 nan_or_subnormal(__m512 v) {
    return _mm512_fpclass_ps_mask(v, 0x80 | 0x20 | 0x01);  // signalling, subnormal, quiet
  }
  static __m512i narrow(__m512 low, __m512 high) {
    return __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(high, low));
  }
  template <bool kStream>
  static void block(const float* x, bf16* y) {
    const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
    const __m512 c = _mm512_loadu_ps(x + 32), d = _mm512_loadu_ps(x + 48);
    const __mmask16 left = _kor_mask16(nan_or_subnormal(a), nan_or_subnormal(b));
    const __mmask16 right = _kor_mask16(nan_or_subnormal(c), nan_or_subnormal(d));
    if (_mm512_kortestz(left, right)) [[likely]] {
      store<kStream>(y, narrow(a, b));
      store<kStream>(y + 32, narrow(c, d));
    } else {
      FloatToBrain::block<kStream>(x, y);
    }
  }
};

bool subnormals_are_zero() { return _mm_getcsr() & 0x40; }

}  // namespace

void convert_f32_bf16_avx512bf16(const float* x, std::size_t n, bf16* y) {
  if (subnormals_are_zero())
    run<FloatToBrain>(x, n, y);
  else
    run<Rounded>(x, n, y);
}

}  // namespace qb::convert
