// SPDX-License-Identifier: Apache-2.0
// MKL through CBLAS: products of f32, f16, bf16 and int8, the weights packed beforehand or left to
// be packed in every call (for one row of f32: sgemv), whichever is faster; isamax for absmax. Its
// threads are GNU OpenMP's, like ours. Which code a CPU of another maker gets is MKL's choice.
#include <mkl_cblas.h>
#include <mkl_service.h>
#include <omp.h>

#include <memory>

#include "codes.h"
#include "peers.h"

namespace qb::bench::peers {
namespace {

void absmax(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len) {
    const float v = len ? x[cblas_isamax(MKL_INT(len), x, 1)] : 0.0f;
    out[i] = v < 0 ? -v : v;
  }
}

class Threads {
 public:
  explicit Threads(int threads) : before_(mkl_set_num_threads_local(threads)) {}
  ~Threads() { mkl_set_num_threads_local(before_); }
  Threads(const Threads&) = delete;

 private:
  int before_;
};

class Gemm : public Product {
 public:
  explicit Gemm(const Operands& o)
      : o_(o), m_(MKL_INT(o.m)), n_(MKL_INT(o.weights.w.n)), k_(MKL_INT(o.weights.w.k)) {}

  void run() override { run(fastest_); }

 protected:
  enum Way { packed, plain };

  virtual void call(Way way) = 0;

  /// To be called when both ways are prepared.
  void choose() {
    double seconds[2] = {1e30, 1e30};
    for (int look = 0; look < 4; ++look)
      for (const Way way : {packed, plain}) {
        const double begin = omp_get_wtime();
        run(way);
        seconds[way] = std::min(seconds[way], omp_get_wtime() - begin);
      }
    fastest_ = seconds[packed] < seconds[plain] ? packed : plain;
  }

  void* allocate(std::size_t bytes) {
    packed_.reset(mkl_malloc(bytes, 64));
    if (!packed_) throw std::bad_alloc();
    return packed_.get();
  }

  template <class T>
  const T* packed_as() const {
    return static_cast<const T*>(packed_.get());
  }

  Operands o_;
  MKL_INT m_, n_, k_;

 private:
  struct Free {
    void operator()(void* p) const { mkl_free(p); }
  };

  void run(Way way) {
    const Threads only(o_.threads);
    call(way);
  }

  std::unique_ptr<void, Free> packed_;
  Way fastest_ = packed;
};

class F32 : public Gemm {
 public:
  explicit F32(const Operands& o) : Gemm(o), w_(static_cast<const float*>(o.weights.w.values)) {
    const Threads only(o.threads);
    auto* to = static_cast<float*>(allocate(cblas_sgemm_pack_get_size(CblasBMatrix, m_, n_, k_)));
    cblas_sgemm_pack(CblasRowMajor, CblasBMatrix, CblasTrans, m_, n_, k_, 1, w_, k_, to);
    choose();
  }

 private:
  void call(Way way) override {
    if (way == packed)
      cblas_sgemm_compute(CblasRowMajor, CblasNoTrans, CblasPacked, m_, n_, k_, o_.x, k_,
                          packed_as<float>(), k_, 0, o_.y, n_);
    else if (m_ == 1)
      cblas_sgemv(CblasRowMajor, CblasNoTrans, n_, k_, 1, w_, k_, o_.x, 1, 0, o_.y, 1);
    else
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m_, n_, k_, 1, o_.x, k_, w_, k_, 0, o_.y,
                  n_);
  }

  const float* w_;
};

/// Of bf16 or f16, both operands rounded beforehand.
template <class T, auto size, auto pack, auto compute, auto gemm>
class Halves : public Gemm {
 public:
  Halves(const Operands& o, std::vector<T> x, std::vector<T> w)
      : Gemm(o), x_(std::move(x)), w_(std::move(w)) {
    const Threads only(o.threads);
    void* to = allocate(size(CblasBMatrix, m_, n_, k_));
    pack(CblasRowMajor, CblasBMatrix, CblasTrans, m_, n_, k_, bits(w_.data()), k_,
         static_cast<Bits*>(to));
    choose();
  }

 private:
  using Bits = unsigned short;
  static const Bits* bits(const T* x) { return reinterpret_cast<const Bits*>(x); }

  void call(Way way) override {
    if (way == packed)
      compute(CblasRowMajor, CblasNoTrans, CblasPacked, m_, n_, k_, 1, bits(x_.data()), k_,
              packed_as<Bits>(), k_, 0, o_.y, n_);
    else
      gemm(CblasRowMajor, CblasNoTrans, CblasTrans, m_, n_, k_, 1, bits(x_.data()), k_,
           bits(w_.data()), k_, 0, o_.y, n_);
  }

  std::vector<T> x_, w_;
};
using Bf16 = Halves<bf16, cblas_gemm_bf16bf16f32_pack_get_size, cblas_gemm_bf16bf16f32_pack,
                    cblas_gemm_bf16bf16f32_compute, cblas_gemm_bf16bf16f32>;
using F16 = Halves<f16, cblas_gemm_f16f16f32_pack_get_size, cblas_gemm_f16f16f32_pack,
                   cblas_gemm_f16f16f32_compute, cblas_gemm_f16f16f32>;

/// u8 x s8: 128 is added to the activations' codes, and MKL told so. finish() scales.
class S8 : public Gemm {
 public:
  explicit S8(const Operands& o) : Gemm(o), codes_(codes(o)), sums_(o.m * o.weights.w.n) {
    for (const std::int8_t q : codes_.x) x_.push_back(std::uint8_t(q + 128));
    const Threads only(o.threads);
    void* to = allocate(cblas_gemm_s8u8s32_pack_get_size(CblasBMatrix, m_, n_, k_));
    cblas_gemm_s8u8s32_pack(CblasRowMajor, CblasBMatrix, CblasTrans, m_, n_, k_, codes_.w.data(),
                            k_, to);
    choose();
  }

  void finish() override {
    const auto n = std::size_t(n_);
    for (std::size_t i = 0; i < o_.m; ++i)
      for (std::size_t j = 0; j < n; ++j)
        o_.y[i * n + j] = float(sums_[i * n + j]) * codes_.w_scales[j] * codes_.x_scales[i];
  }

 private:
  void call(Way way) override {
    const MKL_INT32 nothing = 0;
    if (way == packed)
      cblas_gemm_s8u8s32_compute(CblasRowMajor, CblasNoTrans, CblasPacked, CblasFixOffset, m_, n_,
                                 k_, 1, x_.data(), k_, -128, packed_as<void>(), k_, 0, 0,
                                 sums_.data(), n_, &nothing);
    else
      cblas_gemm_s8u8s32(CblasRowMajor, CblasNoTrans, CblasTrans, CblasFixOffset, m_, n_, k_, 1,
                         x_.data(), k_, -128, codes_.w.data(), k_, 0, 0, sums_.data(), n_,
                         &nothing);
  }

  Codes codes_;
  std::vector<std::uint8_t> x_;
  std::vector<MKL_INT32> sums_;
};

template <class Bind>
void add(std::vector<Peer>& peers, const char* op, std::string note, Bind bind,
         double most_nmse = 0) {
  static const char any_address = 0;
  Peer peer{{op, "peer:mkl", Arch::any, {}, &any_address}, std::move(note), most_nmse};
  peer.bind = bind;
  peers.push_back(std::move(peer));
}

}  // namespace

std::string add_mkl(std::vector<Peer>& peers) {
  mkl_set_dynamic(0);
  mkl_set_num_threads(1);  // array operations are dealt out to our threads
  peers.push_back(array_peer("absmax_f32", "peer:mkl", absmax,
                             "cblas_isamax: an index, by which the value is looked up; a NaN is "
                             "not passed on"));
  add(peers, "matmul_a32_f32",
      "sgemm_compute, weights packed beforehand, or sgemm or sgemv if that is faster",
      [](const Operands& o) { return std::make_unique<F32>(o); });
  constexpr double kHalfActivations = 1e-6;
  add(
      peers, "matmul_a32_f16",
      "gemm_f16f16f32, weights packed beforehand; left out: rounding the activations to "
      "f16",
      [](const Operands& o) {
        const matmul::Weights& w = o.weights.w;
        const auto* halves = static_cast<const f16*>(w.values);
        return std::make_unique<F16>(o, rounded(o.x, o.m * w.k, f32_to_f16),
                                     std::vector<f16>(halves, halves + w.n * w.k));
      },
      kHalfActivations);
  add(peers, "matmul_abf16_f32",
      "gemm_bf16bf16f32, weights rounded and packed beforehand; left out: rounding the "
      "activations",
      [](const Operands& o) {
        const matmul::Weights& w = o.weights.w;
        const auto* floats = static_cast<const float*>(w.values);
        return std::make_unique<Bf16>(o, rounded(o.x, o.m * w.k, f32_to_bf16),
                                      rounded(floats, w.n * w.k, f32_to_bf16));
      });
  const std::string s8 =
      "gemm_s8u8s32, weights packed beforehand; left out: quantizing the activations, and "
      "all scales";
  add(
      peers, "matmul_a8_s8",
      saturates() ? s8 + "; weights cut to 7 bits, since without VNNI its sums saturate" : s8,
      [](const Operands& o) { return std::make_unique<S8>(o); }, saturates() ? kSevenBits : 0);
  MKLVersion v;
  mkl_get_version(&v);
  return std::to_string(v.MajorVersion) + "." + std::to_string(v.MinorVersion) + "." +
         std::to_string(v.UpdateVersion) + ", for " + v.Processor;
}

}  // namespace qb::bench::peers
