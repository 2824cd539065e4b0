// QB_TUNING: which variant measured best on this machine, instead of the tables' fixed order.
//
// The file is JSON, as quantbench-choose writes it:
//   {"quantbench_tuning": 1,
//    "cpu": {"name": "...", "isa_detected": "..."},
//    "variants": {"absmax_f32": "avx2", ...}}
// It is obeyed whole or not at all: a file that can't be read, is of another CPU, or names an
// operation or variant that does not exist or can't run here is refused with one message on
// standard error, and the default order stays.
#pragma once

#include <string>
#include <string_view>

namespace qb::tuning {

/// The variant that the file named by QB_TUNING prefers for `op`; empty: the default order. The
/// file is read once per process.
std::string_view preferred(std::string_view op);

/// Empty if QB_TUNING is unset or its file was taken over; otherwise why it was refused.
const std::string& refusal();

}  // namespace qb::tuning
