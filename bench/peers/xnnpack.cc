// SPDX-License-Identifier: Apache-2.0
// XNNPACK's operators through its public header: conversion between f16 and f32, and the f32 fully
// connected one, whose weights are packed when it is made. Its int8 products come out as int8,
// which is not an operation of ours.
#include <xnnpack.h>

#include <cmath>
#include <memory>
#include <stdexcept>

#include "all_cpus.h"
#include "peers.h"

namespace qb::bench::peers {
namespace {

void check(xnn_status status) {
  if (status != xnn_status_success) throw std::runtime_error("XNNPACK: the operator failed");
}

struct Delete {
  void operator()(xnn_operator_t p) const { xnn_delete_operator(p); }
  void operator()(pthreadpool_t p) const { pthreadpool_destroy(p); }
};
using Operator = std::unique_ptr<xnn_operator, Delete>;
using Pool = std::unique_ptr<pthreadpool, Delete>;

/// An array is a batch of n pixels of one channel, which lie side by side.
template <auto create, auto setup, class From, class To>
void convert(const From* x, std::size_t n, To* y) {
  static thread_local const Operator op = [] {
    xnn_operator_t made = nullptr;
    check(create(1, 1, 1, 0, &made));
    return Operator(made);
  }();
  check(setup(op.get(), n, x, y, nullptr));
  check(xnn_run_operator(op.get(), nullptr));
}

class FullyConnected : public Product {
 public:
  explicit FullyConnected(const Operands& o) {
    const std::size_t n = o.weights.w.n, k = o.weights.w.k;
    if (o.threads > 1) {
      const AllCpus all;
      pool_.reset(pthreadpool_create(std::size_t(o.threads)));
    }
    x_.assign(o.x, o.x + o.m * k);
    x_.resize(x_.size() + XNN_EXTRA_BYTES / sizeof(float));
    // Its threads sleep between calls: they would spin on for milliseconds, and take the CPUs from
    // the rows that run in turn with them.
    xnn_operator_t made = nullptr;
    check(xnn_create_fully_connected_nc_f32(k, n, k, n,
                                            static_cast<const float*>(o.weights.w.values), nullptr,
                                            -INFINITY, INFINITY, XNN_FLAG_YIELD_WORKERS, &made));
    operator_.reset(made);
    check(xnn_setup_fully_connected_nc_f32(made, o.m, x_.data(), o.y, pool_.get()));
  }

  void run() override { check(xnn_run_operator(operator_.get(), pool_.get())); }

 private:
  Pool pool_;
  std::vector<float> x_;
  Operator operator_;
};

}  // namespace

std::string add_xnnpack(std::vector<Peer>& peers) {
  if (xnn_initialize(nullptr) != xnn_status_success) return "";
  peers.push_back(
      array_peer("convert_f16_f32", "peer:xnnpack",
                 convert<xnn_create_convert_nc_f16_f32, xnn_setup_convert_nc_f16_f32, f16, float>,
                 "xnn_convert_nc_f16_f32, set up in every call"));
  peers.push_back(
      array_peer("convert_f32_f16", "peer:xnnpack",
                 convert<xnn_create_convert_nc_f32_f16, xnn_setup_convert_nc_f32_f16, float, f16>,
                 "xnn_convert_nc_f32_f16, set up in every call"));
  static const char any_address = 0;
  Peer product{{"matmul_a32_f32", "peer:xnnpack", Arch::any, {}, &any_address},
               "xnn_fully_connected_nc_f32, weights packed beforehand"};
  product.bind = [](const Operands& o) { return std::make_unique<FullyConnected>(o); };
  peers.push_back(std::move(product));
  return QB_PEER_VERSION;
}

}  // namespace qb::bench::peers
