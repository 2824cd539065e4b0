// SPDX-License-Identifier: Apache-2.0
#include "core/printable.h"

#include <cstdint>
#include <cstdio>

namespace qb {
namespace {

struct Character {
  std::uint32_t code;
  std::size_t bytes;  ///< 0: the text does not begin with UTF-8
};

/// The first character of a text that is not empty.
Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return std::uint32_t(std::uint8_t(text[i])); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >> 5 == 0x6 ? 2 : lead >> 4 == 0xe ? 3 : lead >> 3 == 0x1e ? 4 : 0;
  if (bytes == 0 || text.size() < bytes) return {lead, 0};
  std::uint32_t code = lead & (0xffu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if (byte(i) >> 6 != 0x2) return {lead, 0};
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  if (code < smallest[bytes] || surrogate || code > 0x10ffff) return {lead, 0};
  return {code, bytes};
}

bool is_control(std::uint32_t code) { return code < 0x20 || (code >= 0x7f && code < 0xa0); }

/// Bidirectional controls, invisible characters, line separators, tags.
bool is_deceptive(std::uint32_t code) {
  return code == 0xad || code == 0x61c || code == 0x180e || (code >= 0x200b && code <= 0x200f) ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
         code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb) ||
         (code >= 0xe0000 && code <= 0xe007f);
}

std::string escaped(const char* pattern, std::uint32_t code) {
  char text[16];
  std::snprintf(text, sizeof text, pattern, unsigned(code));
  return text;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string safe;
  while (!text.empty()) {
    const auto [code, bytes] = first_character(text);
    if (bytes == 0 || is_control(code))
      safe += escaped("\\x%02x", code);
    else if (is_deceptive(code))
      safe += escaped("\\u%04x", code);
    else
      safe += text.substr(0, bytes);
    text.remove_prefix(bytes ? bytes : 1);
  }
  return safe;
}

std::string printable_lines(std::string_view text) {
  std::string safe;
  for (std::size_t end; (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1))
    safe += printable(text.substr(0, end)) + '\n';
  return safe + printable(text);
}

}  // namespace qb
