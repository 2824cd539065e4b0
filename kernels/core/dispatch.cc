// SPDX-License-Identifier: Apache-2.0
#include "core/variant.h"

namespace qb {

const Variant* dispatched(std::span<const Variant* const> variants, Rows rows) {
  if (variants.empty()) return nullptr;
  const std::string_view preferred = preferred_variant(variants.front()->op, rows);
  const Variant* last = nullptr;
  const Variant* last_that_stays = nullptr;
  for (const Variant* const v : variants) {
    if (!v->refusal().empty()) continue;
    if (v->name == preferred) return v;
    last = v;
    if (!v->gives_way.applies(rows)) last_that_stays = v;
  }
  return last_that_stays ? last_that_stays : last;
}

}  // namespace qb
