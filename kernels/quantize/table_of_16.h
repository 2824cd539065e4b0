// SPDX-License-Identifier: Apache-2.0
// A table of the 16 values that 4-bit codes stand for, as encoders and decoders read it.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include <cstdint>

namespace qb::quantize {
namespace {

/// The 16 values of a format's codes, as bytes and as floats, and the 15 midpoints between them if
/// they ascend.
struct TableOf16 {
  alignas(64) std::int8_t bytes[16];
  alignas(64) float values[16];
  alignas(64) float middles[16];
};
constexpr TableOf16 table_of(const std::int8_t (&values)[16]) {
  TableOf16 table{};
  for (int i = 0; i < 16; ++i) {
    table.bytes[i] = values[i];
    table.values[i] = values[i];
    table.middles[i] = i < 15 ? float(values[i] + values[i + 1]) / 2 : __builtin_inff();
  }
  return table;
}

}  // namespace
}  // namespace qb::quantize
