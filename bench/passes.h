// SPDX-License-Identifier: Apache-2.0
// The conformance pass before a variant is timed, once for each.
#pragma once

#include <string>
#include <unordered_map>

#include "core/variant.h"

namespace qb::bench {

class Trials;

class ConformancePasses {
 public:
  explicit ConformancePasses(const Trials& trials) : trials_(trials) {}
  /// What verify::conformance finds wrong with our variant `v`, made when first asked for; empty if
  /// nothing. Of a loaded variant it is made in a process of its own. Other projects' kernels have
  /// contracts of their own: they are held to the timed inputs alone.
  const std::string& finding(const Variant& v);

 private:
  const Trials& trials_;
  std::unordered_map<const Variant*, std::string> findings_;
};

}  // namespace qb::bench
