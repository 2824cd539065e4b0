// What the limits of the NEON levels share: vectors, the streaming loops, and the f32 peak.
#pragma once

#include <arm_neon.h>

#include <cstdint>

#include "limits_kernels.h"

namespace qb::limits {
namespace {
using V = uint8x16_t;
inline V load(const V* p) { return vld1q_u8(reinterpret_cast<const std::uint8_t*>(p)); }
inline void store(V* p, V v) { vst1q_u8(reinterpret_cast<std::uint8_t*>(p), v); }
inline void stream(V* p, V v) { store(p, v); }
inline V join(V a, V b) { return vorrq_u8(a, b); }
inline void fence() {}
inline void keep(V v) { __asm__ volatile("" ::"w"(v)); }
}  // namespace
}  // namespace qb::limits

#include "limits_peak.h"
#include "limits_stream.h"

namespace qb::limits {
namespace {

/// Sixteen chains: four pipes of four cycles' latency.
constexpr int kChains = 16;

[[maybe_unused]] double f32_peak(std::size_t rounds) {
  chains<kChains>(rounds, vdupq_n_f32(1.0f), vdupq_n_f32(0.999f),
                  [](float32x4_t sum, float32x4_t x) { return vfmaq_f32(sum, x, x); });
  return kChains * 4 * 2;
}

}  // namespace
}  // namespace qb::limits
