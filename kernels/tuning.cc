#include "core/tuning.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/isa.h"
#include "core/printable.h"
#include "core/read_file.h"
#include "core/variant.h"

namespace qb::tuning {
namespace {

/// quantbench-choose writes some 4 KiB.
constexpr std::size_t kMostBytes = std::size_t{1} << 20;

struct Tuning {
  std::map<std::string, std::string, std::less<>> variants;
  std::string refusal;
};

void require_same(const char* what, const std::string& theirs, const std::string& ours) {
  if (theirs != ours)
    throw std::runtime_error(std::string("it is of another machine: ") + what + " '" + theirs +
                             "', here '" + ours + "'");
}

std::map<std::string, std::string, std::less<>> read(const char* path) {
  const auto json = nlohmann::json::parse(read_regular_file(path, kMostBytes));
  if (json.at("quantbench_tuning") != 1) throw std::runtime_error("its version is not 1");
  require_same("CPU", json.at("cpu").at("name"), isa::cpu_name());
  require_same("instruction sets", json.at("cpu").at("isa_detected"), isa::detected().to_string());
  std::map<std::string, std::string, std::less<>> variants;
  const std::vector<const Variant*> all = all_variants();
  for (const auto& [op, name] : json.at("variants").items()) {
    const Variant* found = nullptr;
    for (const Variant* v : all)
      if (v->op == op && v->name == name.get<std::string>()) found = v;
    if (!found) throw std::runtime_error("there is no " + op + "/" + name.get<std::string>());
    // A cap by QB_ISA is the user's wish, not the file's fault: the default order serves it.
    if (!isa::detected().contains(found->needs) || !found->impl)
      throw std::runtime_error(op + "/" + name.get<std::string>() + ": " + found->refusal());
    variants[op] = name.get<std::string>();
  }
  return variants;
}

const Tuning& tuning() {
  static const Tuning loaded = [] {
    Tuning t;
    const char* path = std::getenv("QB_TUNING");
    if (!path || !*path) return t;
    try {
      t.variants = read(path);
    } catch (const std::exception& e) {
      t.refusal = printable(std::string("QB_TUNING: '") + path +
                            "' is refused, the default order stays: " + e.what());
      std::fprintf(stderr, "quantbench: %s\n", t.refusal.c_str());
    }
    return t;
  }();
  return loaded;
}

}  // namespace

std::string_view preferred(std::string_view op) {
  const auto& variants = tuning().variants;
  const auto found = variants.find(op);
  return found == variants.end() ? std::string_view{} : found->second;
}

const std::string& refusal() { return tuning().refusal; }

}  // namespace qb::tuning
