// SPDX-License-Identifier: Apache-2.0
#include "passes.h"

#include "conformance.h"
#include "peers/peers.h"
#include "plugins/plugins.h"
#include "trials.h"

namespace qb::bench {

const std::string& ConformancePasses::finding(const Variant& v) {
  const auto [found, unknown] = findings_.try_emplace(&v);
  if (unknown && !peers::as_peer(&v))
    found->second = plugins::as_loaded(&v) ? trials_.conformance(v) : verify::conformance(v);
  return found->second;
}

}  // namespace qb::bench
