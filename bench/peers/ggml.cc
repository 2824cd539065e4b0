// SPDX-License-Identifier: Apache-2.0
// ggml's CPU backend, through its public headers: conversion rows, quantize and dequantize rows
// from its type traits, and mul_mat with the plain and every extra buffer type (REPACK, AMX) that
// takes the weights here.
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>
#include <sched.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>

#include "data.h"
#include "peers.h"
#include "quantize/quantize.h"

namespace qb::bench::peers {
namespace {

// ---- rows

void f16_to_f32(const f16* x, std::size_t n, float* y) {
  ggml_cpu_fp16_to_fp32(reinterpret_cast<const ggml_fp16_t*>(x), y, std::int64_t(n));
}
void f32_to_f16(const float* x, std::size_t n, f16* y) {
  ggml_cpu_fp32_to_fp16(x, reinterpret_cast<ggml_fp16_t*>(y), std::int64_t(n));
}
void bf16_to_f32(const bf16* x, std::size_t n, float* y) {
  ggml_cpu_bf16_to_fp32(reinterpret_cast<const ggml_bf16_t*>(x), y, std::int64_t(n));
}
void f32_to_bf16(const float* x, std::size_t n, bf16* y) {
  ggml_cpu_fp32_to_bf16(x, reinterpret_cast<ggml_bf16_t*>(y), std::int64_t(n));
}

/// The type of that name; GGML_TYPE_COUNT if this ggml has none.
ggml_type type_named(std::string_view name) {
  for (int type = 0; type < GGML_TYPE_COUNT; ++type) {
    const char* const its_name = ggml_type_name(ggml_type(type));
    if (its_name && name == its_name) return ggml_type(type);
  }
  return GGML_TYPE_COUNT;
}

template <ggml_type type, class Block>
void quantize(const float* x, std::size_t blocks, Block* y) {
  ggml_get_type_traits_cpu(type)->from_float(x, y, std::int64_t(blocks * kBlock));
}
template <ggml_type type, class Block>
void quantize_ref(const float* x, std::size_t blocks, Block* y) {
  ggml_get_type_traits(type)->from_float_ref(x, y, std::int64_t(blocks * kBlock));
}
template <ggml_type type, class Block>
void dequantize(const Block* x, std::size_t blocks, float* y) {
  ggml_get_type_traits(type)->to_float(x, y, std::int64_t(blocks * kBlock));
}

/// The same of a format whose ggml type is found by its name.
template <class Block>
struct Named {
  static inline ggml_type type = GGML_TYPE_COUNT;
  static void quantize(const float* x, std::size_t blocks, Block* y) {
    ggml_get_type_traits(type)->from_float_ref(x, y, std::int64_t(blocks * kWeightsOf<Block>));
  }
  static void dequantize(const Block* x, std::size_t blocks, float* y) {
    ggml_get_type_traits(type)->to_float(x, y, std::int64_t(blocks * kWeightsOf<Block>));
  }
};

/// Both rows of a format that has its name, if this ggml has it.
template <class Block>
void add_named_format(std::vector<Peer>& peers, const std::string& format, std::string_view there,
                      std::string_view back) {
  // Compiled for this CPU, plain C may be contracted. A code at a tie is then its neighbour, and a
  // search among scales with nearly equal errors ends at another one: in 3 of 10 of q5_K's
  // super-blocks (`differing` of its row).
  constexpr double kOneCode = 1e-4, kAnotherScale = 1e-3;
  const double most = format.ends_with("_K") || format == "iq4_xs" ? kAnotherScale : kOneCode;
  Named<Block>::type = type_named(format);
  if (Named<Block>::type == GGML_TYPE_COUNT) return;
  peers.push_back(array_peer(there, "peer:ggml", Named<Block>::quantize,
                             "quantize_row_" + format + "_ref, plain C compiled for this CPU",
                             most));
  peers.push_back(array_peer(back, "peer:ggml", Named<Block>::dequantize,
                             "dequantize_row_" + format + ", plain C"));
}

// ---- mul_mat

struct Free {
  void operator()(ggml_context* p) const { ggml_free(p); }
  void operator()(ggml_backend_buffer* p) const { ggml_backend_buffer_free(p); }
};
using Context = std::unique_ptr<ggml_context, Free>;
using Buffer = std::unique_ptr<ggml_backend_buffer, Free>;

/// CPUs that the OpenMP threads are bound to, if they are: ggml's own threads are given the same.
std::set<int> bound_cpus(int threads) {
  std::set<int> cpus;
#pragma omp parallel num_threads(threads)
  {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1)
      for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set)) {
#pragma omp critical
          cpus.insert(cpu);
        }
  }
  return cpus;
}

/// One backend, with threads that stay, per number of threads.
ggml_backend_t backend(int threads) {
  static std::map<int, ggml_backend_t> known;
  ggml_backend_t& b = known[threads];
  if (b) return b;
  b = ggml_backend_cpu_init();
  ggml_threadpool_params params = ggml_threadpool_params_default(threads);
  // Its threads poll between calls, but not for the tenth of a second that is the default: they
  // would take the CPUs from the rows that run in turn with them.
  params.poll = 1;
  if (const std::set<int> cpus = bound_cpus(threads); int(cpus.size()) == threads) {
    for (const int cpu : cpus)
      if (cpu < GGML_MAX_N_THREADS) params.cpumask[cpu] = true;
    params.strict_cpu = true;
  }
  ggml_backend_cpu_set_n_threads(b, threads);
  ggml_backend_cpu_set_threadpool(b, ggml_threadpool_new(&params));
  return b;
}

ggml_backend_dev_t device() { return ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0); }

/// A graph of one product, its weights in a buffer of the given type.
struct Graph {
  Graph(ggml_type type, std::size_t m, std::size_t n, std::size_t k, ggml_backend_buffer_type_t in)
      : context(ggml_init({4 * ggml_tensor_overhead() + ggml_graph_overhead(), nullptr, true})) {
    w = ggml_new_tensor_2d(context.get(), type, std::int64_t(k), std::int64_t(n));
    x = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, std::int64_t(k), std::int64_t(m));
    y = ggml_mul_mat(context.get(), w, x);
    weights.reset(ggml_backend_buft_alloc_buffer(in, ggml_backend_buft_get_alloc_size(in, w)));
    if (!weights) throw std::runtime_error("ggml: no memory for the weights");
    ggml_backend_buffer_set_usage(weights.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    ggml_backend_tensor_alloc(weights.get(), w, ggml_backend_buffer_get_base(weights.get()));
  }
  Context context;
  Buffer weights;
  ggml_tensor *w, *x, *y;
};

class MulMat : public Product {
 public:
  MulMat(ggml_type type, ggml_backend_buffer_type_t in, const Operands& o)
      : graph_(type, o.m, o.weights.w.n, o.weights.w.k, in), backend_(backend(o.threads)) {
    const matmul::Weights& w = o.weights.w;
    ggml_backend_tensor_set(graph_.w, w.values, 0, ggml_nbytes(graph_.w));
    place(x_, graph_.x, const_cast<float*>(o.x), o.m * w.k * sizeof(float));
    place(y_, graph_.y, o.y, o.m * w.n * sizeof(float));
    cgraph_ = ggml_new_graph(graph_.context.get());
    ggml_build_forward_expand(cgraph_, graph_.y);
  }

  void run() override {
    if (ggml_backend_graph_compute(backend_, cgraph_) != GGML_STATUS_SUCCESS)
      throw std::runtime_error("ggml: the product failed");
  }

 private:
  static void place(Buffer& buffer, ggml_tensor* tensor, void* at, std::size_t bytes) {
    buffer.reset(ggml_backend_cpu_buffer_from_ptr(at, bytes));
    ggml_backend_tensor_alloc(buffer.get(), tensor, at);
  }

  Graph graph_;
  Buffer x_, y_;
  ggml_backend_t backend_;
  ggml_cgraph* cgraph_ = nullptr;
};

/// "CPU_REPACK" is "repack" in a variant's name.
std::string short_name(ggml_backend_buffer_type_t in) {
  std::string name = ggml_backend_buft_name(in);
  if (name.rfind("CPU_", 0) == 0) name.erase(0, 4);
  for (char& c : name) c = char(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

/// Names live as long as the program: variants refer to them.
std::string_view keep(std::string name) {
  static std::set<std::string, std::less<>> names;
  return *names.insert(std::move(name)).first;
}

void add_mul_mat(std::vector<Peer>& peers, std::string_view op, ggml_type type, const char* note,
                 double most_nmse) {
  static const char any_address = 0;  // marks the variant as compiled
  const auto add = [&](std::string_view name, std::string full_note,
                       ggml_backend_buffer_type_t in) {
    Peer peer{{op, name, Arch::any, {}, &any_address}, std::move(full_note), most_nmse};
    peer.bind = [=](const Operands& o) { return std::make_unique<MulMat>(type, in, o); };
    if (in != ggml_backend_cpu_buffer_type())
      peer.takes = [=](std::size_t m, std::size_t n, std::size_t k) {
        const Graph graph(type, m, n, k, in);
        return ggml_backend_dev_supports_op(device(), graph.y);
      };
    peers.push_back(std::move(peer));
  };
  add("peer:ggml", std::string(note) + ", plain buffer", ggml_backend_cpu_buffer_type());
  const auto extra =
      reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(ggml_backend_reg_get_proc_address(
          ggml_backend_cpu_reg(), "ggml_backend_dev_get_extra_bufts"));
  if (!extra) return;
  for (ggml_backend_buffer_type_t* in = extra(device()); in && *in; ++in) {
    const Graph probe(type, 64, 256, 256, *in);
    if (!ggml_backend_dev_supports_op(device(), probe.y)) continue;
    add(keep("peer:ggml-" + short_name(*in)),
        std::string(note) + ", weights in its " + ggml_backend_buft_name(*in) + " buffer", *in);
  }
}

std::string built_for() {
  std::string sets;
  const std::pair<const char*, int (*)()> known[] = {{"avx2", ggml_cpu_has_avx2},
                                                     {"fma", ggml_cpu_has_fma},
                                                     {"f16c", ggml_cpu_has_f16c},
                                                     {"avx_vnni", ggml_cpu_has_avx_vnni},
                                                     {"avx512", ggml_cpu_has_avx512},
                                                     {"avx512_vnni", ggml_cpu_has_avx512_vnni},
                                                     {"avx512_bf16", ggml_cpu_has_avx512_bf16},
                                                     {"amx", ggml_cpu_has_amx_int8},
                                                     {"neon", ggml_cpu_has_neon},
                                                     {"dotprod", ggml_cpu_has_dotprod},
                                                     {"i8mm", ggml_cpu_has_matmul_int8},
                                                     {"sve", ggml_cpu_has_sve},
                                                     {"llamafile", ggml_cpu_has_llamafile}};
  for (const auto& [name, has] : known)
    if (has()) sets += (sets.empty() ? "" : "+") + std::string(name);
  return sets;
}

}  // namespace

std::string add_ggml(std::vector<Peer>& peers) {
  ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  ggml_cpu_init();
  const auto array = [&](const char* op, const char* name, auto* kernel, std::string note,
                         double most_nmse = 0) {
    peers.push_back(array_peer(op, name, kernel, std::move(note), most_nmse));
  };
  array("convert_f16_f32", "peer:ggml", f16_to_f32, "ggml_cpu_fp16_to_fp32");
  array("convert_f32_f16", "peer:ggml", f32_to_f16, "ggml_cpu_fp32_to_fp16");
  array("convert_bf16_f32", "peer:ggml", bf16_to_f32, "ggml_cpu_bf16_to_fp32");
  array("convert_f32_bf16", "peer:ggml", f32_to_bf16, "ggml_cpu_fp32_to_bf16, a loop of plain C");

  // Compiled for this CPU, plain C may be contracted: x * id + 8.5 is then rounded once, and a code
  // at a tie comes out as its neighbour (one block of q4_0 in 524,288). Such blocks are counted.
  constexpr double kOneCodeOf8Bits = 1e-5, kOneCodeOf4Bits = 1e-4;
  const std::string plain = ", plain C compiled for this CPU; codes at ties may differ by one";
  array("quantize_f32_q8_0", "peer:ggml", quantize<GGML_TYPE_Q8_0, BlockQ8_0>,
        "quantize_row_q8_0: its SIMD version rounds differently from its reference, which is the "
        "contract",
        kOneCodeOf8Bits);
  array("quantize_f32_q8_0", "peer:ggml-ref", quantize_ref<GGML_TYPE_Q8_0, BlockQ8_0>,
        "quantize_row_q8_0_ref" + plain, kOneCodeOf8Bits);
  array("quantize_f32_q4_0", "peer:ggml", quantize<GGML_TYPE_Q4_0, BlockQ4_0>,
        "quantize_row_q4_0, which is quantize_row_q4_0_ref" + plain, kOneCodeOf4Bits);
  array("dequantize_q8_0_f32", "peer:ggml", dequantize<GGML_TYPE_Q8_0, BlockQ8_0>,
        "dequantize_row_q8_0, plain C compiled for this CPU");
  array("dequantize_q4_0_f32", "peer:ggml", dequantize<GGML_TYPE_Q4_0, BlockQ4_0>,
        "dequantize_row_q4_0, plain C compiled for this CPU");

#define QB_GGML_ROWS(format, Block, ...)                                        \
  add_named_format<Block>(peers, #format, quantize::quantize_f32_##format.name, \
                          quantize::dequantize_##format##_f32.name);
  QB_TABLE_FORMATS(QB_GGML_ROWS, )
  QB_SUPER_FORMATS(QB_GGML_ROWS, )
#undef QB_GGML_ROWS

  constexpr double kInt8Activations = 1e-4, kHalfActivations = 1e-6;
  const char* const q8_K = "mul_mat, activations quantized by its SIMD q8_K, a scale for each 256";
  add_mul_mat(peers, "matmul_a32_f32", GGML_TYPE_F32, "mul_mat", 0);
  add_mul_mat(peers, "matmul_a32_f16", GGML_TYPE_F16, "mul_mat, activations rounded to f16",
              kHalfActivations);
  add_mul_mat(peers, "matmul_a8_q8_0", GGML_TYPE_Q8_0,
              "mul_mat, activations quantized by its SIMD q8_0", kInt8Activations);
  add_mul_mat(peers, "matmul_a8_q4_0", GGML_TYPE_Q4_0,
              "mul_mat, activations quantized by its SIMD q8_0", kInt8Activations);
  add_mul_mat(peers, "matmul_a8_mxfp4", GGML_TYPE_MXFP4,
              "mul_mat, activations quantized by its SIMD q8_0", kInt8Activations);
  add_mul_mat(peers, "matmul_a8_iq4_nl", GGML_TYPE_IQ4_NL,
              "mul_mat, activations quantized by its SIMD q8_0", kInt8Activations);
  add_mul_mat(peers, "matmul_a8_q4_1", GGML_TYPE_Q4_1,
              "mul_mat, activations quantized by its SIMD q8_1", kInt8Activations);
  add_mul_mat(peers, "matmul_a8_q5_0", GGML_TYPE_Q5_0,
              "mul_mat, activations quantized by its SIMD q8_0", kInt8Activations);
  add_mul_mat(peers, "matmul_a8_q4_K", GGML_TYPE_Q4_K, q8_K, kInt8Activations);
  add_mul_mat(peers, "matmul_a8_q5_K", GGML_TYPE_Q5_K, q8_K, kInt8Activations);
  add_mul_mat(peers, "matmul_a8_q6_K", GGML_TYPE_Q6_K, q8_K, kInt8Activations);
  add_mul_mat(peers, "matmul_a8_iq4_xs", GGML_TYPE_IQ4_XS, q8_K, kInt8Activations);
  if (const ggml_type nvfp4 = type_named("nvfp4"); nvfp4 != GGML_TYPE_COUNT)  // since 2026
    add_mul_mat(peers, "matmul_a8_nvfp4", nvfp4, "mul_mat, activations quantized by its SIMD q8_0",
                kInt8Activations);
  add_mul_mat(peers, "matmul_a8_tq2_0", GGML_TYPE_TQ2_0, q8_K, kInt8Activations);
  return std::string(ggml_version()) + ", built for " + built_for();
}

}  // namespace qb::bench::peers
