// SPDX-License-Identifier: Apache-2.0
// The conformance pass before a variant is timed, once for each.
#pragma once

#include <string>
#include <unordered_map>

#include "core/variant.h"

namespace qb::bench {

class ConformancePasses {
 public:
  /// What verify::conformance finds wrong with our variant `v`, made when first asked for; empty if
  /// nothing. Other projects' kernels have contracts of their own: they are held to the timed
  /// inputs alone.
  const std::string& finding(const Variant& v);

 private:
  std::unordered_map<const Variant*, std::string> findings_;
};

}  // namespace qb::bench
