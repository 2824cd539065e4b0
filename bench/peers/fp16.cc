// SPDX-License-Identifier: Apache-2.0
// The FP16 library: one half or float at a time, in integer and float arithmetic; how far loops
// over it are vectorised is the compiler's affair. Headers only, compiled as eigen.cc is.
#include <fp16.h>

#include "peers.h"

namespace qb::bench::peers {
namespace {

void f16_to_f32(const f16* x, std::size_t n, float* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] = fp16_ieee_to_fp32_value(std::uint16_t(x[i]));
}

void f32_to_f16(const float* x, std::size_t n, f16* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] = f16(fp16_ieee_from_fp32_value(x[i]));
}

}  // namespace

std::string add_fp16(std::vector<Peer>& peers) {
  peers.push_back(array_peer("convert_f16_f32", QB_PEER_NAME, f16_to_f32,
                             "a loop over fp16_ieee_to_fp32_value"));
  peers.push_back(array_peer("convert_f32_f16", QB_PEER_NAME, f32_to_f16,
                             "a loop over fp16_ieee_from_fp32_value"));
  return QB_PEER_VERSION;
}

}  // namespace qb::bench::peers
