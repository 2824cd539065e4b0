// SPDX-License-Identifier: Apache-2.0
#include "terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <numeric>

namespace qb::bench {
namespace {

constexpr std::size_t kUsualWidth = 80;

/// Columns and the blanks between them.
std::size_t width_of(const std::vector<Column>& columns, const std::vector<std::size_t>& shown) {
  std::size_t width = shown.empty() ? 0 : shown.size() - 1;
  for (const std::size_t i : shown) width += columns[i].width;
  return width;
}

}  // namespace

std::size_t terminal_width() {
  if (!isatty(STDOUT_FILENO)) return 0;
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  if (const char* columns = std::getenv("COLUMNS")) {
    std::size_t width = 0;
    const char* end = columns + std::strlen(columns);
    const auto read = std::from_chars(columns, end, width);
    if (read.ec == std::errc() && read.ptr == end && width > 0) return width;
  }
  return kUsualWidth;
}

std::vector<std::size_t> columns_that_fit(const std::vector<Column>& columns, std::size_t width) {
  std::vector<std::size_t> shown(columns.size());
  std::iota(shown.begin(), shown.end(), std::size_t{0});
  while (width > 0 && width_of(columns, shown) > width) {
    const auto least = std::max_element(shown.begin(), shown.end(), [&](auto a, auto b) {
      return columns[a].dispensable < columns[b].dispensable;
    });
    if (least == shown.end() || columns[*least].dispensable == 0) break;
    shown.erase(least);
  }
  return shown;
}

std::string shortened(const std::string& text, std::size_t width) {
  if (text.size() <= width) return text;
  if (width < 4) return text.substr(0, width);
  const std::size_t begin = (width - 2) / 2, end = width - 2 - begin;
  return text.substr(0, begin) + ".." + text.substr(text.size() - end);
}

std::string table_line(const std::vector<Column>& columns, const std::vector<std::size_t>& shown,
                       std::vector<std::string> texts, std::size_t width) {
  if (shown.empty()) return {};
  // What texts wider than their columns take away from the first one.
  std::size_t others = shown.size() - 1;
  for (const std::size_t i : shown)
    if (i != shown.front()) others += std::max(columns[i].width, texts[i].size());
  std::size_t first = std::max(columns[shown.front()].width, texts[shown.front()].size());
  if (width > 0) first = std::min(first, width > others ? width - others : 0);
  texts[shown.front()] = shortened(texts[shown.front()], first);
  std::string line;
  for (const std::size_t i : shown) {
    const std::size_t wanted = i == shown.front() ? first : columns[i].width;
    const std::string blanks(wanted - std::min(wanted, texts[i].size()), ' ');
    if (i != shown.front()) line += ' ';
    line += columns[i].left ? texts[i] + blanks : blanks + texts[i];
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return width > 0 ? line.substr(0, width) : line;
}

}  // namespace qb::bench
