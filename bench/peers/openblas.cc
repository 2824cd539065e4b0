// SPDX-License-Identifier: Apache-2.0
// OpenBLAS through CBLAS: sgemm and sgemv for f32 weights, isamax for absmax. It has no entry for
// weights packed beforehand, so that sgemm packs them in every call.
#include <cblas.h>

#include "peers.h"

// PyPI's build prefixes every symbol; its header declares them so.
#ifdef QB_OPENBLAS_PREFIXED
#define QB_BLAS(name) scipy_##name
#else
#define QB_BLAS(name) name
#endif

namespace qb::bench::peers {
namespace {

void absmax(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len) {
    const float v = len ? x[QB_BLAS(cblas_isamax)(blasint(len), x, 1)] : 0.0f;
    out[i] = v < 0 ? -v : v;
  }
}

class Gemm : public Product {
 public:
  explicit Gemm(const Operands& o) : o_(o), w_(static_cast<const float*>(o.weights.w.values)) {}

  void run() override {
    if (o_.threads > 1) QB_BLAS(openblas_set_num_threads)(o_.threads);
    const auto m = blasint(o_.m), n = blasint(o_.weights.w.n), k = blasint(o_.weights.w.k);
    if (m == 1)
      QB_BLAS(cblas_sgemv)(CblasRowMajor, CblasNoTrans, n, k, 1, w_, k, o_.x, 1, 0, o_.y, 1);
    else
      QB_BLAS(cblas_sgemm)
    (CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, o_.x, k, w_, k, 0, o_.y, n);
    if (o_.threads > 1) QB_BLAS(openblas_set_num_threads)(1);
  }

 private:
  Operands o_;
  const float* w_;
};

}  // namespace

std::string add_openblas(std::vector<Peer>& peers) {
  QB_BLAS(openblas_set_num_threads)(1);  // array operations are dealt out to our threads
  peers.push_back(
      array_peer("absmax_f32", "peer:openblas", absmax,
                 "cblas_isamax: an index, by which the value is looked up; a NaN is not "
                 "passed on"));
  static const char any_address = 0;
  Peer gemm{{"matmul_a32_f32", "peer:openblas", Arch::any, {}, &any_address},
            "sgemv for m:1, else sgemm, which packs the weights in every call"};
  gemm.bind = [](const Operands& o) { return std::make_unique<Gemm>(o); };
  gemm.in_place = true;
  peers.push_back(std::move(gemm));
  std::string version = QB_BLAS(openblas_get_config)();
  if (const std::string name = "OpenBLAS "; version.rfind(name, 0) == 0)
    version.erase(0, name.size());
  return version + ", runs as " + QB_BLAS(openblas_get_corename)();
}

}  // namespace qb::bench::peers
