// SPDX-License-Identifier: Apache-2.0
// The conformance pass: whether a variant does what the contract says on the inputs that tell a
// right kernel from a wrong one, in some tens of milliseconds. The benchmark lets no variant be
// timed that has not passed; the tests run the same checks (checks/), only more of them.
#pragma once

#include <string>

#include "core/variant.h"

namespace qb::verify {

/// What is wrong with `v`, in a line; empty if the pass finds nothing. `v` must be a variant that
/// can run here.
///
/// A kernel that touches memory outside its spans meets a guard page. That is caught as well, by
/// handlers for SIGSEGV and SIGBUS that are installed for the time of the pass: what the pass had
/// allocated is lost then. Not caught: stray stores into mapped memory beyond the guard pages, a
/// kernel that never returns, and what it does to other threads. Call it from one thread at a time.
std::string conformance(const Variant& v);

}  // namespace qb::verify
