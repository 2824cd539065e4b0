// SPDX-License-Identifier: Apache-2.0
// Convert: between binary32 and binary16, bfloat16, E4M3 and E5M2 (docs/contract.md, section 1).
//
// y[i] = x[i]. Widening is exact; narrowing rounds to nearest, ties to even, and overflows to
// infinity, or to 448 in E4M3; NaN stays NaN, quiet, its (top) payload kept, but for E4M3.
//
// y must hold x.size() values (more are left as they are) and not overlap x. Throws BadArgument
// otherwise, and writes nothing then. Arrays need the alignment of their elements only. Each call
// runs the best variant that this CPU has, on the calling thread; several threads may call at once.
#pragma once

#include <span>

#include "quantbench/error.h"
#include "quantbench/export.h"
#include "quantbench/types.h"

namespace qb::convert {

QUANTBENCH_API void widen(std::span<const qb::f16> x, std::span<float> y);
QUANTBENCH_API void widen(std::span<const qb::bf16> x, std::span<float> y);
QUANTBENCH_API void widen(std::span<const qb::e4m3> x, std::span<float> y);
QUANTBENCH_API void widen(std::span<const qb::e5m2> x, std::span<float> y);
QUANTBENCH_API void narrow(std::span<const float> x, std::span<qb::f16> y);
QUANTBENCH_API void narrow(std::span<const float> x, std::span<qb::bf16> y);
QUANTBENCH_API void narrow(std::span<const float> x, std::span<qb::e4m3> y);
QUANTBENCH_API void narrow(std::span<const float> x, std::span<qb::e5m2> y);

}  // namespace qb::convert
