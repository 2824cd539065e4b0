// SPDX-License-Identifier: Apache-2.0
// The formats of blocks of 256 weights, AVX-512: sixteen or thirty-two groups at a time.
//
// Decoders are bound by shuffles, which all run on one port: 256 weights of q4_K take 8 vpmovzxbd,
// 16 vpermps and about 10 for the scales, 34 cycles where stores take 16; 256 of nvfp4 take 32. L2
// takes those 1,024 bytes in about 67 cycles on an Emerald Rapids, which hides the shuffles.
#include "quantize/kernels.h"
#include "quantize/lanes_avx512.h"
#include "quantize/superblocks.h"

namespace qb::quantize {
namespace {
using Searching = Twice<Lanes>;
}

QB_SUPER_FORMATS(QB_SUPER_KERNELS, )

}  // namespace qb::quantize
