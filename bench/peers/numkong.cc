// SPDX-License-Identifier: Apache-2.0
// NumKong: conversion, absmax by minimum and maximum, and dot products of int8 and of bf16 with
// weights packed beforehand. Its C sources are compiled into a shared library that picks the
// strongest kernels of the CPU; this file calls that.
//
// It has no threads of its own: outputs are dealt out to ours, each with a packed part.
#include <omp.h>

#define NK_DYNAMIC_DISPATCH 1
#define NK_NATIVE_F16 0
#define NK_NATIVE_BF16 0
#include <numkong/numkong.h>

#include <cstring>

#include "core/scalar_half.h"
#include "peers.h"
#include "quantize/quantize.h"

namespace qb::bench::peers {
namespace {

template <class From, nk_dtype_t from, class To, nk_dtype_t to>
void cast(const From* x, std::size_t n, To* y) {
  nk_cast(x, from, n, y, to);
}

float larger_magnitude(float a, float b) {
  a = a < 0 ? -a : a;
  b = b < 0 ? -b : b;
  return a < b ? b : a;
}

void absmax(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len) {
    nk_f32_t least = 0, most = 0;
    nk_size_t where_least, where_most;
    if (len) nk_reduce_minmax_f32(x, len, sizeof *x, &least, &where_least, &most, &where_most);
    out[i] = larger_magnitude(least, most);
  }
}

void absmax(const f16* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len) {
    nk_f16_t least = 0, most = 0;
    nk_size_t where_least, where_most;
    if (len)
      nk_reduce_minmax_f16(reinterpret_cast<const nk_f16_t*>(x), len, sizeof *x, &least,
                           &where_least, &most, &where_most);
    out[i] = larger_magnitude(f16_to_f32(f16(least)), f16_to_f32(f16(most)));
  }
}

/// Weights whose outputs are packed in one part per thread. Element: of both factors, Sum: of the
/// results.
template <class Element, class Sum>
class Dots : public Product {
 public:
  using Size = nk_size_t (*)(nk_size_t, nk_size_t);
  using Pack = void (*)(const Element*, nk_size_t, nk_size_t, nk_size_t, void*);
  using Run = void (*)(const Element*, const void*, Sum*, nk_size_t, nk_size_t, nk_size_t,
                       nk_size_t, nk_size_t);

  void run() override {
    if (parts_.size() == 1) return run(parts_[0]);
#pragma omp parallel for num_threads(int(parts_.size()))
    for (std::size_t i = 0; i < parts_.size(); ++i) run(parts_[i]);
  }

 protected:
  explicit Dots(const Operands& o) : o_(o), x_(o.m * o.weights.w.k) {}

  void bind(const Element* w, Size size, Pack pack, Run dots, Sum* y) {
    const std::size_t n = o_.weights.w.n, k = o_.weights.w.k, all = std::size_t(o_.threads);
    run_ = dots;
    y_ = y;
    for (std::size_t i = 0; i < all; ++i) {
      const std::size_t n0 = n * i / all / 64 * 64,
                        n1 = i + 1 == all ? n : n * (i + 1) / all / 64 * 64;
      if (n0 == n1) continue;
      parts_.push_back({n0, n1 - n0, std::vector<std::byte>(size(n1 - n0, k) + 64)});
      pack(w + n0 * k, n1 - n0, k, k * sizeof *w, aligned(parts_.back()));
    }
  }

  Operands o_;
  std::vector<Element> x_;

 private:
  struct Part {
    std::size_t n0, outputs;
    std::vector<std::byte> packed;
  };
  static void* aligned(const Part& part) {
    const auto at = reinterpret_cast<std::uintptr_t>(part.packed.data());
    return reinterpret_cast<void*>((at + 63) & ~std::uintptr_t{63});
  }
  void run(const Part& part) {
    const std::size_t n = o_.weights.w.n, k = o_.weights.w.k;
    run_(x_.data(), aligned(part), y_ + part.n0, o_.m, part.outputs, k, k * sizeof(Element),
         n * sizeof(Sum));
  }

  std::vector<Part> parts_;
  Run run_ = nullptr;
  Sum* y_ = nullptr;
};

/// Integer sums of activations that were quantized beforehand; finish() applies both scales.
class S8 : public Dots<nk_i8_t, nk_i32_t> {
 public:
  explicit S8(const Operands& o) : Dots(o), scales_(o.m) {
    quantize::quantize({o.x, x_.size()}, o.weights.w.k, x_, scales_);
    static_assert(sizeof(nk_i32_t) == sizeof(float));  // the sums lie where the results will
    bind(static_cast<const nk_i8_t*>(o.weights.w.values), nk_dots_packed_size_i8, nk_dots_pack_i8,
         nk_dots_packed_i8, reinterpret_cast<nk_i32_t*>(o.y));
  }
  void finish() override {
    const std::size_t n = o_.weights.w.n;
    const auto* scale = static_cast<const float*>(o_.weights.w.scales);
    for (std::size_t i = 0; i < o_.m * n; ++i) {
      nk_i32_t sum;
      std::memcpy(&sum, o_.y + i, sizeof sum);
      o_.y[i] = float(sum) * (scale[i % n] * scales_[i / n]);
    }
  }

 private:
  std::vector<float> scales_;
};

/// Both factors rounded beforehand.
class Bf16 : public Dots<nk_bf16_t, nk_f32_t> {
 public:
  explicit Bf16(const Operands& o) : Dots(o) {
    const matmul::Weights& w = o.weights.w;
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] = nk_bf16_t(f32_to_bf16(o.x[i]));
    std::vector<nk_bf16_t> rounded(w.n * w.k);
    const auto* values = static_cast<const float*>(w.values);
    for (std::size_t i = 0; i < rounded.size(); ++i) rounded[i] = nk_bf16_t(f32_to_bf16(values[i]));
    bind(rounded.data(), nk_dots_packed_size_bf16, nk_dots_pack_bf16, nk_dots_packed_bf16, o.y);
  }
};

template <class Made>
Peer product(const char* op, std::string note) {
  static const char any_address = 0;
  Peer peer{{op, "peer:numkong", Arch::any, {}, &any_address}, std::move(note)};
  peer.bind = [](const Operands& o) { return std::make_unique<Made>(o); };
  return peer;
}

/// A type to f32 and back.
template <class T, nk_dtype_t type>
void add_cast(std::vector<Peer>& peers, const char* there, const char* back) {
  peers.push_back(array_peer(there, "peer:numkong", cast<T, type, float, nk_f32_k>, "nk_cast"));
  peers.push_back(array_peer(back, "peer:numkong", cast<float, nk_f32_k, T, type>, "nk_cast"));
}

}  // namespace

std::string add_numkong(std::vector<Peer>& peers) {
  nk_configure_thread(nk_capabilities());
  add_cast<f16, nk_f16_k>(peers, "convert_f16_f32", "convert_f32_f16");
  add_cast<bf16, nk_bf16_k>(peers, "convert_bf16_f32", "convert_f32_bf16");
  add_cast<e4m3, nk_e4m3_k>(peers, "convert_e4m3_f32", "convert_f32_e4m3");
  add_cast<e5m2, nk_e5m2_k>(peers, "convert_e5m2_f32", "convert_f32_e5m2");
  const std::string minmax =
      "nk_reduce_minmax, which computes more: the positions of both, too; a NaN is not passed on";
  peers.push_back(array_peer<void(const float*, std::size_t, std::size_t, float*)>(
      "absmax_f32", "peer:numkong", absmax, minmax));
  peers.push_back(array_peer<void(const f16*, std::size_t, std::size_t, float*)>(
      "absmax_f16", "peer:numkong", absmax, minmax));
  peers.push_back(product<S8>(
      "matmul_a8_s8",
      "nk_dots_packed_i8, weights packed beforehand; left out: quantizing the activations, and all "
      "scales"));
  peers.push_back(product<Bf16>(
      "matmul_abf16_f32",
      "nk_dots_packed_bf16, weights packed beforehand; left out: rounding the activations"));
  return std::to_string(NK_VERSION_MAJOR) + "." + std::to_string(NK_VERSION_MINOR) + "." +
         std::to_string(NK_VERSION_PATCH);
}

}  // namespace qb::bench::peers
