// SPDX-License-Identifier: Apache-2.0
// How numbers are written for people: on the terminal, and in the context of a results file.
#pragma once

#include <string>
#include <vector>

#include "caches.h"

namespace qb::bench {

/// Minutes and seconds: "12:07".
std::string duration(double seconds);

/// `value` by a pattern of printf with one floating-point conversion.
std::string format(const char* pattern, double value);

/// "12.3 Gop/s", "456 MB/s"; "-" where the value is not positive.
std::string scaled(double value, const char* unit);

/// "L1 31K 1.1 ns, L2 888K 3.8 ns"; "not measured" if there are none.
std::string caches_text(const std::vector<CacheLevel>& caches);

}  // namespace qb::bench
