// SPDX-License-Identifier: Apache-2.0
// Other projects' kernels, as further variants of our operations: verified on the same inputs and
// timed in the same process. All optional; CMake finds what is installed (QUANTBENCH_PEERS).
//
// A peer of an array operation is a function with the signature of our kernels. A peer of matmul
// brings weights, threads and layout of its own: it is bound to a problem once, and then run.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/variant.h"
#include "matmul/matmul.h"

namespace qb::bench::peers {

/// Every peer's variant name starts so.
inline constexpr std::string_view kPrefix = "peer:";

/// A product bound to its operands: y[m,n] from x[m,k] and the weights that it has packed.
class Product {
 public:
  virtual ~Product() = default;
  /// What is timed.
  virtual void run() = 0;
  /// Untimed, once after a run and before y is looked at: the part of the contract that the peer
  /// leaves to its caller.
  virtual void finish() {}
};

/// What a product is bound to. All of it outlives the product.
struct Operands {
  matmul::WeightView weights;
  const float* x;  ///< [m,k], 64-byte aligned
  std::size_t m;
  float* y;  ///< [m,n], 64-byte aligned
  int threads;
};

/// One variant of another project. `needs` is empty: the libraries look at the CPU themselves.
struct Peer : Variant {
  /// What the row does or leaves out, for its label.
  std::string note;
  /// 0: held to the contract like ours. Otherwise its arithmetic differs from the contract, and it
  /// is held to this normalised mean squared error instead.
  double most_nmse = 0;
  /// For matmul. The peer runs on the canonical weights where `in_place`, otherwise it packs them.
  std::function<std::unique_ptr<Product>(const Operands&)> bind = {};
  bool in_place = false;
  /// Whether it takes a shape; all if empty.
  std::function<bool(std::size_t m, std::size_t n, std::size_t k)> takes = {};
};

/// The peer that a variant is, or null.
inline const Peer* as_peer(const Variant* v) {
  return v->name.substr(0, kPrefix.size()) == kPrefix ? static_cast<const Peer*>(v) : nullptr;
}

/// One project: what was found of it, or how to get it.
struct Library {
  std::string name;
  std::string version;  ///< with the month of its release where known; empty: not in this build
  std::string how;      ///< how to get it
};

/// What a library says of its version, "3.2.0, on SYCL", with the month of the release after the
/// number, "3.2.0 (2023-06), on SYCL", if dates.cc knows that release.
std::string dated(std::string_view library, const std::string& text);

const std::vector<Library>& libraries();

/// From now on the only peer of each operation is our own dispatched kernel, bound and called as
/// another project's would be. Before anything else asks for peers.
void compare_with_ourselves();

/// The peers of an operation ("matmul_a8_q4_0") in this build.
std::vector<const Peer*> of(std::string_view op);
/// All of them.
const std::vector<Peer>& all();

/// `own` and after them the operation's peers.
std::vector<const Variant*> with_peers(std::vector<const Variant*> own, std::string_view op);

// Each library's file appends its peers and returns its version. Only those that CMake found are
// linked.
std::string add_self(std::vector<Peer>& peers);
std::string add_ggml(std::vector<Peer>& peers);
/// Those of headers only are compiled here once per instruction set, which CMake appends to the
/// name.
#define QB_EXPORT __attribute__((visibility("default")))
QB_EXPORT std::string add_eigen(std::vector<Peer>& peers);
QB_EXPORT std::string add_fp16(std::vector<Peer>& peers);
std::string add_fbgemm(std::vector<Peer>& peers);
std::string add_mkl(std::vector<Peer>& peers);
std::string add_numkong(std::vector<Peer>& peers);
std::string add_onednn(std::vector<Peer>& peers);
std::string add_onnxruntime(std::vector<Peer>& peers);
std::string add_openblas(std::vector<Peer>& peers);
std::string add_openvino(std::vector<Peer>& peers);
std::string add_xnnpack(std::vector<Peer>& peers);
std::string add_zentorch(std::vector<Peer>& peers);

/// A peer of an array operation.
template <class Fn>
Peer array_peer(std::string_view op, std::string_view name, Fn* kernel, std::string note,
                double most_nmse = 0) {
  return {
      {op, name, Arch::any, {}, reinterpret_cast<const void*>(kernel)}, std::move(note), most_nmse};
}

}  // namespace qb::bench::peers
