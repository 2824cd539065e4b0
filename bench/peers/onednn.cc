// SPDX-License-Identifier: Apache-2.0
// oneDNN's matmul primitive, its weights reordered beforehand into the faster of the layout it asks
// for and our own: f32; bf16; s8 x s8; and, from version 3.5, weight-only products of f32 and bf16
// activations with s8 and s4 weights, scaled per channel or per group.
//
// x and y are our memory where the engine can use it, and x is not another type. On SYCL they are
// oneDNN's own: x is copied when the product is bound, y after the timing. The
// current build in the package registries runs its CPU code as a host task of a SYCL queue, on
// TBB's threads; older ones, and what is built from source, call it at once, on OpenMP's.
#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <oneapi/dnnl/dnnl.hpp>
#include <stdexcept>
#include <unordered_map>

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_TBB
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#endif

#include "all_cpus.h"
#include "codes.h"
#include "peers.h"

#if DNNL_VERSION_MAJOR > 3 || (DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR >= 5)
#define QB_ONEDNN_DECOMPRESSES 1
#endif

namespace qb::bench::peers {
namespace {

using dnnl::memory;
using Type = memory::data_type;
using Tag = memory::format_tag;

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_TBB
/// Runs `make` where oneDNN finds so many threads to plan for.
template <class Make>
void planned_for(int threads, Make make) {
  tbb::task_arena(threads).execute(make);
}

/// No more than so many threads take part in what is executed meanwhile.
struct Threads {
  explicit Threads(int threads)
      : limit(tbb::global_control::max_allowed_parallelism, std::size_t(threads)) {}
  tbb::global_control limit;
};
#else
template <class Make>
void planned_for(int, Make make) {
  make();
}

/// oneDNN takes OpenMP's number of threads at creation and execution alike.
class Threads {
 public:
  explicit Threads(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~Threads() { omp_set_num_threads(before_); }
  Threads(const Threads&) = delete;

 private:
  int before_;
};
#endif

const dnnl::engine& engine() {
  static const dnnl::engine cpu = [] {
#ifdef QB_ONEDNN_OPENCL  // SYCL sees a CPU through this library, which it looks for in /etc only
    setenv("OCL_ICD_FILENAMES", QB_ONEDNN_OPENCL, 0);
#endif
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return cpu;
}

/// Memory with these bytes in it.
memory filled(const memory::desc& desc, const void* bytes) {
  memory made(desc, engine());
  void* at = made.map_data();
  std::memcpy(at, bytes, desc.get_size());
  made.unmap_data(at);
  return made;
}

/// Memory that is the caller's, where the engine can work on it; otherwise its own, with `bytes`.
memory placed(const memory::desc& desc, void* bytes) {
#if DNNL_CPU_RUNTIME == DNNL_RUNTIME_SYCL
  return filled(desc, bytes);
#else
  return memory(desc, engine(), bytes);
#endif
}

class Matmul : public Product {
 public:
  void run() override {
    const Threads only(threads_);
    primitive_.execute(stream_, arguments_);
    stream_.wait();
  }

  void finish() override {
    memory& y = arguments_.at(DNNL_ARG_DST);
    auto* at = y.map_data<float>();
    for (std::size_t i = 0; i < m_; ++i)
      for (std::size_t j = 0; j < n_; ++j)
        y_[i * n_ + j] = at[i * n_ + j] * (row_scales_.empty() ? 1.0f : row_scales_[i]);
    y.unmap_data(at);
  }

 protected:
  explicit Matmul(const Operands& o)
      : threads_(o.threads), m_(o.m), n_(o.weights.w.n), y_(o.y), stream_(engine()) {}

  struct Values {
    Type type;
    const void* bytes;
  };

  /// `given`: the weights in our canonical layout. Layouts are tried: the one that oneDNN asks for
  /// is not always its fastest.
  void bind(const Operands& o, Type x_type, const void* x, Type w_type, Values given,
            const dnnl::primitive_attr& attributes, std::unordered_map<int, memory> scales = {}) {
    const auto m = memory::dim(o.m), n = memory::dim(o.weights.w.n), k = memory::dim(o.weights.w.k);
    const AllCpus all;
    const Threads only(threads_);
    const memory::desc x_desc({m, k}, x_type, Tag::ab), y_desc({m, n}, Type::f32, Tag::ab);
    memory canonical = filled(memory::desc({k, n}, given.type, Tag::ba), given.bytes);
    std::unordered_map<int, memory> arguments = std::move(scales);
    arguments.insert(
        {DNNL_ARG_SRC, x == o.x ? placed(x_desc, const_cast<float*>(o.x)) : filled(x_desc, x)});
    arguments.insert({DNNL_ARG_DST, placed(y_desc, o.y)});
    double least = 0;
    std::string refusal;
    for (const Tag layout : {Tag::any, Tag::ba}) {
      try {
        planned_for(threads_, [&] {
          const dnnl::matmul::primitive_desc chosen(
              engine(), x_desc, memory::desc({k, n}, w_type, layout), y_desc, attributes);
          const dnnl::matmul primitive(chosen);
          memory packed = canonical;
          if (chosen.weights_desc() != canonical.get_desc()) {
            packed = memory(chosen.weights_desc(), engine());
            dnnl::reorder(canonical, packed).execute(stream_, canonical, packed);
            stream_.wait();
          }
          arguments.insert_or_assign(DNNL_ARG_WEIGHTS, packed);
          const double seconds = least_of_calls(primitive, arguments);
          if (least > 0 && seconds >= least) return;
          least = seconds;
          primitive_ = primitive;
          arguments_ = arguments;
        });
      } catch (const dnnl::error& e) {  // of 4 bits there may be no reordering
        refusal = e.message;
      }
    }
    if (least == 0) throw std::runtime_error("oneDNN: " + refusal);
  }

  double least_of_calls(const dnnl::matmul& primitive,
                        const std::unordered_map<int, memory>& arguments) {
    double least = 1e30;
    for (int look = 0; look < 4; ++look) {
      const double begin = omp_get_wtime();
      primitive.execute(stream_, arguments);
      stream_.wait();
      least = std::min(least, omp_get_wtime() - begin);
    }
    return least;
  }

  int threads_;
  std::size_t m_, n_;
  float* y_;
  std::vector<float> row_scales_;
  dnnl::stream stream_;
  dnnl::matmul primitive_;
  std::unordered_map<int, memory> arguments_;
};

class F32 : public Matmul {
 public:
  explicit F32(const Operands& o) : Matmul(o) {
    bind(o, Type::f32, o.x, Type::f32, {Type::f32, o.weights.w.values}, {});
  }
};

/// Both rounded beforehand.
class Bf16 : public Matmul {
 public:
  explicit Bf16(const Operands& o) : Matmul(o) {
    bind(o, Type::bf16, rounded(o.x, o.m * o.weights.w.k, f32_to_bf16).data(), Type::bf16,
         {Type::f32, o.weights.w.values}, {});
  }
};

/// Integer products of activations that were quantized beforehand; oneDNN applies the weights'
/// scales, finish() those of the activations.
class S8 : public Matmul {
 public:
  explicit S8(const Operands& o) : Matmul(o) {
    const Codes given = codes(o);
    row_scales_ = given.x_scales;
    dnnl::primitive_attr attributes;
    attributes.set_scales_mask(DNNL_ARG_WEIGHTS, 1 << 1);
    bind(o, Type::s8, given.x.data(), Type::s8, {Type::s8, given.w.data()}, attributes,
         {{DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS,
           filled(memory::desc({memory::dim(o.weights.w.n)}, Type::f32, Tag::a),
                  given.w_scales.data())}});
  }
};

#ifdef QB_ONEDNN_DECOMPRESSES
/// f32 or bf16 activations, integer weights scaled per channel or per group along K; scales in f32,
/// since those in f16 lead to its reference code where the CPU has no f16 arithmetic.
class Decompressing : public Matmul {
 public:
  Decompressing(const Operands& o, Type activations, Type type) : Matmul(o) {
    const matmul::Weights& w = o.weights.w;
    const auto n = memory::dim(w.n), groups = memory::dim(w.k / w.group);
    const bool grouped =
        o.weights.format == matmul::Format::s8g || o.weights.format == matmul::Format::s4g;
    dnnl::primitive_attr attributes;
    attributes.set_fpmath_mode(
        activations == Type::bf16 ? dnnl::fpmath_mode::bf16 : dnnl::fpmath_mode::strict, true);
    if (grouped)
      attributes.set_scales(DNNL_ARG_WEIGHTS, 1 | 1 << 1, {memory::dim(w.group), 1}, Type::f32);
    else
      attributes.set_scales_mask(DNNL_ARG_WEIGHTS, 1 << 1);
    memory scales;
    if (grouped) {  // ours are [n, groups]
      std::vector<float> turned(std::size_t(n * groups));
      const auto* from = static_cast<const f16*>(w.scales);
      for (std::size_t i = 0; i < w.n; ++i)
        for (std::size_t g = 0; g < std::size_t(groups); ++g)
          turned[g * w.n + i] = f16_to_f32(from[i * std::size_t(groups) + g]);
      scales = filled(memory::desc({groups, n}, Type::f32, Tag::ab), turned.data());
    } else {
      scales = filled(memory::desc({n}, Type::f32, Tag::a), w.scales);
    }
    const std::vector<bf16> x =
        activations == Type::bf16 ? rounded(o.x, o.m * w.k, f32_to_bf16) : std::vector<bf16>();
    bind(o, activations, x.empty() ? static_cast<const void*>(o.x) : x.data(), type,
         {type, w.values}, attributes, {{DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, scales}});
  }
};
#endif

template <class Bind>
void add(std::vector<Peer>& peers, const char* op, std::string note, Bind bind,
         double most_nmse = 0) {
  static const char any_address = 0;
#if DNNL_CPU_RUNTIME == DNNL_RUNTIME_SYCL
  note += "; a task of a SYCL queue, which costs 10 to 60 us a call";
#endif
  Peer peer{{op, "peer:onednn", Arch::any, {}, &any_address}, std::move(note), most_nmse};
  peer.bind = bind;
  peers.push_back(std::move(peer));
}

}  // namespace

std::string add_onednn(std::vector<Peer>& peers) {
  add(peers, "matmul_a32_f32", "matmul f32, weights packed beforehand",
      [](const Operands& o) { return std::make_unique<F32>(o); });
  if (dnnl::get_effective_cpu_isa() > dnnl::cpu_isa::avx512_core)  // otherwise its reference code
    add(peers, "matmul_abf16_f32",
        "matmul bf16, weights rounded and packed beforehand; left out: rounding the activations",
        [](const Operands& o) { return std::make_unique<Bf16>(o); });
  const std::string s8 =
      "matmul s8 x s8, weights packed beforehand; left out: quantizing the activations, and their "
      "scales";
  add(
      peers, "matmul_a8_s8",
      saturates() ? s8 + "; weights cut to 7 bits, since without VNNI its sums saturate" : s8,
      [](const Operands& o) { return std::make_unique<S8>(o); }, saturates() ? kSevenBits : 0);
#ifdef QB_ONEDNN_DECOMPRESSES
  constexpr double kScaledSums = 1e-5;  // weights that are not rounded
  for (const auto& [op, x, w] : {std::tuple{"matmul_a32_s8", Type::f32, Type::s8},
                                 {"matmul_a32_s8g", Type::f32, Type::s8},
                                 {"matmul_a32_s4", Type::f32, Type::s4},
                                 {"matmul_a32_s4g", Type::f32, Type::s4},
                                 {"matmul_abf16_s8", Type::bf16, Type::s8},
                                 {"matmul_abf16_s8g", Type::bf16, Type::s8},
                                 {"matmul_abf16_s4", Type::bf16, Type::s4},
                                 {"matmul_abf16_s4g", Type::bf16, Type::s4}})
    add(
        peers, op,
        x == Type::f32 ? "matmul f32 x integer weights, packed beforehand"
                       : "matmul bf16 x integer weights, packed beforehand; left out: rounding "
                         "the activations; scales per channel are applied to the sums",
        [x = x, w = w](const Operands& o) { return std::make_unique<Decompressing>(o, x, w); },
        x == Type::f32 ? 0 : kScaledSums);
#endif
  const dnnl_version_t* v = dnnl::version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." +
         std::to_string(v->patch) + (DNNL_CPU_RUNTIME == DNNL_RUNTIME_SYCL ? ", on SYCL" : "");
}

}  // namespace qb::bench::peers
