// SPDX-License-Identifier: Apache-2.0
// Lines that fit the terminal.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace qb::bench {

/// Columns of the terminal that standard output is; 0 if it is none, where lines are written whole.
std::size_t terminal_width();

/// A column of a table, or of a line of progress.
struct Column {
  std::string title;
  std::size_t width;    ///< at the least
  bool left = false;    ///< aligned to the left
  int dispensable = 0;  ///< the column of the highest number is the first to go; 0 stays
};

/// The columns, in order, that fit into `width` (0: all). Those that stay may still be too wide.
std::vector<std::size_t> columns_that_fit(const std::vector<Column>& columns, std::size_t width);

/// One line, without newline: the texts of the `shown` columns, the first of them shortened in its
/// middle where the line would otherwise be wider than `width` (0: any width).
std::string table_line(const std::vector<Column>& columns, const std::vector<std::size_t>& shown,
                       std::vector<std::string> texts, std::size_t width);

/// "matmul/a8.q4..k:4096": at most `width` characters, beginning and end kept.
std::string shortened(const std::string& text, std::size_t width);

}  // namespace qb::bench
