// SPDX-License-Identifier: Apache-2.0
// What --list prints.
#pragma once

namespace qb::bench {

/// Every operation and variant that runs here, which of them is dispatched to, and which peers
/// there are; `all`: the others as well, each with the reason why it doesn't run.
void print_list(bool all);

}  // namespace qb::bench
