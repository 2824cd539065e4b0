// The variant record: what tests, benchmarks and the dispatcher iterate. Tables, not
// self-registering globals: a static library drops those, and their order is unspecified.
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/isa.h"
#include "core/tuning.h"

namespace qb {

/// One implementation of one operation. Each room has one table of these.
struct Variant {
  std::string_view op;    ///< symbol stem: "absmax_f32"
  std::string_view name;  ///< "avx2", "xsimd_avx2", "scalar"
  Arch arch;              ///< where it can be compiled at all
  FeatureSet needs;       ///< what must be enabled to run it
  const void* impl;       ///< the kernel, of the op's type; null where not compiled

  /// Empty if this variant can run here, otherwise why not.
  std::string refusal() const {
    if (!impl) return "not compiled: it is for " + std::string(arch_name(arch));
    return isa::refusal(needs);
  }
};

/// An operation: its name and the type of its kernels (a function type, or a const record of
/// several functions). Rows of `room` that carry another op's name are not its variants.
template <class Impl>
struct Op {
  std::string_view name;
  std::span<const Variant> (*room)();

  /// All variants, in table order: slowest expected first.
  std::vector<const Variant*> variants() const {
    std::vector<const Variant*> list;
    for (const Variant& v : room())
      if (v.op == name) list.push_back(&v);
    return list;
  }

  /// The kernel behind a row. variants.inc declares every kernel with its op's type, so the cast
  /// undoes exactly the one that the table made.
  Impl* kernel(const Variant& v) const {
    return reinterpret_cast<Impl*>(const_cast<void*>(v.impl));
  }

  /// The variant that QB_TUNING prefers, or else the last of the table that can run here: the order
  /// of the table is the dispatch order.
  const Variant& best() const {
    const std::vector<const Variant*> list = variants();
    const std::string_view tuned = tuning::preferred(name);
    for (const Variant* v : list)
      if (v->name == tuned && v->refusal().empty()) return *v;
    for (auto v = list.rbegin(); v != list.rend(); ++v)
      if ((*v)->refusal().empty()) return **v;
    throw std::logic_error(std::string(name) + ": no variant runs on this CPU");
  }

  /// The variant of that name. Throws std::invalid_argument, listing the names there are or why it
  /// can't run, if it is not usable.
  const Variant& named(std::string_view wanted) const {
    std::string known;
    for (const Variant* v : variants()) {
      if (v->name == wanted) {
        if (const std::string why = v->refusal(); !why.empty())
          throw std::invalid_argument(std::string(name) + ": variant '" + std::string(wanted) +
                                      "' can't run here: " + why);
        return *v;
      }
      if (!known.empty()) known += ", ";
      known += v->name;
    }
    throw std::invalid_argument(std::string(name) + ": no variant '" + std::string(wanted) +
                                "'; there are: " + known);
  }

  /// The kernel of best(). The checked entries keep it in a function-local static.
  Impl* dispatch() const { return kernel(best()); }
};

/// Every row of every room, for --list and for checks that span rooms.
std::vector<const Variant*> all_variants();

}  // namespace qb

#define QB_ADDRESS_any(symbol) reinterpret_cast<const void*>(&symbol)
#if defined(__x86_64__)
#define QB_ADDRESS_x86_64(symbol) reinterpret_cast<const void*>(&symbol)
#define QB_ADDRESS_aarch64(symbol) nullptr
#elif defined(__aarch64__)
#define QB_ADDRESS_x86_64(symbol) nullptr
#define QB_ADDRESS_aarch64(symbol) reinterpret_cast<const void*>(&symbol)
#else
#define QB_ADDRESS_x86_64(symbol) nullptr
#define QB_ADDRESS_aarch64(symbol) nullptr
#endif

/// One row of variants.inc as an element of a Variant table.
#define QB_TABLE_ROW(arch, op, variant, isa_level) \
  {#op, #variant, Arch::arch, isa::isa_level, QB_ADDRESS_##arch(op##_##variant)},
