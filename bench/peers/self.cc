// SPDX-License-Identifier: Apache-2.0
// Our own dispatched kernels as if they were another project's: what --self-peer compares with, so
// that scripts/prove-peers.sh can show that the comparison favours nobody.
#include <algorithm>
#include <map>
#include <vector>

#include "catalog.h"
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

/// For the products of these classes of rows.
Peer product(const Variant& own, const std::vector<Rows>& classes) {
  Peer peer{{own.op, "peer:self", Arch::any, {}, own.impl}, "our own " + std::string(own.name)};
  const auto* kernel = static_cast<const matmul::Kernel*>(own.impl);
  peer.bind = [kernel](const Operands& o) { return std::make_unique<SelfProduct>(o, *kernel); };
  peer.takes = [classes](std::size_t m, std::size_t, std::size_t) {
    return std::find(classes.begin(), classes.end(), rows_of(m)) != classes.end();
  };
  peer.in_place = !kernel->pack;
  return peer;
}

/// Each operation's dispatched variants, and the classes of rows for which they are.
std::map<std::string_view, std::map<const Variant*, std::vector<Rows>>> all_dispatched() {
  std::map<std::string_view, std::map<const Variant*, std::vector<Rows>>> found;
  for (const Variant* v : all_variants())
    if (!found.count(v->op))
      for (const Rows rows : row_classes(v->op))
        if (const Variant* const best = dispatched(v->op, rows)) found[v->op][best].push_back(rows);
  return found;
}

}  // namespace

std::string add_self(std::vector<Peer>& peers) {
  for (const auto& [op, variants] : all_dispatched()) {
    if (op == matmul::f16_f16.name) continue;  // no peer takes activations of f16
    for (const auto& [own, classes] : variants)
      if (op.starts_with("matmul_"))
        peers.push_back(product(*own, classes));
      else
        peers.push_back(
            {{op, "peer:self", Arch::any, {}, own->impl}, "our own " + std::string(own->name)});
  }
  return "the kernels that are dispatched to here";
}

}  // namespace qb::bench::peers
