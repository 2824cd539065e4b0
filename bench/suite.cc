// SPDX-License-Identifier: Apache-2.0
#include "suite.h"

#include <algorithm>
#include <map>
#include <set>

#include "catalog.h"
#include "peers/peers.h"
#include "plugins/plugins.h"
#include "quantbench/formats.h"

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

/// One of this repository's variants that runs here.
bool is_own(const Variant* v) {
  return !peers::as_peer(v) && !plugins::as_loaded(v) && v->refusal().empty();
}

/// The variants of an operation that tell most.
struct Telling {
  std::set<const Variant*> dispatched;              ///< for some class of rows
  std::map<std::string, const Variant*> strongest;  ///< of each portable family
};
using TellingOf = std::map<std::string_view, Telling>;

TellingOf telling_variants(const Suite& suite) {
  TellingOf found;
  for (const Case& c : suite) {
    const Variant* v = c.variant;
    if (!is_own(v)) continue;
    Telling& of_op = found[v->op];
    of_op.strongest[portable_family(v->name)] = v;
    if (of_op.dispatched.empty())
      for (const Rows rows : row_classes(v->op)) of_op.dispatched.insert(dispatched(v->op, rows));
  }
  return found;
}

/// Whether a format of that row ("a8.iq4_nl", "f32.iq4_nl") follows another of its kind in
/// formats.inc, whose codes and scales the same loops read.
bool follows_in_kind(std::string_view row_format) {
  const FormatInfo* const formats = std::begin(kFormats);
  for (const FormatInfo& f : kFormats) {
    if (!f.in_blocks()) continue;
    const bool named = row_format == f.name || row_format.ends_with("." + std::string(f.name)) ||
                       row_format.starts_with(std::string(f.name) + ".");
    if (named)
      return std::any_of(formats, &f, [&](const FormatInfo& before) {
        return before.codes == f.codes && before.scales == f.scales;
      });
  }
  return false;
}

bool tells_nothing_new(const Case& c, const TellingOf& telling) {
  const Variant* v = c.variant;
  if (!is_own(v)) return false;
  const Telling& of_op = telling.at(v->op);
  if (c.op == "repack") return v->name != "scalar" && !of_op.dispatched.count(v);
  // Arrays of u4h take the loops of u4f, products those of every format with a minimum.
  const bool follows = c.format.find("u4h") != c.format.npos || follows_in_kind(c.format);
  if (follows) return !of_op.dispatched.count(v);
  const std::string family = portable_family(v->name);
  if (family.empty()) return false;
  const bool larger_group = c.format.find(".g128") != c.format.npos;
  return larger_group || v != of_op.strongest.at(family);
}

}  // namespace

std::vector<const Variant*> with_others(const Plan& plan, std::vector<const Variant*> own,
                                        std::string_view op) {
  own = plugins::with_loaded(std::move(own), op);
  return plan.peers ? peers::with_peers(std::move(own), op) : own;
}

Suite every_case(const Plan& plan) {
  Suite suite;
  add_convert(plan, suite);
  add_absmax(plan, suite);
  add_quantize(plan, suite);
  add_matmul_a32(plan, suite);
  add_matmul_a8(plan, suite);
  add_matmul_abf16(plan, suite);
  return suite;
}

void leave_out_redundant(Suite& suite) {
  const TellingOf telling = telling_variants(suite);
  std::erase_if(suite, [&](const Case& c) { return tells_nothing_new(c, telling); });
}

std::string Case::name() const {
  return with_threads(op + "/" + format + "/" + std::string(variant->name) + "/" + shape, threads);
}

std::string Case::key() const { return with_threads(op + "/" + format + "/" + shape, threads); }

bool Case::is_dispatched_to() const {
  return op != "repack" && dispatched(variant->op, rows) == variant;
}

FeatureSet Case::judged_by() const {
  return peers::as_peer(variant) ? isa::detected() : variant->needs;
}

}  // namespace qb::bench
