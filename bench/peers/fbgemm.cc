// SPDX-License-Identifier: Apache-2.0
// FBGEMM, as PyTorch's library exports it: conversion, absmax by minimum and maximum, and products
// with weights packed beforehand: of f16 with activations of f32, and of int8 with activations that
// are quantized on the fly, as PyTorch's dynamically quantized Linear calls it.
//
// A module of its own, opened by modules.cc: that library exports MKL's functions and others'
// besides, which must not take the place of those that the rest of the program calls.
#include <fbgemm/Fbgemm.h>
#include <fbgemm/FbgemmConvert.h>
#include <fbgemm/FbgemmFP16.h>
#include <fbgemm/QuantUtils.h>
#include <omp.h>

#include <algorithm>
#include <numeric>

#include "core/scalar_half.h"
#include "peers.h"

namespace qb::bench::peers {
namespace {

static_assert(sizeof(f16) == sizeof(fbgemm::float16) && sizeof(bf16) == sizeof(fbgemm::bfloat16));

void f16_to_f32(const f16* x, std::size_t n, float* y) {
  fbgemm::Float16ToFloat_simd(reinterpret_cast<const fbgemm::float16*>(x), y, n);
}
void f32_to_f16(const float* x, std::size_t n, f16* y) {
  fbgemm::FloatToFloat16_simd(x, reinterpret_cast<fbgemm::float16*>(y), n);
}
void bf16_to_f32(const bf16* x, std::size_t n, float* y) {
  fbgemm::Bfloat16ToFloat_simd(reinterpret_cast<const fbgemm::bfloat16*>(x), y, n);
}
void f32_to_bf16(const float* x, std::size_t n, bf16* y) {
  fbgemm::FloatToBfloat16_simd(x, reinterpret_cast<fbgemm::bfloat16*>(y), n);
}

void absmax(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len) {
    float least = 0, most = 0;
    if (len) fbgemm::FindMinMax(x, &least, &most, std::int64_t(len));
    out[i] = std::max(-least, most);
  }
}

/// Its code for one of several threads, run by each of them.
class Gemm : public Product {
 public:
  void run() override {
    prepare();
#pragma omp parallel num_threads(o_.threads)
    part(omp_get_thread_num(), omp_get_num_threads());
  }

 protected:
  explicit Gemm(const Operands& o)
      : o_(o), m_(int(o.m)), n_(int(o.weights.w.n)), k_(int(o.weights.w.k)) {}

  virtual void prepare() {}
  virtual void part(int thread, int threads) = 0;

  Operands o_;
  int m_, n_, k_;
};

class F16 : public Gemm {
 public:
  explicit F16(const Operands& o)
      : Gemm(o), packed_(fbgemm::matrix_op_t::Transpose, k_, n_, 1, floats(o).data()) {}

 private:
  static std::vector<float> floats(const Operands& o) {
    std::vector<float> w(o.weights.w.n * o.weights.w.k);
    f16_to_f32(static_cast<const f16*>(o.weights.w.values), w.size(), w.data());
    return w;
  }

  void part(int thread, int threads) override {
    fbgemm::cblas_gemm_compute(fbgemm::matrix_op_t::NoTranspose, m_, o_.x, packed_, 0, o_.y, thread,
                               threads);
  }

  fbgemm::PackedGemmMatrixFP16 packed_;
};

/// Without VNNI two products are added in 16 bits: PyTorch then gives the activations 7 bits.
bool saturates() { return !fbgemm::fbgemmHasAvx512VnniSupport(); }

class S8 : public Gemm {
 public:
  explicit S8(const Operands& o)
      : Gemm(o),
        w_scales_(static_cast<const float*>(o.weights.w.scales)),
        packed_(fbgemm::matrix_op_t::Transpose, k_, n_, codes(o), k_),
        w_zeros_(o.weights.w.n),
        w_sums_(o.weights.w.n),
        sums_(o.m * o.weights.w.n),
        threads_(std::size_t(o.threads)) {
    for (std::size_t i = 0; i < w_sums_.size(); ++i)
      w_sums_[i] =
          std::accumulate(codes(o) + i * o.weights.w.k, codes(o) + (i + 1) * o.weights.w.k, 0);
    for (Buffers& b : threads_) {
      b.packed.resize(std::size_t(PackA::packedBufferSize()));
      b.row_sums.resize(std::size_t(PackA::rowOffsetBufferSize()));
    }
  }

 private:
  using PackA = fbgemm::PackAWithQuantRowOffset<std::uint8_t>;
  struct Buffers {
    std::vector<std::uint8_t> packed;
    std::vector<std::int32_t> row_sums;
  };

  static const std::int8_t* codes(const Operands& o) {
    return static_cast<const std::int8_t*>(o.weights.w.values);
  }

  void prepare() override {
    float least = 0, most = 0;
    fbgemm::FindMinMax(o_.x, &least, &most, std::int64_t(m_) * k_);
    x_ = fbgemm::ChooseQuantizationParams(least, most, 0, saturates() ? 127 : 255);
  }

  void part(int thread, int threads) override {
    Buffers& b = threads_[std::size_t(thread)];
    PackA x(fbgemm::matrix_op_t::NoTranspose, m_, k_, o_.x, k_, b.packed.data(), x_.scale,
            x_.zero_point, 1, b.row_sums.data());
    fbgemm::DoNothing<float, float> nothing;
    const fbgemm::ReQuantizeForFloat<false, fbgemm::QuantizationGranularity::OUT_CHANNEL> scaled(
        nothing, x_.scale, w_scales_, x_.zero_point, w_zeros_.data(), x.getRowOffsetBuffer(),
        w_sums_.data(), nullptr, std::uint32_t(n_));
    fbgemm::fbgemmPacked(x, packed_, o_.y, sums_.data(), std::uint32_t(n_), scaled, thread,
                         threads);
  }

  const float* w_scales_;
  fbgemm::PackBMatrix<std::int8_t> packed_;
  std::vector<std::int32_t> w_zeros_, w_sums_, sums_;
  std::vector<Buffers> threads_;
  fbgemm::TensorQuantizationParams x_{};
};

template <class Made>
Peer product(const char* op, std::string note, double most_nmse) {
  static const char any_address = 0;
  Peer peer{{op, "peer:fbgemm", Arch::any, {}, &any_address}, std::move(note), most_nmse};
  peer.bind = [](const Operands& o) { return std::make_unique<Made>(o); };
  return peer;
}

std::string add(std::vector<Peer>& peers) {
  if (!fbgemm::fbgemmSupportedCPU()) return "";
  peers.push_back(array_peer("convert_f16_f32", "peer:fbgemm", f16_to_f32, "Float16ToFloat_simd"));
  peers.push_back(array_peer("convert_f32_f16", "peer:fbgemm", f32_to_f16, "FloatToFloat16_simd"));
  peers.push_back(
      array_peer("convert_bf16_f32", "peer:fbgemm", bf16_to_f32, "Bfloat16ToFloat_simd"));
  constexpr double kTies = 1e-8;
  peers.push_back(array_peer("convert_f32_bf16", "peer:fbgemm", f32_to_bf16,
                             "FloatToBfloat16_simd, which rounds ties away from zero", kTies));
  peers.push_back(array_peer("absmax_f32", "peer:fbgemm", absmax,
                             "FindMinMax, whose larger end it is; a NaN is not always passed on"));
  peers.push_back(
      product<F16>("matmul_a32_f16", "cblas_gemm_compute, weights packed beforehand", 0));
  constexpr double kScaleOfAll = 3e-4, kSevenBits = 2e-3;
  const std::string s8 =
      "fbgemmPacked, weights packed beforehand; one scale and zero for all activations";
  peers.push_back(product<S8>(
      "matmul_a8_s8", saturates() ? s8 + ", of 7 bits, since without VNNI its sums saturate" : s8,
      saturates() ? kSevenBits : kScaleOfAll));
  return QB_TORCH_VERSION ", of PyTorch";
}

}  // namespace
}  // namespace qb::bench::peers

extern "C" QB_EXPORT void qb_add_fbgemm(std::vector<qb::bench::peers::Peer>& peers,
                                        std::string& version) {
  version = qb::bench::peers::add(peers);
}
