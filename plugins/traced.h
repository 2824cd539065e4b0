// SPDX-License-Identifier: Apache-2.0
// Kernels that record their calls (call.h).
#pragma once

#include <string_view>

namespace qb::plugins {

/// What stands in for the kernel `impl` of operation `op`: it records each call, then makes it.
/// There is one stand-in for each type of function, so the last kernel that was asked for is the
/// one behind it. `impl` itself for an operation that is not known.
const void* traced(std::string_view op, const void* impl);

}  // namespace qb::plugins
