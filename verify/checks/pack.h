// SPDX-License-Identifier: Apache-2.0
// Checks of packing int4 codes two a byte, and back (contract, section 3).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "checks/layouts.h"
#include "support/guarded.h"

namespace qb::test {

using Packer = void(const std::int8_t*, std::size_t n, std::uint8_t*);
using Unpacker = void(const std::uint8_t*, std::size_t n, std::int8_t*);

constexpr auto packed_size = Layout<std::uint8_t>::bytes;

inline std::vector<std::int8_t> all_codes(std::size_t n) {
  std::vector<std::int8_t> q(n);
  for (std::size_t j = 0; j < n; ++j) q[j] = std::int8_t(int((j * 7 + j / 16) % 16) - 8);
  return q;
}

inline void check_pack_every_length(Packer* kernel, std::size_t limit = 1024) {
  for (const std::size_t n : lengths(limit))
    for (const Against side : {Against::end, Against::begin}) {
      const Guarded<std::int8_t> q(all_codes(n), side);
      Guarded<std::uint8_t> packed(packed_size(n), side);
      kernel(q.data(), n, packed.data());
      expect_same(packed, oracle::pack_s4({q.data(), n}), "n = " + std::to_string(n));
    }
}

inline void check_pack_every_start(Packer* kernel) {
  std::vector<std::int8_t> q;
  for (int low = -8; low < 8; ++low)
    for (int high = -8; high < 8; ++high) q.insert(q.end(), {std::int8_t(low), std::int8_t(high)});
  for (std::size_t start = 0; start < 65; ++start) {
    std::vector<std::uint8_t> packed(400, 0x55);
    kernel(q.data() + start, 512 - start, packed.data() + start);
    const auto want = oracle::pack_s4(std::span(q).subspan(start));
    expect_same(std::span(packed).subspan(start, want.size()), want,
                "start " + std::to_string(start));
    if ((start && packed[start - 1] != 0x55) || packed[start + want.size()] != 0x55)
      fail("written outside the packed codes, start ", start);
  }
}

inline void check_unpack_every_length(Unpacker* kernel, std::size_t limit = 1024) {
  for (const std::size_t n : lengths(limit))
    for (const Against side : {Against::end, Against::begin}) {
      const std::vector<std::int8_t> want = all_codes(n);
      const Guarded<std::uint8_t> packed(oracle::pack_s4(want), side);
      Guarded<std::int8_t> q(n, side);
      kernel(packed.data(), n, q.data());
      expect_same(q, want, "n = " + std::to_string(n));
    }
}

inline void check_unpack_every_start(Unpacker* kernel) {
  std::vector<std::uint8_t> packed(256 + 40);
  for (std::size_t j = 0; j < packed.size(); ++j) packed[j] = std::uint8_t(j);
  for (std::size_t start = 0; start < 40; ++start)
    for (const std::size_t n : {std::size_t{512}, std::size_t{511}}) {
      std::vector<std::int8_t> q(600, 99);
      kernel(packed.data() + start, n, q.data() + start);
      std::vector<std::int8_t> want;
      for (std::size_t j = 0; j < n; ++j)
        want.push_back(std::int8_t(oracle::unpacked_s4(std::span(packed).subspan(start), j)));
      expect_same(std::span(q).subspan(start, n), want, "start " + std::to_string(start));
      if (q[start + n] != 99) fail("written behind the codes, start ", start);
    }
}

}  // namespace qb::test
