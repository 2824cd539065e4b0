// Our own dispatched kernels as if they were another project's: what --self-peer compares with, so
// that scripts/prove-peers.sh can show that the comparison favours nobody.
#include <map>

#include "data.h"
#include "peers.h"

namespace qb::bench::peers {
namespace {

class SelfProduct : public Product {
 public:
  SelfProduct(const Operands& o, const matmul::Kernel& kernel)
      : o_(o),
        kernel_(kernel),
        packed_(kernel.packed_bytes(o.weights.w.n, o.weights.w.k, o.weights.w.group)),
        workspace_(kernel.workspace_bytes(o.m, o.weights.w.n, o.weights.w.k, o.weights.w.group)) {
    if (packed_.size()) matmul::pack(kernel, o.weights.w, packed_.data(), o.threads);
  }

  void run() override {
    matmul::multiply(kernel_, o_.weights.w, packed_.size() ? packed_.data() : nullptr, o_.x, o_.m,
                     workspace_.data(), o_.y, o_.threads);
  }

 private:
  Operands o_;
  const matmul::Kernel& kernel_;
  Bytes packed_, workspace_;
};

Peer product(const Variant& own) {
  Peer peer{{own.op, "peer:self", Arch::any, {}, own.impl}, "our own " + std::string(own.name)};
  const auto* kernel = static_cast<const matmul::Kernel*>(own.impl);
  peer.bind = [kernel](const Operands& o) { return std::make_unique<SelfProduct>(o, *kernel); };
  peer.in_place = !kernel->pack;
  return peer;
}

/// By Op::best's rule: what QB_TUNING prefers, otherwise the last row that runs.
std::map<std::string_view, const Variant*> dispatched() {
  std::map<std::string_view, const Variant*> best;
  for (const Variant* v : all_variants()) {
    const Variant*& known = best[v->op];
    if (v->refusal().empty() && !(known && known->name == tuning::preferred(v->op))) known = v;
  }
  return best;
}

}  // namespace

std::string add_self(std::vector<Peer>& peers) {
  for (const auto& [op, own] : dispatched()) {
    if (op == matmul::f16_f16.name) continue;  // no peer takes activations of f16
    if (op.substr(0, 7) == "matmul_")
      peers.push_back(product(*own));
    else
      peers.push_back(
          {{op, "peer:self", Arch::any, {}, own->impl}, "our own " + std::string(own->name)});
  }
  return "the kernels that are dispatched to here";
}

}  // namespace qb::bench::peers
