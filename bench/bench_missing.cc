// Rooms whose cases have not landed yet add none.
#include "suite.h"

namespace qb::bench {
[[gnu::weak]] void add_convert(const Plan&, Suite&) {}
[[gnu::weak]] void add_int8(const Plan&, Suite&) {}
[[gnu::weak]] void add_matmul_a32(const Plan&, Suite&) {}
[[gnu::weak]] void add_matmul_a8(const Plan&, Suite&) {}
}  // namespace qb::bench
