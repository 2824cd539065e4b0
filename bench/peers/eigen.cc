// SPDX-License-Identifier: Apache-2.0
// Eigen: conversion between Eigen::half and float, absmax, and the f32 product. All of it is in its
// headers, so that this file is compiled once per instruction set, as a library of its
// own whose inline functions can't replace anyone else's.
#include <Eigen/Core>

#include "peers.h"

namespace qb::bench::peers {
namespace {

using Index = Eigen::Index;
using Floats = Eigen::Array<float, Eigen::Dynamic, 1>;
using Halves = Eigen::Array<Eigen::half, Eigen::Dynamic, 1>;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void f16_to_f32(const f16* x, std::size_t n, float* y) {
  const Eigen::Map<const Halves> from(reinterpret_cast<const Eigen::half*>(x), Index(n));
  Eigen::Map<Floats>(y, Index(n)) = from.cast<float>();
}

void f32_to_f16(const float* x, std::size_t n, f16* y) {
  Eigen::Map<Halves> to(reinterpret_cast<Eigen::half*>(y), Index(n));
  to = Eigen::Map<const Floats>(x, Index(n)).cast<Eigen::half>();
}

void absmax(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len)
    out[i] = len ? Eigen::Map<const Floats>(x, Index(len)).abs().maxCoeff() : 0.0f;
}

class Gemm : public Product {
 public:
  explicit Gemm(const Operands& o) : o_(o), w_(static_cast<const float*>(o.weights.w.values)) {}

  void run() override {
    const auto m = Index(o_.m), n = Index(o_.weights.w.n), k = Index(o_.weights.w.k);
    const Eigen::Map<const Matrix> w(w_, n, k);
    Eigen::setNbThreads(o_.threads);
    if (m == 1) {
      Eigen::Map<Eigen::VectorXf>(o_.y, n).noalias() =
          w * Eigen::Map<const Eigen::VectorXf>(o_.x, k);
      return;
    }
    Eigen::Map<Matrix>(o_.y, m, n).noalias() = Eigen::Map<const Matrix>(o_.x, m, k) * w.transpose();
  }

 private:
  Operands o_;
  const float* w_;
};

}  // namespace

std::string add_eigen(std::vector<Peer>& peers) {
  const char* const half = "a cast of Eigen::half arrays";
  peers.push_back(array_peer("convert_f16_f32", QB_PEER_NAME, f16_to_f32, half));
  peers.push_back(array_peer("convert_f32_f16", QB_PEER_NAME, f32_to_f16, half));
  peers.push_back(array_peer("absmax_f32", QB_PEER_NAME, absmax,
                             "abs().maxCoeff(); a NaN is not always passed on"));
  static const char any_address = 0;
  Peer gemm{{"matmul_a32_f32", QB_PEER_NAME, Arch::any, {}, &any_address},
            "a product of mapped matrices, which packs the weights in every call"};
  gemm.bind = [](const Operands& o) { return std::make_unique<Gemm>(o); };
  gemm.in_place = true;
  peers.push_back(std::move(gemm));
  return std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) + "." +
         std::to_string(EIGEN_MINOR_VERSION) + ", " + Eigen::SimdInstructionSetsInUse();
}

}  // namespace qb::bench::peers
