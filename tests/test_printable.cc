// SPDX-License-Identifier: Apache-2.0
#include "core/printable.h"

#include <gtest/gtest.h>

namespace {

using qb::printable;

TEST(Printable, OrdinaryTextIsKept) {
  for (const char* text : {"", "absmax/f32", "a b/x.json", "Größe 2 × µs", "数", "😀"})
    EXPECT_EQ(printable(text), text);
}

TEST(Printable, ControlCharactersAreEscaped) {
  EXPECT_EQ(printable("\x1b[31mred\x07"), "\\x1b[31mred\\x07");
  EXPECT_EQ(printable("a\nb\r\t\x7f"), "a\\x0ab\\x0d\\x09\\x7f");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\u0085\u009b2J"), "\\x85\\x9b2J");
}

TEST(Printable, WhatChangesTheOrderOrIsInvisibleIsEscaped) {
  EXPECT_EQ(printable("x\u202egnp.exe"), "x\\u202egnp.exe");
  for (const char* text : {"\u061c", "\u200b", "\u200e", "\u200f", "\u2028", "\u202a", "\u2060",
                           "\u2066", "\u2069", "\ufeff", "\U000e0041"})
    EXPECT_EQ(printable(text).substr(0, 2), "\\u") << printable(text);
}

TEST(Printable, WhatIsNotUtf8IsEscaped) {
  EXPECT_EQ(printable("a\xff"
                      "b"),
            "a\\xffb");
  EXPECT_EQ(printable("\xc3"), "\\xc3");                    // cut off
  EXPECT_EQ(printable("\xc0\x9b"), "\\xc0\\x9b");           // overlong ESC
  EXPECT_EQ(printable("\xe0\x80\x9b"), "\\xe0\\x80\\x9b");  // and longer
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
}

TEST(Printable, LinesKeepTheirEnds) {
  EXPECT_EQ(qb::printable_lines("a\x1b\nb\n"), "a\\x1b\nb\n");
  EXPECT_EQ(qb::printable_lines("\n\nend"), "\n\nend");
}

}  // namespace
