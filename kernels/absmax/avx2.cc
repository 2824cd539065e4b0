// SPDX-License-Identifier: Apache-2.0
// Absmax, AVX2. What binds; the shares of the limit that are reached are in results/.
//
//   one group       the loads, two of 32 bytes a cycle with an AND and a maximum each; beyond the
//                   caches memory, read in four places (core/turns.h).
//   groups of 32    the vector pipes in L1: reducing eight groups takes 21 (f32) or 25 (f16)
//                   operations on top of 56 or 24; memory from L2 outward.
#include "absmax/groups_x86.h"

#include "absmax/kernels.h"

namespace qb::absmax {
namespace {

template <class U>
inline void all(const typename U::T* x, std::size_t groups, std::size_t len, float* out) {
  if (len * sizeof *x <= kShort) return short_groups<U>(x, groups, len, out);
  const bool far = len * sizeof *x >= kStreamBytes;
  for (std::size_t i = 0; i < groups; ++i)
    out[i] = far ? far_run<U>(x + i * len, len) : run<U>(x + i * len, len);
}

}  // namespace

void absmax_f32_avx2(const float* x, std::size_t groups, std::size_t len, float* out) {
  all<U32>(x, groups, len, out);
}

void absmax_f16_avx2(const f16* x, std::size_t groups, std::size_t len, float* out) {
  all<U16>(x, groups, len, out);
}

}  // namespace qb::absmax
