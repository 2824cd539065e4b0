// SPDX-License-Identifier: Apache-2.0
// Refusals of the checked entries: every one names the operation, the argument and the numbers, and
// is thrown before anything is written (contract, section 5).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "quantbench/error.h"
#include "quantbench/types.h"

namespace qb {

namespace check {

/// Throws BadArgument("op: message").
[[noreturn]] void refuse(std::string_view op, std::string_view message);

/// `got` elements in argument `name` must be exactly `want`.
void size_is(std::string_view op, std::string_view name, std::size_t got, std::size_t want);
/// `got` elements in output `name` must be at least `want`.
void size_at_least(std::string_view op, std::string_view name, std::size_t got, std::size_t want);
/// a*b elements or bytes; refused, naming both, if there is no such number. Every product of sizes
/// that a caller gives goes through it: a wrapped one would agree with a span that is too short.
std::size_t product(std::string_view op, std::string_view a_name, std::size_t a,
                    std::string_view b_name, std::size_t b);
/// `group` must be positive and divide `k`.
void divides(std::string_view op, std::string_view group_name, std::size_t group,
             std::string_view k_name, std::size_t k);
/// The two byte ranges must not overlap.
void disjoint(std::string_view op, std::string_view a_name, std::span<const std::byte> a,
              std::string_view b_name, std::span<const std::byte> b);
/// Memory that is read or written as elements of `alignment` bytes must lie at a multiple of it.
void aligned(std::string_view op, std::string_view name, std::span<const std::byte> memory,
             std::size_t alignment);
/// From 1 to 4096: OpenMP ends the process if the system has not as many threads as it asks for.
void threads(std::string_view op, int threads);
/// Every value must be finite; the message names the first offending index.
void finite(std::string_view op, std::string_view name, std::span<const float> values);
void finite(std::string_view op, std::string_view name, std::span<const f16> values);

}  // namespace check
}  // namespace qb
