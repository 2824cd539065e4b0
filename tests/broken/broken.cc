// Kernels that are wrong where SIMD kernels go wrong, as rows of the real table: quantbench_broken
// is the benchmark with these in it, and must find them out.
#include "absmax/kernels.h"
#include "core/scalar_half.h"

namespace qb::absmax {

/// Right for whole vectors; with a tail one unit in the last place too large.
void absmax_f32_broken(const float* x, std::size_t groups, std::size_t len, float* out) {
  absmax_f32_scalar(x, groups, len, out);
  if (len % 8 == 0) return;
  for (std::size_t i = 0; i < groups; ++i) out[i] = float_of(bits_of(out[i]) + 1);
}

/// Forgets the last group.
void absmax_f16_broken(const f16* x, std::size_t groups, std::size_t len, float* out) {
  absmax_f16_scalar(x, groups, len, out);
  if (groups > 1) out[groups - 1] = 0;
}

}  // namespace qb::absmax
