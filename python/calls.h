// SPDX-License-Identifier: Apache-2.0
// Calls of one variant of one operation, for quantbench.rank(): on arrays that Python allocated,
// and timed here, so that no interpreter is between two calls.
#pragma once

#include <nanobind/nanobind.h>

/// Adds convert(), ArrayCall, MatmulCall, array_operations() and block_formats() to the module.
void bind_calls(nanobind::module_& m);
