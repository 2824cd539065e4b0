// SPDX-License-Identifier: Apache-2.0
// xsimd for the portable variants, one architecture per translation unit.
//
// CMake compiles each xsimd.cc once per instruction set and defines `xsimd` to a name of its own
// (-Dxsimd=xsimd_avx2), so that not even inlines left out of line can be merged with another
// instruction set's copies. Covers xsimd 8.1 (Debian 12) to 14.
#pragma once

#include <xsimd/xsimd.hpp>

#if XSIMD_VERSION_MAJOR < 8
#error "xsimd 8.1 or newer is needed"
#endif

namespace qb {
namespace {

#if defined(QB_XSIMD_avx2)
using Arch = xsimd::fma3<xsimd::avx2>;
#elif defined(QB_XSIMD_sse4_2)
using Arch = xsimd::sse4_2;
#elif defined(QB_XSIMD_neon)
using Arch = xsimd::neon64;
#else
#error "CMake defines QB_XSIMD_<instruction set>"
#endif

template <class T>
using batch = xsimd::batch<T, Arch>;

/// The same bits as a batch of another type; what the template argument means changed in xsimd 11.
template <class To, class T>
[[maybe_unused]] inline batch<To> bitwise(const batch<T>& v) {
#if XSIMD_VERSION_MAJOR >= 11
  return xsimd::bitwise_cast<To>(v);
#else
  return xsimd::bitwise_cast<batch<To> >(v);
#endif
}

/// Horizontal sum; the name changed in xsimd 10.
template <class T>
[[maybe_unused]] inline T reduce_add(const batch<T>& v) {
#if XSIMD_VERSION_MAJOR >= 10
  return xsimd::reduce_add(v);
#else
  return xsimd::hadd(v);
#endif
}

/// Horizontal maximum, through memory: xsimd 8.1 has no reduce_max, and it is off every hot path.
template <class T>
[[maybe_unused]] inline T reduce_max(const batch<T>& v) {
  alignas(64) T lane[batch<T>::size];
  v.store_aligned(lane);
  T largest = lane[0];
  for (std::size_t i = 1; i < batch<T>::size; ++i) largest = lane[i] > largest ? lane[i] : largest;
  return largest;
}

}  // namespace
}  // namespace qb
