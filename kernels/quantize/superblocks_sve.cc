// SPDX-License-Identifier: Apache-2.0
// The formats of blocks of 256 weights, SVE: as many groups at a time as a vector has
// lanes. Its vectors can be no members, so none is taken twice.
#include "quantize/kernels.h"
#include "quantize/lanes_sve.h"
#include "quantize/superblocks.h"

namespace qb::quantize {
namespace {
using Searching = Lanes;
}

QB_SUPER_FORMATS(QB_SUPER_KERNELS, )

}  // namespace qb::quantize
