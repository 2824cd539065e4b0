// SPDX-License-Identifier: Apache-2.0
// Absmax, SVE. Integer maximum over the bits with the sign cleared. Short groups go four at a time
// through a tree of UZP1, UZP2 and UMAX: UMAXV would serve only one, and takes as long as the tree.
#include "core/sve.h"
#include "absmax/kernels.h"

namespace qb::absmax {
namespace {

template <class T>
inline void all(const T* x, std::size_t groups, std::size_t len, float* out) {
  constexpr std::size_t kShort = 1024;  // bytes; from there on a group hides its own reduction
  if (len * sizeof *x <= kShort)
    for (; groups >= 4; groups -= 4, x += 4 * len, out += 4)
      svst1_f32(first4(), out, absmax_of_4(x, len));
  for (std::size_t i = 0; i < groups; ++i) out[i] = absmax_of_1(x + i * len, len);
}

}  // namespace

void absmax_f32_sve(const float* x, std::size_t groups, std::size_t len, float* out) {
  all(x, groups, len, out);
}

void absmax_f16_sve(const f16* x, std::size_t groups, std::size_t len, float* out) {
  all(x, groups, len, out);
}

}  // namespace qb::absmax
