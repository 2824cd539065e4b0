// SPDX-License-Identifier: Apache-2.0
// The formats of blocks of 256 weights, NEON (armv8-a): four or eight groups at a time.
#include "quantize/kernels.h"
#include "quantize/lanes_neon.h"
#include "quantize/superblocks.h"

namespace qb::quantize {
namespace {
using Searching = Twice<Lanes>;
}

QB_SUPER_FORMATS(QB_SUPER_KERNELS, )

}  // namespace qb::quantize
