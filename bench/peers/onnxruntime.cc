// SPDX-License-Identifier: Apache-2.0
// ONNX Runtime's products, whose kernels are those of its library MLAS: Gemm of f32; MatMulNBits,
// weights of 4 or 8 bits scaled per block, with activations of f32 or quantized per block of
// weights; and DynamicQuantizeMatMul, 8 bits with a scale per channel.
//
// Each is a session with a model of one node, whose weights are constants: they are packed when the
// session is made. x and y are our memory.
#include "onnxruntime_api.h"

#include "all_cpus.h"
#include "codes.h"
#include "peers.h"

namespace qb::bench::peers {
namespace {

using ort::Element;
using ort::Owned;

using Shape = std::vector<std::int64_t>;

template <class... Sizes>
Shape dims(Sizes... sizes) {
  return {std::int64_t(sizes)...};
}

/// On memory that outlives it.
template <class T>
Owned<ort::Value> tensor(const T* data, const Shape& shape, Element type) {
  static const ort::MemoryInfo* const memory = [] {
    ort::MemoryInfo* made = nullptr;
    ort::CreateCpuMemoryInfo(ort::Allocator::device, ort::Memory::usual, &made);
    return made;
  }();
  std::size_t bytes = sizeof(T);
  for (const std::int64_t d : shape) bytes *= std::size_t(d);
  return ort::make<ort::Value>(ort::CreateTensorWithDataAsOrtValue, memory, const_cast<T*>(data),
                               bytes, shape.data(), shape.size(), type);
}

Owned<ort::ValueInfo> floats(const char* name, const Shape& shape) {
  const auto tensor = ort::make<ort::TensorTypeAndShapeInfo>(ort::CreateTensorTypeAndShapeInfo);
  ort::SetTensorElementType(tensor.get(), Element::f32);
  ort::SetDimensions(tensor.get(), shape.data(), shape.size());
  const auto type = ort::make<ort::TypeInfo>(ort::CreateTensorTypeInfo, tensor.get());
  return ort::make<ort::ValueInfo>(ort::CreateValueInfo, name, type.get());
}

const ort::Env* environment() {
  static const ort::Env* const only = [] {
    ort::Env* made = nullptr;
    ort::CreateEnv(ort::Log::errors, "quantbench", &made);
    return made;
  }();
  return only;
}

class Node : public Product {
 public:
  void run() override {
    const ort::Value* const x = x_.get();
    ort::Value* y = y_.get();
    ort::Run(session_.get(), nullptr, &kX, &x, 1, &kY, 1, &y);
  }

 protected:
  explicit Node(const Operands& o)
      : threads_(o.threads),
        x_shape_(dims(o.m, o.weights.w.k)),
        y_shape_(dims(o.m, o.weights.w.n)),
        x_(tensor(o.x, x_shape_, Element::f32)),
        y_(tensor(o.y, y_shape_, Element::f32)) {}

  using Attributes = std::vector<std::pair<const char*, std::int64_t>>;

  /// The operator's further inputs.
  void add_constant(const char* name, Owned<ort::Value> value) {
    inputs_.push_back(name);
    ort::AddInitializerToGraph(graph_.get(), name, value.release(), /*data_is_external=*/false);
  }

  /// To be called while the constants' memory is there.
  void bind(const char* domain, const char* op, const Attributes& attributes) {
    ort::ValueInfo* x = floats(kX, x_shape_).release();
    ort::SetGraphInputs(graph_.get(), &x, 1);
    ort::ValueInfo* y = floats(kY, y_shape_).release();
    ort::SetGraphOutputs(graph_.get(), &y, 1);
    std::vector<ort::OpAttr*> made;
    for (const auto& [name, value] : attributes) {
      made.push_back(nullptr);
      ort::CreateOpAttr(name, &value, 1, ort::Attribute::integer, &made.back());
    }
    ort::Node* node = nullptr;
    ort::CreateNode(op, domain, op, inputs_.data(), inputs_.size(), &kY, 1, made.data(),
                    made.size(), &node);
    ort::AddNodeToGraph(graph_.get(), node);
    const char* const domains[] = {"", "com.microsoft"};
    const int versions[] = {13, 1};
    const auto model =
        ort::make<ort::Model>(ort::CreateModel, domains, versions, std::size(domains));
    ort::AddGraphToModel(model.get(), graph_.release());

    const auto options = ort::make<ort::SessionOptions>(ort::CreateSessionOptions);
    ort::SetIntraOpNumThreads(options.get(), threads_);
    // Its threads poll between calls, but not as long as is the default: they would take the CPUs
    // from the rows that run in turn with them.
    ort::AddSessionConfigEntry(options.get(), "session.intra_op.spin_duration_us", "20");
    const AllCpus all;
    session_ = ort::make<ort::Session>(ort::CreateSessionFromModel, environment(), model.get(),
                                       options.get());
  }

 private:
  static constexpr const char *kX = "x", *kY = "y";

  int threads_;
  Shape x_shape_, y_shape_;
  Owned<ort::Value> x_, y_;
  std::vector<const char*> inputs_ = {kX};
  Owned<ort::Graph> graph_ = ort::make<ort::Graph>(ort::CreateGraph);
  Owned<ort::Session> session_;
};

class F32 : public Node {
 public:
  explicit F32(const Operands& o) : Node(o) {
    const matmul::Weights& w = o.weights.w;
    add_constant("w", tensor(static_cast<const float*>(w.values), dims(w.n, w.k), Element::f32));
    bind("", "Gemm", {{"transB", 1}});
  }
};

/// Weights as MatMulNBits takes them: codes in the order of k, raised to be positive, two to a byte
/// if they have 4 bits, low nibble first; a scale for each block; zero points where the format has
/// them, two a byte.
struct Blocks {
  std::size_t size;
  std::vector<std::uint8_t> codes;
  std::vector<float> scales;
  std::vector<std::uint8_t> zeros{};
};

constexpr std::size_t kLargestBlock = 256;

Blocks blocks_of_rows(const matmul::WeightView& view, int bits) {
  const matmul::Weights& w = view.w;
  const bool groups = view.format == matmul::Format::s8g || view.format == matmul::Format::s4g;
  const auto* codes = static_cast<const std::uint8_t*>(w.values);
  Blocks b{
      groups ? w.group : kLargestBlock, {codes, codes + w.n * w.k * std::size_t(bits) / 8}, {}};
  for (std::uint8_t& code : b.codes) code ^= bits == 4 ? 0x88 : 0x80;
  for (std::size_t i = 0; i < w.n * w.k / b.size; ++i)
    b.scales.push_back(groups ? f16_to_f32(static_cast<const f16*>(w.scales)[i])
                              : static_cast<const float*>(w.scales)[i * b.size / w.k]);
  return b;
}

/// u4h lies as MatMulNBits takes it, but for the type of its scales.
Blocks blocks_with_zeros(const matmul::Weights& w) {
  const auto* const codes = static_cast<const std::uint8_t*>(w.values);
  const std::size_t groups = w.k / w.scale_group;
  Blocks b{w.scale_group, {codes, codes + w.n * w.k / 2}, {}};
  for (std::size_t i = 0; i < w.n * groups; ++i)
    b.scales.push_back(f16_to_f32(static_cast<const f16*>(w.scales)[i]));
  if (w.zeros) b.zeros = {w.zeros, w.zeros + w.n * ((groups + 1) / 2)};
  return b;
}

Blocks blocks_of(const matmul::WeightView& view, int bits) {
  if (view.format == matmul::Format::u4h) return blocks_with_zeros(view.w);
  if (view.format != matmul::Format::q8_0 && view.format != matmul::Format::q4_0)
    return blocks_of_rows(view, bits);
  Blocks b{kBlock, {}, {}};
  const std::size_t count = view.w.n * view.w.k / kBlock;
  for (std::size_t i = 0; i < count; ++i)
    if (bits == 4) {
      const BlockQ4_0& block = static_cast<const BlockQ4_0*>(view.w.values)[i];
      const auto code = [&](std::size_t j) { return block.qs[j % 16] >> j / 16 * 4 & 15; };
      for (std::size_t j = 0; j < kBlock; j += 2)
        b.codes.push_back(std::uint8_t(code(j) | code(j + 1) << 4));
      b.scales.push_back(f16_to_f32(block.d));
    } else {
      const BlockQ8_0& block = static_cast<const BlockQ8_0*>(view.w.values)[i];
      for (const std::int8_t q : block.qs) b.codes.push_back(std::uint8_t(q + 128));
      b.scales.push_back(f16_to_f32(block.d));
    }
  return b;
}

enum Accuracy { f32_activations = 1, int8_activations = 4 };

class NBits : public Node {
 public:
  NBits(const Operands& o, int bits, Accuracy accuracy) : Node(o) {
    const matmul::Weights& w = o.weights.w;
    const Blocks b = blocks_of(o.weights, bits);
    const std::size_t per_row = w.k / b.size;
    add_constant("w", tensor(b.codes.data(), dims(w.n, per_row, b.size * std::size_t(bits) / 8),
                             Element::u8));
    add_constant("scales", tensor(b.scales.data(), dims(w.n, per_row), Element::f32));
    if (!b.zeros.empty())
      add_constant("zeros", tensor(b.zeros.data(), dims(w.n, (per_row + 1) / 2), Element::u8));
    bind("com.microsoft", "MatMulNBits",
         {{"K", std::int64_t(w.k)},
          {"N", std::int64_t(w.n)},
          {"bits", bits},
          {"block_size", std::int64_t(b.size)},
          {"accuracy_level", accuracy}});
  }
};

class S8 : public Node {
 public:
  explicit S8(const Operands& o) : Node(o) {
    const matmul::Weights& w = o.weights.w;
    const auto* codes = static_cast<const std::int8_t*>(w.values);
    const auto* scale = static_cast<const float*>(w.scales);
    std::vector<float> scales(scale, scale + w.n);
    std::vector<std::int8_t> turned(w.n * w.k);
    const int cut = saturates() ? 2 : 1;
    for (float& s : scales) s *= float(cut);
    for (std::size_t i = 0; i < w.n; ++i)
      for (std::size_t j = 0; j < w.k; ++j)
        turned[j * w.n + i] = std::int8_t(codes[i * w.k + j] / cut);
    add_constant("w", tensor(turned.data(), dims(w.k, w.n), Element::s8));
    add_constant("scales", tensor(scales.data(), dims(w.n), Element::f32));
    bind("com.microsoft", "DynamicQuantizeMatMul", {});
  }
};

template <class Bind>
Peer& add(std::vector<Peer>& peers, const char* op, std::string note, Bind bind,
          double most_nmse = 0) {
  static const char any_address = 0;
  note += "; a session's run costs 1 to 2 us a call";
  Peer peer{{op, "peer:onnxruntime", Arch::any, {}, &any_address}, std::move(note), most_nmse};
  peer.bind = bind;
  return peers.emplace_back(std::move(peer));
}

}  // namespace

std::string add_onnxruntime(std::vector<Peer>& peers) {
  add(peers, "matmul_a32_f32", "Gemm, weights packed beforehand",
      [](const Operands& o) { return std::make_unique<F32>(o); });

  // Of 8 bits with f32 activations its code dequantizes the weights one by one in every call.
  constexpr double kInt8Activations = 1e-4;
  for (const auto& [op, bits, accuracy] : {std::tuple{"matmul_a32_s4", 4, f32_activations},
                                           {"matmul_a32_s4g", 4, f32_activations},
                                           {"matmul_a32_u4h", 4, f32_activations},
                                           {"matmul_a32_q4_0", 4, f32_activations},
                                           {"matmul_a8_s4", 4, int8_activations},
                                           {"matmul_a8_s4g", 4, int8_activations},
                                           {"matmul_a8_u4h", 4, int8_activations},
                                           {"matmul_a8_q4_0", 4, int8_activations},
                                           {"matmul_a8_s8g", 8, int8_activations},
                                           {"matmul_a8_q8_0", 8, int8_activations}}) {
    std::string note = "MatMulNBits, weights packed beforehand";
    const bool per_channel = std::string_view(op).substr(std::string_view(op).size() - 3) == "_s4";
    if (per_channel) note += ", the scale of a channel for each 256 of k";
    if (accuracy == int8_activations) note += "; activations quantized per block of weights";
    Peer& peer = add(
        peers, op, note,
        [bits = bits, accuracy = accuracy](const Operands& o) {
          return std::make_unique<NBits>(o, bits, accuracy);
        },
        accuracy == int8_activations ? kInt8Activations : 0);
    if (per_channel)
      peer.takes = [](std::size_t, std::size_t, std::size_t k) { return k % kLargestBlock == 0; };
  }

  constexpr double kScaleOfAll = 3e-4;
  const std::string s8 =
      "DynamicQuantizeMatMul, weights packed beforehand; one scale and zero for all activations";
  add(
      peers, "matmul_a8_s8",
      saturates() ? s8 + "; weights cut to 7 bits, since without VNNI its sums saturate" : s8,
      [](const Operands& o) { return std::make_unique<S8>(o); },
      saturates() ? kSevenBits : kScaleOfAll);
  return ort::OrtGetApiBase()->GetVersionString();
}

}  // namespace qb::bench::peers
