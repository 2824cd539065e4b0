// SPDX-License-Identifier: Apache-2.0
// What is timed: a product by one of our variants or by a peer, or packing, bound to a problem and
// to as many copies of the weights as a cold case rotates.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "matmul_problem.h"
#include "peers/peers.h"

namespace qb::bench {

/// Copies of the weights as one variant reads them: packed, or canonical for variants that do not
/// pack. More than one if the rotation is to miss the caches; each is written, so that no two share
/// physical pages.
class WeightCopies {
 public:
  WeightCopies(const matmul::Kernel& kernel, const QuantizedWeights& weights, std::size_t at_least,
               int threads) {
    const matmul::Weights w = weights.view().w;
    const std::size_t packed = kernel.packed_bytes(w.n, w.k, w.group);
    const std::size_t each = packed ? packed : weights.bytes();
    const std::size_t count = each ? std::max<std::size_t>(1, (at_least + each - 1) / each) : 1;
    for (std::size_t i = 0; i < count; ++i) {
      if (packed) {
        memory_.emplace_back(packed);
        if (i == 0)
          matmul::pack(kernel, w, memory_[0].data(), threads);
        else
          std::memcpy(memory_[i].data(), memory_[0].data(), packed);
        copies_.push_back({w, memory_[i].data()});
      } else if (count == 1) {
        copies_.push_back({w, nullptr});
      } else {
        const std::byte* const at = memory_.emplace_back(weights.values().copy()).data();
        const std::byte* const scales = memory_.emplace_back(weights.scales().copy()).data();
        copies_.push_back({weights.view_of(at, scales).w, nullptr});
      }
    }
  }

  struct Copy {
    matmul::Weights w;
    const void* packed;
  };
  const Copy& next() {
    at_ = at_ + 1 == copies_.size() ? 0 : at_ + 1;
    return copies_[at_];
  }

 private:
  std::vector<Bytes> memory_;
  std::vector<Copy> copies_;
  std::size_t at_ = 0;
};

template <class T>
class MatmulInstance : public Instance {
 public:
  MatmulInstance(std::shared_ptr<MatmulProblem<T>> problem, std::shared_ptr<Array<T>> y,
                 const matmul::Kernel* kernel, std::size_t rotate_bytes, int threads)
      : problem_(std::move(problem)),
        y_(std::move(y)),
        kernel_(kernel),
        threads_(threads),
        copies_(*kernel, problem_->weights, rotate_bytes, threads),
        workspace_(workspace_bytes(*problem_, *kernel)) {}

  void run() override {
    const WeightCopies::Copy& copy = copies_.next();
    matmul::multiply(*kernel_, copy.w, copy.packed, problem_->x.data(), problem_->m,
                     workspace_.data(), y_->data(), threads_);
  }

  Error verify(Verify mode) override { return compare_columns(*problem_, *y_, mode, true); }

 private:
  static std::size_t workspace_bytes(const MatmulProblem<T>& problem,
                                     const matmul::Kernel& kernel) {
    const matmul::Weights w = problem.weights.view().w;
    return kernel.workspace_bytes(problem.m, w.n, w.k, w.group);
  }

  std::shared_ptr<MatmulProblem<T>> problem_;
  std::shared_ptr<Array<T>> y_;
  const matmul::Kernel* kernel_;
  int threads_;
  WeightCopies copies_;
  Bytes workspace_;
};

/// Another project's product, on as many copies of the weights as the rotation asks for.
class PeerMatmulInstance : public Instance {
 public:
  PeerMatmulInstance(std::shared_ptr<MatmulProblem<float>> problem, std::shared_ptr<Array<float>> y,
                     const peers::Peer& peer, std::size_t rotate_bytes, int threads)
      : problem_(std::move(problem)), y_(std::move(y)) {
    const QuantizedWeights& weights = problem_->weights;
    const std::size_t each = weights.bytes();
    const std::size_t count = each ? std::max<std::size_t>(1, (rotate_bytes + each - 1) / each) : 1;
    for (std::size_t i = 0; i < count; ++i) {
      matmul::WeightView view = weights.view();
      if (peer.in_place && count > 1) {
        const std::byte* const at = copies_.emplace_back(weights.values().copy()).data();
        view = weights.view_of(at, copies_.emplace_back(weights.scales().copy()).data());
      }
      products_.push_back(peer.bind({view, problem_->x.data(), problem_->m, y_->data(), threads}));
    }
  }

  void run() override {
    at_ = at_ + 1 == products_.size() ? 0 : at_ + 1;
    products_[at_]->run();
  }

  Error verify(Verify mode) override {
    products_[at_]->finish();
    return compare_columns(*problem_, *y_, mode, false);
  }

 private:
  std::shared_ptr<MatmulProblem<float>> problem_;
  std::shared_ptr<Array<float>> y_;
  std::vector<Bytes> copies_;
  std::vector<std::unique_ptr<peers::Product>> products_;
  std::size_t at_ = 0;
};

/// Packs, and is verified by unpacking: every code (or value) must come back.
class RepackInstance : public Instance {
 public:
  RepackInstance(std::shared_ptr<const QuantizedWeights> weights, const MatmulFormat& format,
                 const matmul::Kernel* kernel, int threads)
      : weights_(std::move(weights)),
        rounded_(format.packed),
        kernel_(kernel),
        threads_(threads),
        packed_(kernel->packed_bytes(w().n, w().k, w().group)) {}

  void run() override { matmul::pack(*kernel_, w(), packed_.data(), threads_); }

  Error verify(Verify) override {
    const matmul::WeightView view = weights_->view();
    const bool floats = info(view.format).is_float();
    Bytes codes(w().n * w().k * (floats ? sizeof(float) : 1));
    kernel_->unpack(packed_.data(), w().n, w().k, w().group, 0, w().n, codes.data());
    Error error;
    for (std::size_t n = 0; n < w().n; ++n)
      for (std::size_t k = 0; k < w().k; ++k) {
        const std::size_t at = n * w().k + k;
        const double got = floats ? double(reinterpret_cast<const float*>(codes.data())[at])
                                  : double(reinterpret_cast<const std::int8_t*>(codes.data())[at]);
        const double code = oracle::code_and_scale(view, n, k).code;
        const double want = rounded_ ? rounded_(code) : code;
        if (got == want) continue;
        if (error.mismatches++ == 0)
          error.first = "code[" + std::to_string(n) + "," + std::to_string(k) + "] is " +
                        std::to_string(got) + ", expected " + std::to_string(want);
      }
    return error;
  }

 private:
  const matmul::Weights& w() const { return view_.w; }

  std::shared_ptr<const QuantizedWeights> weights_;
  double (*rounded_)(double);
  const matmul::Kernel* kernel_;
  int threads_;
  matmul::WeightView view_ = weights_->view();
  Bytes packed_;
};

}  // namespace qb::bench
