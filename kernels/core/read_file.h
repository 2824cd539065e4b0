// SPDX-License-Identifier: Apache-2.0
// Files that others may have put there, read without trust.
#pragma once

#include <cstddef>
#include <string>

namespace qb {

/// The whole content of a regular file of at most `most_bytes`. Never waits, as a FIFO would have
/// it. Throws std::runtime_error with the reason, which does not name the path.
std::string read_regular_file(const std::string& path, std::size_t most_bytes);

}  // namespace qb
