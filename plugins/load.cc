// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <stdexcept>
#include <type_traits>

#if !QB_STATIC
#include <dlfcn.h>
#endif

#include <quantbench/plugin.h>
#include "catalog.h"
#include "matmul/matmul.h"
#include "plugins/child.h"
#include "plugins/plugins.h"
#include "plugins/traced.h"

namespace qb::plugins {
namespace {

constexpr const char* kEntry = "quantbench_plugin_entry";
constexpr TimeLimits kLoading = {std::chrono::seconds(20), std::chrono::seconds(20)};

/// A kernel of a file, its texts and records copied.
struct Kernel {
  std::string op, name;
  FeatureSet needs;
  const void* function = nullptr;
  std::optional<matmul::Kernel> product;
};

/// What was loaded. Texts and products are what Loaded refers to.
struct Registry {
  std::deque<std::string> texts;
  std::deque<matmul::Kernel> products;
  std::deque<Loaded> variants;
};

Registry& registry() {
  static Registry r;
  return r;
}

[[noreturn]] void refuse(const std::string& why) { throw std::runtime_error(why); }

// ---- the records of plugin.h are ours under other names

using CWeights = quantbench_plugin_weights;
using CProduct = quantbench_plugin_product;

static_assert(std::is_standard_layout_v<matmul::Weights> &&
              sizeof(CWeights) == sizeof(matmul::Weights) &&
              offsetof(CWeights, values) == offsetof(matmul::Weights, values) &&
              offsetof(CWeights, scales) == offsetof(matmul::Weights, scales) &&
              offsetof(CWeights, n) == offsetof(matmul::Weights, n) &&
              offsetof(CWeights, k) == offsetof(matmul::Weights, k) &&
              offsetof(CWeights, group) == offsetof(matmul::Weights, group) &&
              offsetof(CWeights, zeros) == offsetof(matmul::Weights, zeros) &&
              offsetof(CWeights, scale_group) == offsetof(matmul::Weights, scale_group));

/// A function by another type of the same calling convention.
template <class To, class... Args>
To retyped(void (*function)(Args...)) {
  return reinterpret_cast<To>(reinterpret_cast<quantbench_plugin_function*>(function));
}

/// A product's functions, which differ from ours in that they take a pointer to the weights where
/// ours take a reference. Those are passed alike in the ABIs of x86-64 and AArch64.
matmul::Kernel kernel_of(const CProduct& c) {
  const auto zero3 = [](std::size_t, std::size_t, std::size_t) { return std::size_t{0}; };
  const auto zero4 = [](std::size_t, std::size_t, std::size_t, std::size_t) {
    return std::size_t{0};
  };
  matmul::Kernel kernel;
  kernel.n_step = c.n_step ? c.n_step : 1;
  kernel.packed_bytes = c.packed_bytes ? c.packed_bytes : +zero3;
  kernel.pack = retyped<decltype(kernel.pack)>(c.pack);
  kernel.unpack = c.unpack;
  kernel.workspace_bytes = c.workspace_bytes ? c.workspace_bytes : +zero4;
  kernel.m_step = c.m_step ? c.m_step : 1;
  kernel.prepare = c.prepare;
  kernel.run = retyped<decltype(kernel.run)>(c.run);
  return kernel;
}

// ---- what a kernel must be

/// A row's name is made of it, with slashes between.
bool is_a_name(std::string_view name) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  return !name.empty() && name.size() <= 64 && name.find_first_not_of(kLetters) == name.npos;
}

/// "avx2+fma", a level or a feature each.
FeatureSet features_of(std::string_view text) {
  FeatureSet set;
  while (!text.empty()) {
    const std::size_t plus = text.find('+');
    const std::string_view name = text.substr(0, plus);
    text = plus == text.npos ? std::string_view{} : text.substr(plus + 1);
    const FeatureSet before = set;
    std::string known;
    bool found = false;
    for (const isa::Level& level : isa::levels()) {
      known += (known.empty() ? "" : ", ") + std::string(level.name);
      if (level.name != name) continue;
      set = set | level.needs;
      found = true;
    }
    for (int f = 0; f < int(Feature::count) && !found; ++f)
      if (feature_name(Feature(f)) == name) {
        set = before.with(Feature(f));
        found = true;
      }
    if (!found)
      refuse("needs '" + std::string(name) + "', which is no instruction set; there are: " + known);
  }
  return set;
}

bool is_an_operation(std::string_view op) { return !row_classes(op).empty(); }

bool exists(std::string_view op, std::string_view name) {
  for (const Variant* v : all_variants())
    if (v->op == op && v->name == name) return true;
  for (const Loaded& v : registry().variants)
    if (v.op == op && v.name == name) return true;
  return false;
}

/// The kernel of an entry that has its texts. Throws with what is wrong with it.
Kernel checked(const quantbench_plugin_variant& entry) {
  Kernel kernel = {
      entry.operation, entry.name, features_of(entry.needs ? entry.needs : ""), {}, {}};
  if (!is_a_name(kernel.name))
    refuse("a variant's name is of letters, digits, '_', '-' and '.', 64 at the most");
  if (!is_an_operation(kernel.op)) refuse("there is no such operation; quantbench --list has them");
  if (exists(kernel.op, kernel.name)) refuse("there is a variant of that name already");
  if (!kernel.op.starts_with("matmul_")) {
    if (!entry.function || entry.product) refuse("it takes a function, and no product record");
    kernel.function = reinterpret_cast<const void*>(entry.function);
    return kernel;
  }
  const CProduct* const product = entry.product;
  if (!product || entry.function) refuse("it takes a product record, and no function");
  if (!product->run) refuse("its record has no run");
  const int packing = !!product->packed_bytes + !!product->pack + !!product->unpack;
  if (packing != 0 && packing != 3)
    refuse("its record has some of packed_bytes, pack and unpack, but not all");
  kernel.product = kernel_of(*product);
  return kernel;
}

// ---- the file

std::filesystem::path regular_file(const std::string& file) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::canonical(file, error);
  if (error) refuse("there is no such file");
  if (!std::filesystem::is_regular_file(path)) refuse("it is no file");
  return path;
}

/// FNV-1a, 64 bits.
std::string fingerprint_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (std::istreambuf_iterator<char> byte(file), end; byte != end; ++byte)
    hash = (hash ^ static_cast<unsigned char>(*byte)) * 0x100000001b3u;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

#if QB_STATIC
const quantbench_plugin* entry_of(const std::filesystem::path&) {
  refuse(
      "this program is linked statically and has no loader for shared libraries; build the "
      "program that is not (README: Link it)");
}
#else
const quantbench_plugin* entry_of(const std::filesystem::path& path) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    // The loader begins its text with the path, which the user sees already.
    std::string why = dlerror();
    if (why.starts_with(path.string() + ": ")) why.erase(0, path.string().size() + 2);
    refuse("it can't be loaded: " + why);
  }
  const auto entry = reinterpret_cast<const quantbench_plugin* (*)()>(dlsym(library, kEntry));
  if (!entry) refuse("it has no " + std::string(kEntry) + "(); see quantbench/plugin.h");
  return entry();
}
#endif

std::vector<Kernel> kernels_of(const std::filesystem::path& path) {
  const quantbench_plugin* const plugin = entry_of(path);
  if (!plugin) refuse(std::string(kEntry) + "() returns nothing");
  if (plugin->version != QUANTBENCH_PLUGIN_VERSION)
    refuse("it is of version " + std::to_string(plugin->version) +
           " of quantbench/plugin.h, this program of version " +
           std::to_string(QUANTBENCH_PLUGIN_VERSION));
  if (plugin->count == 0 || !plugin->variants) refuse("it has no kernels");
  std::vector<Kernel> kernels;
  std::set<std::string> names;
  for (std::size_t i = 0; i < plugin->count; ++i) {
    const quantbench_plugin_variant& entry = plugin->variants[i];
    if (!entry.operation || !entry.name)
      refuse("kernel " + std::to_string(i) + " has no operation or no name");
    const std::string name = std::string(entry.operation) + "/" + entry.name;
    try {
      if (!names.insert(name).second) refuse("it comes twice");
      kernels.push_back(checked(entry));
    } catch (const std::runtime_error& e) {
      refuse(name + ": " + e.what());
    }
  }
  return kernels;
}

void keep(const std::vector<Kernel>& kernels, const std::string& file,
          const std::string& fingerprint) {
  Registry& r = registry();
  for (const Kernel& kernel : kernels) {
    Loaded loaded = {};
    loaded.op = r.texts.emplace_back(kernel.op);
    loaded.name = r.texts.emplace_back(kernel.name);
    loaded.arch = Arch::any;
    loaded.needs = kernel.needs;
    loaded.impl = kernel.product ? &r.products.emplace_back(*kernel.product) : kernel.function;
    loaded.file = file;
    loaded.fingerprint = fingerprint;
    r.variants.push_back(std::move(loaded));
  }
}

}  // namespace

void load(const std::string& file) try {
  const std::filesystem::path path = regular_file(file);
  const std::string trouble = in_child(
      [&] {
        kernels_of(path);
        return std::string();
      },
      kLoading);
  if (!trouble.empty()) {
    const bool ended = trouble.starts_with("crash:") || trouble.starts_with("hang:") ||
                       trouble.starts_with("exit:");
    refuse((ended ? "loading it: " : "") + trouble);
  }
  keep(kernels_of(path), file, fingerprint_of(path));
} catch (const std::runtime_error& e) {
  throw std::runtime_error("--kernels: '" + file + "': " + e.what());
}

const std::deque<Loaded>& all() { return registry().variants; }

const Loaded* as_loaded(const Variant* v) {
  for (const Loaded& loaded : all())
    if (&loaded == v) return &loaded;
  return nullptr;
}

std::vector<const Variant*> with_loaded(std::vector<const Variant*> own, std::string_view op) {
  for (const Loaded& loaded : all())
    if (loaded.op == op) own.push_back(&loaded);
  return own;
}

void trace(const Loaded& loaded) {
  for (Loaded& own : registry().variants)
    if (&own == &loaded) own.impl = traced(own.op, own.impl);
}

}  // namespace qb::plugins
