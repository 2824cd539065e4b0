#include "suite.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/tuning.h"
#include "peers/peers.h"

namespace qb::bench {
namespace {

std::string with_threads(std::string name, int threads) {
  return threads > 1 ? name + "/threads:" + std::to_string(threads) : name;
}

/// "autovec" or "xsimd" for the variants that exist once per instruction set; otherwise empty.
std::string portable_family(std::string_view variant) {
  for (const std::string_view family : {"autovec", "xsimd"})
    if (variant.substr(0, family.size()) == family) return std::string(family);
  return {};
}

using Best = std::map<std::pair<std::string_view, std::string>, const Variant*>;

/// Of each operation the variant that is dispatched to, under "", and the strongest of each
/// portable family.
Best best_variants(const Suite& suite) {
  Best best;
  for (const Case& c : suite) {
    const Variant* v = c.variant;
    if (peers::as_peer(v) || !v->refusal().empty()) continue;
    best[{v->op, portable_family(v->name)}] = v;
    const Variant*& dispatched = best[{v->op, ""}];
    if (!dispatched || dispatched->name != tuning::preferred(v->op)) dispatched = v;
  }
  return best;
}

bool tells_nothing_new(const Case& c, const Best& best) {
  const Variant* v = c.variant;
  if (peers::as_peer(v) || !v->refusal().empty()) return false;
  if (c.op == "repack") return v->name != "scalar" && v != best.at({v->op, ""});
  const std::string family = portable_family(v->name);
  if (family.empty()) return false;
  const bool larger_group = c.format.find(".g128") != c.format.npos;
  return larger_group || v != best.at({v->op, family});
}

}  // namespace

void leave_out_redundant(Suite& suite) {
  const Best best = best_variants(suite);
  std::erase_if(suite, [&](const Case& c) { return tells_nothing_new(c, best); });
}

std::string Case::name() const {
  return with_threads(op + "/" + format + "/" + std::string(variant->name) + "/" + shape, threads);
}

std::string Case::key() const { return with_threads(op + "/" + format + "/" + shape, threads); }

FeatureSet Case::judged_by() const {
  return peers::as_peer(variant) ? isa::detected() : variant->needs;
}

}  // namespace qb::bench
