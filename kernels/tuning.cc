// SPDX-License-Identifier: Apache-2.0
#include "tuning.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "catalog.h"
#include "core/isa.h"
#include "core/printable.h"
#include "core/read_file.h"

namespace qb {
namespace {

using Json = nlohmann::json;

constexpr int kVersion = 2;
/// quantbench-choose writes some 8 KiB.
constexpr std::size_t kMostBytes = std::size_t{1} << 20;

/// The preferred variant of each class of one operation; empty: the default order.
using ByRows = std::array<std::string, 1 + std::size(kRowClasses)>;
using Preferences = std::map<std::string, ByRows, std::less<>>;

struct Tuning {
  Preferences preferences;
  std::string refusal;
};

[[noreturn]] void refuse(const std::string& why) { throw std::runtime_error(why); }

void require_same(const char* what, const std::string& theirs, const std::string& ours) {
  if (theirs != ours)
    refuse(std::string("it is of another machine: ") + what + " '" + theirs + "', here '" + ours +
           "'");
}

void require_same_classes(const Json& theirs) {
  Json ours;
  for (const Rows rows : kRowClasses) ours[std::string(rows_name(rows))] = first_of(rows);
  if (theirs != ours) refuse("its classes of rows are " + theirs.dump() + ", here " + ours.dump());
}

void require_usable(const std::string& op, const std::string& name) {
  for (const Variant* const v : all_variants()) {
    if (v->op != op || v->name != name) continue;
    // A cap by QB_ISA is the user's wish, not the file's fault: the default order serves it.
    if (!isa::detected().contains(v->needs) || !v->impl)
      refuse(op + "/" + name + ": " + v->refusal());
    return;
  }
  refuse("there is no " + op + "/" + name);
}

/// `name`: what the file calls it.
Rows class_of(const std::string& op, std::span<const Rows> classes, const std::string& name) {
  std::string known;
  for (const Rows rows : classes) {
    if (rows_name(rows) == name) return rows;
    known += (known.empty() ? "" : ", ") + std::string(rows_name(rows));
  }
  refuse(op + ": there is no class '" + name + "' of rows; there are: " + known);
}

/// What the file says of one operation.
ByRows by_rows(const std::string& op, const Json& said) {
  ByRows found;
  if (said.is_string()) {
    require_usable(op, said);
    found.fill(said);
    return found;
  }
  const std::span<const Rows> classes = row_classes(op);
  if (classes.empty()) refuse("there is no operation " + op);
  if (classes.size() == 1) refuse(op + ": it has no classes of rows, only a variant's name");
  if (!said.is_object() || said.empty()) refuse(op + ": neither a variant's name nor classes");
  for (const auto& [name, variant] : said.items()) {
    const Rows rows = class_of(op, classes, name);
    if (!variant.is_string()) refuse(op + ", class '" + name + "': no variant's name");
    require_usable(op, variant);
    found[std::size_t(rows)] = variant;
  }
  return found;
}

Preferences read(const char* path) {
  const auto json = Json::parse(read_regular_file(path, kMostBytes));
  if (json.at("quantbench_tuning") != kVersion)
    refuse("its version is not " + std::to_string(kVersion) +
           "; quantbench-choose writes it from a results file");
  require_same("CPU", json.at("cpu").at("name"), isa::cpu_name());
  require_same("instruction sets", json.at("cpu").at("isa_detected"), isa::detected().to_string());
  require_same_classes(json.at("row_classes"));
  Preferences preferences;
  for (const auto& [op, said] : json.at("variants").items()) preferences[op] = by_rows(op, said);
  return preferences;
}

const Tuning& loaded() {
  static const Tuning tuning = [] {
    Tuning t;
    const char* path = std::getenv("QB_TUNING");
    if (!path || !*path) return t;
    try {
      t.preferences = read(path);
    } catch (const std::exception& e) {
      t.refusal = printable(std::string("QB_TUNING: '") + path +
                            "' is refused, the default order stays: " + e.what());
      std::fprintf(stderr, "quantbench: %s\n", t.refusal.c_str());
    }
    return t;
  }();
  return tuning;
}

}  // namespace

std::string_view preferred_variant(std::string_view op, Rows rows) {
  const Preferences& preferences = loaded().preferences;
  const auto found = preferences.find(op);
  return found == preferences.end() ? std::string_view{} : found->second[std::size_t(rows)];
}

namespace tuning {
const std::string& refusal() { return loaded().refusal; }
}  // namespace tuning

}  // namespace qb
