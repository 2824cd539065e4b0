// SPDX-License-Identifier: Apache-2.0
// Kernels that are wrong where SIMD kernels go wrong, as rows of the real table: quantbench_broken
// is the benchmark with these in it, and must find them out.
#include <cmath>

#include "absmax/kernels.h"
#include "core/scalar_half.h"

namespace qb::absmax {

// What the conformance pass has to refuse.

/// As MAXPS with its operands in the wrong order: a comparison that is false drops the NaN.
void absmax_f32_drops_nan(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len) {
    out[i] = 0;
    for (std::size_t j = 0; j < len; ++j)
      if (std::fabs(x[j]) > out[i]) out[i] = std::fabs(x[j]);
  }
}

/// Whole vectors of eight only.
void absmax_f32_lacks_tail(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i) absmax_f32_scalar(x + i * len, 1, len / 8 * 8, out + i);
}

/// Right, but for a byte behind the end that it reads.
void absmax_f32_reads_on(const float* x, std::size_t groups, std::size_t len, float* out) {
  absmax_f32_scalar(x, groups, len, out);
  const volatile char* const end = reinterpret_cast<const volatile char*>(x + groups * len);
  if (x) (void)*end;
}

// What passes it, and is wrong on the inputs that are timed.

/// A long tail is one unit in the last place too large.
void absmax_f32_broken(const float* x, std::size_t groups, std::size_t len, float* out) {
  absmax_f32_scalar(x, groups, len, out);
  if (len % 8 == 0 || len < 1000) return;
  for (std::size_t i = 0; i < groups; ++i) out[i] = float_of(bits_of(out[i]) + 1);
}

/// Forgets the last of many groups.
void absmax_f16_broken(const f16* x, std::size_t groups, std::size_t len, float* out) {
  absmax_f16_scalar(x, groups, len, out);
  if (groups > 50) out[groups - 1] = 0;
}

}  // namespace qb::absmax
