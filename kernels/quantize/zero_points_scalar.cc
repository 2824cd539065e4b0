// SPDX-License-Identifier: Apache-2.0
// The formats of groups with zero points, in plain C++: `scalar` (vectorisation off),
// `autovec` and `autovec_avx2` (on).
#include "quantize/kernels.h"
#include "quantize/lanes_scalar.h"
#include "quantize/zero_points.h"

namespace qb::quantize {

QB_ZERO_POINT_FORMATS(QB_ZERO_POINT_KERNELS, )

}  // namespace qb::quantize
