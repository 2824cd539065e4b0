// SPDX-License-Identifier: Apache-2.0
// All rooms together: for --list, benchmarks and checks that span rooms. Rooms don't know it.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "core/variant.h"

namespace qb {

/// Every row of every room, in the order in which --list shows them.
std::vector<const Variant*> all_variants();

/// The classes of rows that an operation is dispatched by: those of products (core/rows.h), or only
/// Rows::any. Empty for an unknown operation.
std::span<const Rows> row_classes(std::string_view op);

/// The variant of `op` that is dispatched to for a class of it; null if none runs here.
const Variant* dispatched(std::string_view op, Rows rows);

}  // namespace qb
