// SPDX-License-Identifier: Apache-2.0
// The formats of blocks of 256 weights, in plain C++: `scalar` (vectorisation off),
// `autovec` and `autovec_avx2` (on). A group at a time.
#include "quantize/kernels.h"
#include "quantize/lanes_scalar.h"
#include "quantize/superblocks.h"

namespace qb::quantize {
namespace {
using Searching = Lanes;
}

QB_SUPER_FORMATS(QB_SUPER_KERNELS, )

}  // namespace qb::quantize
