// SPDX-License-Identifier: Apache-2.0
#include "catalog.h"

#include "absmax/absmax.h"
#include "convert/convert.h"
#include "matmul/matmul.h"
#include "quantize/quantize.h"

namespace qb {
namespace {

constexpr Rows kOneClass[] = {Rows::any};

struct Room {
  std::span<const Variant> (*table)();
  std::span<const Rows> classes;
};

/// In the order in which --list shows them.
constexpr Room kRooms[] = {{convert::room, kOneClass},
                           {absmax::room, kOneClass},
                           {quantize::room, kOneClass},
                           {matmul::room, kRowClasses}};

}  // namespace

std::vector<const Variant*> all_variants() {
  std::vector<const Variant*> list;
  for (const Room& room : kRooms)
    for (const Variant& v : room.table()) list.push_back(&v);
  return list;
}

std::span<const Rows> row_classes(std::string_view op) {
  for (const Room& room : kRooms)
    for (const Variant& v : room.table())
      if (v.op == op) return room.classes;
  return {};
}

const Variant* dispatched(std::string_view op, Rows rows) {
  std::vector<const Variant*> variants;
  for (const Variant* const v : all_variants())
    if (v->op == op) variants.push_back(v);
  return dispatched(variants, rows);
}

}  // namespace qb
