// SPDX-License-Identifier: Apache-2.0
// QB_TUNING: which variant measured best on this machine, instead of the tables' fixed order.
//
// The file is JSON, as quantbench-choose writes it:
//   {"quantbench_tuning": 2,
//    "cpu": {"name": "...", "isa_detected": "..."},
//    "row_classes": {"one": 1, "few": 2, "many": 4},
//    "variants": {"absmax_f32": "avx2",
//                 "matmul_abf16_f32": {"one": "avx512bf16", "many": "avx512"}}}
// A product names its variant per class of rows (core/rows.h); "row_classes" says where each class
// begins, and must say what this program says. Classes that it does not name keep the default
// order. A name instead of classes holds for all of them; operations without rows take only a name.
//
// It is obeyed whole or not at all: a file that can't be read, is of another CPU or of other
// classes, or names an operation, class or variant that does not exist or can't run here is refused
// with one message on standard error, and the default order stays. The file is read once per
// process, when something is dispatched for the first time.
#pragma once

#include <string>

namespace qb::tuning {

/// Empty if QB_TUNING is unset or its file was taken over; otherwise why it was refused.
const std::string& refusal();

}  // namespace qb::tuning
