// SPDX-License-Identifier: Apache-2.0
#include "list.h"

#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "catalog.h"
#include "core/printable.h"
#include "hardware.h"
#include "peers/peers.h"
#include "plugins/plugins.h"

namespace qb::bench {
namespace {

/// "runs", and for what the variant is dispatched to: everything, or some classes of rows.
std::string standing(const Variant& v) {
  std::string classes;
  std::size_t dispatched_for = 0;
  const std::span<const Rows> all = row_classes(v.op);
  for (const Rows rows : all)
    if (dispatched(v.op, rows) == &v) {
      ++dispatched_for;
      classes += (classes.empty() ? "" : ", ") + std::string(rows_name(rows));
    }
  if (dispatched_for == 0) return "runs";
  return "runs, dispatched to" + (dispatched_for == all.size() ? "" : " for rows: " + classes);
}

/// All variants: ours, then those that were loaded.
std::vector<const Variant*> listed() {
  std::vector<const Variant*> list = all_variants();
  for (const plugins::Loaded& v : plugins::all()) list.push_back(&v);
  return list;
}

void print_variants(bool all) {
  std::printf("%-24s %-14s %-34s %s\n", "operation", "variant", "needs", "here");
  for (const Variant* v : listed()) {
    const std::string why = v->refusal();
    const plugins::Loaded* const loaded = plugins::as_loaded(v);
    if (!all && !why.empty() && !loaded) continue;
    const std::string needs =
        v->needs.empty() ? std::string(arch_name(v->arch)) : v->needs.to_string();
    std::string here = why.empty() ? standing(*v) : "no: " + printable(why);
    if (loaded) here += ", loaded from " + printable(loaded->file);
    std::printf("%-24s %-14s %-34s %s\n", std::string(v->op).c_str(), std::string(v->name).c_str(),
                needs.c_str(), here.c_str());
  }
}

/// "  amx: the CPU lacks amx_tile", one line per reason.
void print_reasons() {
  std::map<std::string, std::set<std::string>> names;
  std::size_t count = 0;
  for (const Variant* v : all_variants())
    if (const std::string why = v->refusal(); !why.empty()) {
      names[why].emplace(v->name);
      ++count;
    }
  if (count == 0) return;
  std::printf("\n%zu more do not run here; --list=all shows them:\n", count);
  for (const auto& [why, variants] : names) {
    std::string list;
    for (const std::string& name : variants) list += (list.empty() ? "" : ", ") + name;
    std::printf("  %s: %s\n", list.c_str(), printable(why).c_str());
  }
}

void print_peers() {
  for (const peers::Peer& peer : peers::all())
    std::printf("%-24s %-24s %s\n", std::string(peer.op).c_str(), std::string(peer.name).c_str(),
                printable(peer.note).c_str());
  std::printf("\n%-24s %s\n", "peer library", "here");
  for (const peers::Library& library : peers::libraries())
    std::printf("%-24s %s\n", library.name.c_str(),
                library.version.empty()
                    ? ("not in this build: make bench-peers, or " + library.how +
                       " and configure with -DQUANTBENCH_PEERS=ON")
                          .c_str()
                    : printable(library.version).c_str());
}

}  // namespace

void print_list(bool all) {
  print_variants(all);
  if (!all) print_reasons();
  print_peers();
  const std::string no_counters = perf_counters_refusal();
  std::printf(
      "\n%-24s %s\n%-24s %s\n", "hardware counters",
      no_counters.empty() ? "--benchmark_perf_counters=<libpfm's names>" : no_counters.c_str(),
      "energy", printable(Energy().text()).c_str());
}

}  // namespace qb::bench
