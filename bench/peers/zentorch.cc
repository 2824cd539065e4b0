// SPDX-License-Identifier: Apache-2.0
// ZenDNN, as AMD's extension of PyTorch brings it: the linear layer of bf16 that zentorch registers
// with PyTorch's dispatcher, called through it, with weights packed beforehand. Its int8 layer with
// dynamic activations (zentorch_dynamic_qlinear) is not a peer: called in the same way on an Intel
// CPU, with packed weights and f32 activations, its results were not the product.
//
// A module of its own, opened by modules.cc, as fbgemm.cc is and for the same reason. y is a tensor
// that every call allocates, since the operators return one; it is copied after the timing.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <optional>

#include "peers.h"

namespace qb::bench::peers {
namespace {

using Named = std::vector<std::pair<std::string, c10::IValue>>;

/// An operator of zentorch's and what it is called with. Arguments that are neither given by
/// position nor by name have the value of its schema.
class Operator {
 public:
  Operator(const std::string& name, std::vector<c10::IValue> positional, const Named& named = {})
      : handle_(c10::Dispatcher::singleton().findSchemaOrThrow(("zentorch::" + name).c_str(), "")),
        arguments_(std::move(positional)) {
    const auto& schema = handle_.schema().arguments();
    for (std::size_t i = arguments_.size(); i < schema.size(); ++i) {
      const auto given = std::find_if(named.begin(), named.end(),
                                      [&](const auto& n) { return n.first == schema[i].name(); });
      arguments_.push_back(
          given != named.end() ? given->second : schema[i].default_value().value_or(c10::IValue()));
    }
  }

  at::Tensor operator()() const {
    std::vector<c10::IValue> stack = arguments_;
    handle_.callBoxed(&stack);
    return stack.at(0).toTensor();
  }

 private:
  c10::OperatorHandle handle_;
  std::vector<c10::IValue> arguments_;
};

template <class T>
at::Tensor tensor(const T* values, std::initializer_list<std::int64_t> shape, at::ScalarType type) {
  return at::from_blob(const_cast<T*>(values), shape, at::TensorOptions(type)).clone();
}

class Linear : public Product {
 public:
  void run() override {
    const c10::InferenceMode no_gradients;
    if (at::get_num_threads() != o_.threads) at::set_num_threads(o_.threads);
    y_ = (*operator_)();
  }

  void finish() override {
    const at::Tensor y = y_.to(at::kFloat).contiguous();
    std::copy_n(y.const_data_ptr<float>(), o_.m * o_.weights.w.n, o_.y);
  }

 protected:
  explicit Linear(const Operands& o) : o_(o) {}

  Operands o_;
  std::optional<Operator> operator_;

 private:
  at::Tensor y_;
};

class Bf16 : public Linear {
 public:
  explicit Bf16(const Operands& o) : Linear(o) {
    const c10::InferenceMode no_gradients;
    const auto m = std::int64_t(o.m), n = std::int64_t(o.weights.w.n),
               k = std::int64_t(o.weights.w.k);
    const auto* floats = static_cast<const float*>(o.weights.w.values);
    const at::Tensor x = tensor(o.x, {m, k}, at::kFloat).to(at::kBFloat16),
                     w = tensor(floats, {n, k}, at::kFloat).to(at::kBFloat16);
    operator_.emplace(
        "zentorch_linear_unary",
        std::vector<c10::IValue>{x, Operator("zentorch_weight_prepack_for_linear", {w})()},
        Named{{"is_weight_prepacked", true}});
  }
};

template <class Made>
Peer product(const char* op, std::string note, double most_nmse) {
  static const char any_address = 0;
  Peer peer{
      {op, "peer:zentorch", Arch::any, {}, &any_address},
      std::move(note) + "; called through PyTorch's dispatcher, which allocates y in every call",
      most_nmse};
  peer.bind = [](const Operands& o) { return std::make_unique<Made>(o); };
  return peer;
}

std::string add(std::vector<Peer>& peers) {
  constexpr double kResultsOfBf16 = 2e-5;
  peers.push_back(product<Bf16>("matmul_abf16_f32",
                                "zentorch_linear_unary, weights packed beforehand; left out: "
                                "rounding the activations; results "
                                "rounded to bf16",
                                kResultsOfBf16));
  return QB_ZENTORCH_VERSION ", under PyTorch " QB_TORCH_VERSION;
}

}  // namespace
}  // namespace qb::bench::peers

extern "C" QB_EXPORT void qb_add_zentorch(std::vector<qb::bench::peers::Peer>& peers,
                                          std::string& version) {
  version = qb::bench::peers::add(peers);
}
