// SPDX-License-Identifier: Apache-2.0
// The formats of QB_SUPER_FORMATS, AVX-512: sixteen or thirty-two groups at a time.
//
// In L1 decoders are bound by shuffles, which all run on one port: 256 weights of q4_K take 8
// vpmovzxbd, 16 vpermps and about 10 for the scales, counted from the code, beside 16 stores.
#include "quantize/kernels.h"
#include "quantize/lanes_avx512.h"
#include "quantize/superblocks.h"

namespace qb::quantize {
namespace {
using Searching = Twice<Lanes>;
}

QB_SUPER_FORMATS(QB_SUPER_KERNELS, )

}  // namespace qb::quantize
