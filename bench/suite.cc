#include "suite.h"

#include "peers/peers.h"

namespace qb::bench {
namespace {

std::string with_threads(std::string name, int threads) {
  return threads > 1 ? name + "/threads:" + std::to_string(threads) : name;
}

}  // namespace

std::string Case::name() const {
  return with_threads(op + "/" + format + "/" + std::string(variant->name) + "/" + shape, threads);
}

std::string Case::key() const { return with_threads(op + "/" + format + "/" + shape, threads); }

FeatureSet Case::judged_by() const {
  return peers::as_peer(variant) ? isa::detected() : variant->needs;
}

}  // namespace qb::bench
