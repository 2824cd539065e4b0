// SPDX-License-Identifier: Apache-2.0
// Products of int8 activations by vpdpbusd, for vectors of any length: vnni_panels.h has the
// layout, and says what few and many rows do.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/vnni_few_rows.h"
#include "matmul/a8/vnni_tiles.h"

namespace qb::matmul {
namespace {

/// More rows than few, in chunks that stay in the second cache.
template <class V, class K>
inline void run_tiles(const Weights& w, const Call& call, const Byte* panels, size_t bytes,
                      size_t n0, size_t m, const Byte* x, float* y) {
  size_t most = least(kRowBytes / (call.x.stride + 1), kMostRows);  // no stride where k is 0
  if (most < 2 * V::kTileRows) most = 2 * V::kTileRows;
  const size_t chunks = (m + most - 1) / most;
  for (size_t i = 0; i < chunks; ++i) {
    const size_t m0 = m * i / chunks, m1 = m * (i + 1) / chunks;
    const auto rows = [&](auto scaled) {
      tiles<V, K, decltype(scaled)::value>(call, panels, bytes, n0, m1 - m0, x + m0 * call.x.stride,
                                           y + m0 * w.n);
    };
    if constexpr (!K::per_block) {
      rows(How<Scaled::once>{});
    } else if constexpr (K::kHeaders) {
      rows(How<Scaled::headers>{});
    } else if constexpr (V::kGroups) {
      if (call.group_blocks > 1)
        rows(How<Scaled::group>{});
      else
        rows(How<Scaled::block>{});
    } else {
      rows(How<Scaled::block>{});
    }
  }
}

template <class V, class F>
void run(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
         size_t n0, size_t n1, void* out) {
  using K = KindOf<F>;
  Call call;
  const size_t k = padded<K>(w.k);
  call.blocks = blocks_of(k) * (kBlock / K::kUnit);
  call.group_blocks = F::per_group ? w.group / K::kUnit : call.blocks;
  call.x = row_layout(k, F::per_group, 1, K::kUnit);
  call.n = w.n;
  call.n1 = n1;
  const size_t bytes = K::bytes(w.k, w.group);
  const Byte* const panels = static_cast<const Byte*>(packed) + n0 / kPanel * bytes;
  const Byte* const x = static_cast<const Byte*>(workspace);
  float* const y = static_cast<float*>(out);
  if (m <= V::kFew) return any_few_rows<V, K, V::kFew>(m, call, panels, bytes, n0, x, y);
  run_tiles<V, K>(w, call, panels, bytes, n0, m, x, y);
}

template <class F, class K>
constexpr auto packs() {
  if constexpr (kTwoBits<F>)
    return pack_two_bits<F>;
  else
    return pack<F, K>;
}
template <class F, class K>
constexpr auto unpacks() {
  if constexpr (kTwoBits<F>)
    return unpack_two_bits;
  else
    return unpack<F, K>;
}

template <class V, class F>
constexpr Kernel kernel_of() {
  using K = KindOf<F>;
  return {.n_step = 2 * kPanel,
          .packed_bytes = packed_bytes<K>,
          .pack = packs<F, K>(),
          .unpack = unpacks<F, K>(),
          .workspace_bytes = workspace_bytes<K, F::per_group>,
          .m_step = 1,
          .prepare = V::template prepare<K>,
          .run = run<V, F>};
}

}  // namespace
}  // namespace qb::matmul
