// SPDX-License-Identifier: Apache-2.0
// The matmul benchmarks' rows: the cases of every shape, thread count and variant. Each arithmetic
// brings its operations and its oracle.
#pragma once

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "matmul_instance.h"
#include "peers/peers.h"
#include "plugins/plugins.h"
#include "suite.h"

namespace qb::bench {

/// Least working set of a cold case, and what it is judged by: what was measured of a cache that
/// others use as well may be much less than what it holds a moment later.
inline constexpr std::size_t kColdBytes = std::size_t{256} << 20;

/// Bytes that a variant reads of the weights. Calls into the variant only if it can run here. For a
/// peer those of the canonical layout: its own may be larger. For a loaded one too: it was not
/// tried yet, so it is not called.
inline std::size_t weight_bytes(const MatmulFormat& f, const Variant& v, std::size_t n,
                                std::size_t k) {
  if (v.refusal().empty() && !peers::as_peer(&v) && !plugins::as_loaded(&v)) {
    const std::size_t group = QuantizedWeights::group_of(f.format, k, f.group);
    if (const std::size_t packed = f.op->kernel(v)->packed_bytes(n, k, group)) return packed;
  }
  // Peers pack them rounded, as all of ours do.
  if (f.format == matmul::Format::f32 && f.peak == Peak::bf16) return n * k * sizeof(bf16);
  return QuantizedWeights::bytes_of(f.format, n, k, f.group);
}

/// Bytes of the weights that no layout can leave out: the format's own, or fewer where packing
/// rounds them. A larger layout reads more than it is given credit for.
inline std::size_t needed_bytes(const MatmulFormat& f, const Variant& v, std::size_t n,
                                std::size_t k) {
  return std::min(weight_bytes(f, v, n, k), QuantizedWeights::bytes_of(f.format, n, k, f.group));
}

inline bool fits(const MatmulFormat& f, std::size_t k) {
  return k % info(f.format).k_step(f.group) == 0;
}

/// matmul/<format>/<variant>/m:<m>/n:<n>/k:<k>[/cold]
template <class T>
void add_matmul(const Plan& plan, const MatmulFormat& f, const ColumnOracle<T>& oracle,
                Suite& suite) {
  for (const Plan::Shape& s : plan.matmul) {
    if (!fits(f, s.k)) continue;
    for (const int threads : plan.threads)
      for (const Variant* v : with_others(plan, f.op->variants(), f.op->name)) {
        const peers::Peer* peer = peers::as_peer(v);
        if (peer && peer->takes && !peer->takes(s.m, s.n, s.k)) continue;
        Case c;
        c.op = "matmul";
        c.format = f.name;
        c.variant = v;
        c.shape = "m:" + std::to_string(s.m) + "/n:" + std::to_string(s.n) +
                  "/k:" + std::to_string(s.k) + (s.cold ? "/cold" : "");
        c.threads = threads;
        c.rows = rows_of(s.m);
        const std::size_t weights = weight_bytes(f, *v, s.n, s.k);
        const std::size_t in = s.m * s.k * sizeof(T), out = s.m * s.n * sizeof(T);
        c.work.items = double(s.m) * double(s.n);
        c.work.ops = 2.0 * double(s.m) * double(s.n) * double(s.k);
        c.work.peak = f.peak;
        c.work.passes = {{double(needed_bytes(f, *v, s.n, s.k) + in), double(out)}};
        c.work.working_set = (s.cold ? std::max(weights, kColdBytes) : weights) + in + out;
        const std::string key = c.op + "/" + c.format + "/" + c.shape;
        c.make = [=](const Setup& setup) -> std::unique_ptr<Instance> {
          auto problem = setup.problems.get<MatmulProblem<T>>(
              key, [&] { return std::make_shared<MatmulProblem<T>>(f, s, oracle, setup); });
          const auto y = setup.problems.output<T>(s.m * s.n);
          const std::size_t rotate = s.cold ? std::max(3 * setup.cache_bytes, kColdBytes) : 0;
          if constexpr (std::is_same_v<T, float>)
            if (peer)
              return std::make_unique<PeerMatmulInstance>(problem, y, *peer, rotate, setup.threads);
          return std::make_unique<MatmulInstance<T>>(problem, y, f.op->kernel(*v), rotate,
                                                     setup.threads);
        };
        suite.push_back(std::move(c));
      }
  }
}

/// repack/<format>/<variant>/n:<n>/k:<k>, once per pair of n and k; for variants that pack.
inline void add_repack(const Plan& plan, const MatmulFormat& f, Suite& suite) {
  std::set<std::pair<std::size_t, std::size_t>> seen;
  for (const Plan::Shape& s : plan.matmul) {
    if (!fits(f, s.k) || !seen.insert({s.n, s.k}).second) continue;
    for (const int threads : plan.threads)
      for (const Variant* v : plugins::with_loaded(f.op->variants(), f.op->name)) {
        if (v->impl && !f.op->kernel(*v)->pack) continue;
        Case c;
        c.op = "repack";
        c.format = f.name;
        c.variant = v;
        c.shape = "n:" + std::to_string(s.n) + "/k:" + std::to_string(s.k);
        c.threads = threads;
        const std::size_t canonical = QuantizedWeights::bytes_of(f.format, s.n, s.k, f.group);
        const std::size_t packed = weight_bytes(f, *v, s.n, s.k);
        c.work.items = double(s.n) * double(s.k);
        c.work.passes = {{double(canonical), double(packed)}};
        c.work.working_set = canonical + packed;
        c.make = [=, n = s.n, k = s.k](const Setup& setup) -> std::unique_ptr<Instance> {
          return std::make_unique<RepackInstance>(quantized_weights(setup, f.format, n, k, f.group),
                                                  f, f.op->kernel(*v), setup.threads);
        };
        suite.push_back(std::move(c));
      }
  }
}

}  // namespace qb::bench
