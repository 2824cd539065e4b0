// SPDX-License-Identifier: Apache-2.0
// The variant record: what tests, benchmarks and the dispatcher iterate. Tables, not
// self-registering globals: a static library drops those, and their order is unspecified.
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/isa.h"
#include "core/rows.h"

namespace qb {

/// Where a variant is slower than the rows of the table before it, so that it gives way to them:
/// for some classes of products, on CPUs that have certain instruction sets.
struct GivesWay {
  std::uint8_t rows = 0;  ///< a bit for each of Rows
  FeatureSet on{};

  /// By what the CPU has, whether or not QB_ISA allows it: that is how CPUs are told apart.
  bool applies(Rows to) const { return (rows >> int(to) & 1) != 0 && isa::detected().contains(on); }
};

/// One implementation of one operation. Each room has one table of these.
struct Variant {
  std::string_view op;    ///< symbol stem: "absmax_f32"
  std::string_view name;  ///< "avx2", "xsimd_avx2", "scalar"
  Arch arch;              ///< where it can be compiled at all
  FeatureSet needs;       ///< what must be enabled to run it
  const void* impl;       ///< the kernel, of the op's type; null where not compiled
  GivesWay gives_way{};

  /// Empty if this variant can run here, otherwise why not.
  std::string refusal() const {
    if (!impl) return "not compiled: it is for " + std::string(arch_name(arch));
    return isa::refusal(needs);
  }
};

/// The variant of `op` that the user prefers for products of such `rows`; empty: none. Defined
/// above the rooms (kernels/tuning.cc), since it knows all of them.
std::string_view preferred_variant(std::string_view op, Rows rows);

/// The dispatcher's rule, over all variants of one operation in table order: the one that the user
/// prefers, or else the last that runs here and does not give way to those before it. Null if none
/// runs.
const Variant* dispatched(std::span<const Variant* const> variants, Rows rows);

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

  /// The variant that is dispatched to for products of such `rows`, by dispatched().
  const Variant& best(Rows rows = Rows::any) const {
    if (const Variant* const v = dispatched(variants(), rows)) return *v;
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

  /// The kernel of best(), for operations without rows of activations. The checked entries keep it
  /// in a function-local static.
  Impl* dispatch() const { return kernel(best()); }
};

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
