// The rooms of the house, in the order in which --list shows them.
#include "absmax/absmax.h"
#include "convert/convert.h"
#include "core/variant.h"
#include "matmul/matmul.h"
#include "quantize/quantize.h"

namespace qb {

std::vector<const Variant*> all_variants() {
  std::vector<const Variant*> list;
  for (const auto room : {convert::room, absmax::room, quantize::room, matmul::room}) {
    for (const Variant& v : room()) list.push_back(&v);
  }
  return list;
}

}  // namespace qb
