// SPDX-License-Identifier: Apache-2.0
// Runs code that may access unmapped memory, and survives the fault.
#pragma once

#include <functional>
#include <string>

namespace qb::verify {

/// Calls body. If this thread meets SIGSEGV or SIGBUS meanwhile, abandons it, without destructors,
/// and says where; empty if it returned. The process's handlers are put back in either case.
std::string fault_of(const std::function<void()>& body);

}  // namespace qb::verify
