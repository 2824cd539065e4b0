// SPDX-License-Identifier: Apache-2.0
// What the checked functions throw.
#pragma once

#include <stdexcept>

#include "quantbench/export.h"

namespace qb {

/// A function's refusal of its arguments. The message names the function, the argument and the
/// numbers; nothing has been written.
class QUANTBENCH_API BadArgument : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

}  // namespace qb
