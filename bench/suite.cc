#include "suite.h"

namespace qb::bench {

std::string Case::name() const {
  std::string name = op + "/" + format + "/" + std::string(variant->name) + "/" + shape;
  if (threads > 1) name += "/threads:" + std::to_string(threads);
  return name;
}

}  // namespace qb::bench
