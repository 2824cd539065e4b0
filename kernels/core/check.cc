// SPDX-License-Identifier: Apache-2.0
#include "core/check.h"

#include <bit>
#include <cstdint>
#include <functional>

namespace qb::check {
namespace {

std::string quoted(std::string_view name) { return "'" + std::string(name) + "'"; }

[[noreturn]] void refuse_non_finite(std::string_view op, std::string_view name, std::size_t i,
                                    bool nan) {
  refuse(op, quoted(name) + "[" + std::to_string(i) + "] is " + (nan ? "NaN" : "infinite"));
}

}  // namespace

void refuse(std::string_view op, std::string_view message) {
  throw BadArgument(std::string(op) + ": " + std::string(message));
}

void size_is(std::string_view op, std::string_view name, std::size_t got, std::size_t want) {
  if (got != want)
    refuse(op, quoted(name) + " has " + std::to_string(got) + " elements, expected " +
                   std::to_string(want));
}

void size_at_least(std::string_view op, std::string_view name, std::size_t got, std::size_t want) {
  if (got < want)
    refuse(op, quoted(name) + " has room for " + std::to_string(got) + " elements, needs " +
                   std::to_string(want));
}

std::size_t product(std::string_view op, std::string_view a_name, std::size_t a,
                    std::string_view b_name, std::size_t b) {
  std::size_t result;
  if (__builtin_mul_overflow(a, b, &result))
    refuse(op, quoted(a_name) + " = " + std::to_string(a) + " times " + quoted(b_name) + " = " +
                   std::to_string(b) + " is too large");
  return result;
}

void divides(std::string_view op, std::string_view group_name, std::size_t group,
             std::string_view k_name, std::size_t k) {
  if (group == 0 || k % group != 0)
    refuse(op, quoted(group_name) + " = " + std::to_string(group) + " does not divide " +
                   quoted(k_name) + " = " + std::to_string(k));
}

void disjoint(std::string_view op, std::string_view a_name, std::span<const std::byte> a,
              std::string_view b_name, std::span<const std::byte> b) {
  const std::less<const std::byte*> before;
  if (a.empty() || b.empty()) return;
  if (before(a.data(), b.data() + b.size()) && before(b.data(), a.data() + a.size()))
    refuse(op, quoted(a_name) + " and " + quoted(b_name) + " overlap");
}

void aligned(std::string_view op, std::string_view name, std::span<const std::byte> memory,
             std::size_t alignment) {
  if (!memory.empty() && reinterpret_cast<std::uintptr_t>(memory.data()) % alignment)
    refuse(op, quoted(name) + " is not aligned to " + std::to_string(alignment) + " bytes");
}

void threads(std::string_view op, int threads) {
  constexpr int kMost = 4096;
  if (threads < 1 || threads > kMost)
    refuse(op,
           "'threads' = " + std::to_string(threads) + " is not from 1 to " + std::to_string(kMost));
}

void finite(std::string_view op, std::string_view name, std::span<const float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(values[i]) & 0x7fffffffu;
    if (magnitude >= 0x7f800000u) refuse_non_finite(op, name, i, magnitude > 0x7f800000u);
  }
}

void finite(std::string_view op, std::string_view name, std::span<const f16> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const unsigned magnitude = unsigned(values[i]) & 0x7fffu;
    if (magnitude >= 0x7c00u) refuse_non_finite(op, name, i, magnitude > 0x7c00u);
  }
}

}  // namespace qb::check
