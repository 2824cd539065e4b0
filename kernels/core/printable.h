// SPDX-License-Identifier: Apache-2.0
// Text from outside (files, the environment, arguments, other libraries) made safe for a terminal.
#pragma once

#include <string>
#include <string_view>

namespace qb {

/// `text` with everything escaped that would steer a terminal or change the order in which the line
/// is read: control characters and bytes that are not UTF-8 become "\x1b", bidirectional controls,
/// invisible characters and line separators become "\u202e". All else is kept.
std::string printable(std::string_view text);

/// The same, line by line: newlines are kept.
std::string printable_lines(std::string_view text);

}  // namespace qb
