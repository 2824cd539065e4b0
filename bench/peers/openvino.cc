// SPDX-License-Identifier: Apache-2.0
// OpenVINO's CPU plugin: one MatMul whose weights are a compressed constant (4 or 8 bits, a scale
// per output or per group of K) or f32, compiled once; each call is one synchronous request. With
// DYNAMIC_QUANTIZATION_GROUP_SIZE it quantizes the activations to int8 in every call (a8); without,
// and with f32 as the precision of inference, it multiplies f32 by dequantized weights (a32).
//
// A module of its own, opened by modules.cc: it brings a oneDNN and a TBB that must not
// take the place of those that other peers call. x and y are our memory.
#include <openvino/op/constant.hpp>
#include <openvino/op/convert.hpp>
#include <openvino/op/matmul.hpp>
#include <openvino/op/multiply.hpp>
#include <openvino/op/parameter.hpp>
#include <openvino/op/reshape.hpp>
#include <openvino/runtime/core.hpp>
#include <openvino/runtime/properties.hpp>

#include "all_cpus.h"
#include "core/scalar_half.h"
#include "peers.h"

namespace qb::bench::peers {
namespace {

using matmul::Format;
using Node = std::shared_ptr<ov::Node>;

ov::Core& core() {
  static ov::Core& only = *new ov::Core;  // never destroyed: libraries are unloaded in any order
  return only;
}

/// Signed codes in the order of k (4 bits: two to a byte, low nibble first), and a scale for each
/// group, as OpenVINO's constants hold them.
struct Codes {
  ov::element::Type type;
  std::size_t group;  ///< k: one scale per output
  std::vector<std::uint8_t> bytes;
  std::vector<float> scales;
};

Codes codes_of_blocks(const matmul::WeightView& view) {
  const std::size_t count = view.w.n * view.w.k / kBlock;
  const bool four_bits = view.format == Format::q4_0;
  Codes c{four_bits ? ov::element::i4 : ov::element::i8, kBlock, {}, {}};
  for (std::size_t i = 0; i < count; ++i)
    if (four_bits) {
      const BlockQ4_0& block = static_cast<const BlockQ4_0*>(view.w.values)[i];
      const auto code = [&](std::size_t j) { return (block.qs[j % 16] >> j / 16 * 4 & 15) ^ 8; };
      for (std::size_t j = 0; j < kBlock; j += 2)
        c.bytes.push_back(std::uint8_t(code(j) | code(j + 1) << 4));
      c.scales.push_back(f16_to_f32(block.d));
    } else {
      const BlockQ8_0& block = static_cast<const BlockQ8_0*>(view.w.values)[i];
      c.bytes.insert(c.bytes.end(), block.qs, block.qs + kBlock);
      c.scales.push_back(f16_to_f32(block.d));
    }
  return c;
}

Codes codes_of(const matmul::WeightView& view) {
  const matmul::Weights& w = view.w;
  if (view.format == Format::q8_0 || view.format == Format::q4_0) return codes_of_blocks(view);
  const bool four_bits = view.format == Format::s4 || view.format == Format::s4g;
  const bool groups = view.format == Format::s8g || view.format == Format::s4g;
  const auto* bytes = static_cast<const std::uint8_t*>(w.values);
  Codes c{four_bits ? ov::element::i4 : ov::element::i8,
          groups ? w.group : w.k,
          {bytes, bytes + w.n * w.k / (four_bits ? 2 : 1)},
          std::vector<float>(w.n * (groups ? w.k / w.group : 1))};
  for (std::size_t i = 0; i < c.scales.size(); ++i)
    c.scales[i] = groups ? f16_to_f32(static_cast<const f16*>(w.scales)[i])
                         : static_cast<const float*>(w.scales)[i];
  return c;
}

/// The weights [n,k] as a part of a model: a constant, dequantized where it is compressed.
Node weights_node(const matmul::WeightView& view) {
  using ov::op::v0::Constant;
  const std::size_t n = view.w.n, k = view.w.k;
  if (view.format == Format::f32)
    return std::make_shared<Constant>(ov::element::f32, ov::Shape{n, k}, view.w.values);
  const Codes c = codes_of(view);
  const std::size_t groups = k / c.group;
  const bool grouped = groups > 1;
  const auto codes = std::make_shared<Constant>(
      c.type, grouped ? ov::Shape{n, groups, c.group} : ov::Shape{n, k}, c.bytes.data());
  const auto scales = std::make_shared<Constant>(
      ov::element::f32, grouped ? ov::Shape{n, groups, 1} : ov::Shape{n, 1}, c.scales.data());
  const Node dequantized = std::make_shared<ov::op::v1::Multiply>(
      std::make_shared<ov::op::v0::Convert>(codes, ov::element::f32), scales);
  if (!grouped) return dequantized;
  const auto shape = Constant::create(ov::element::i64, ov::Shape{2},
                                      std::vector<std::int64_t>{std::int64_t(n), std::int64_t(k)});
  return std::make_shared<ov::op::v1::Reshape>(dequantized, shape, false);
}

class MatMul : public Product {
 public:
  /// quantized_by: activations that share a scale; 0: they stay f32.
  MatMul(const Operands& o, std::size_t quantized_by) {
    const ov::Shape x_shape{o.m, o.weights.w.k}, y_shape{o.m, o.weights.w.n};
    const auto x = std::make_shared<ov::op::v0::Parameter>(ov::element::f32, x_shape);
    const auto y = std::make_shared<ov::op::v0::MatMul>(x, weights_node(o.weights), false, true);
    const auto model = std::make_shared<ov::Model>(ov::OutputVector{y}, ov::ParameterVector{x});
    const AllCpus all;
    request_ = core()
                   .compile_model(model, "CPU", ov::inference_num_threads(o.threads),
                                  ov::num_streams(1), ov::hint::num_requests(1),
                                  ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                                  ov::hint::inference_precision(ov::element::f32),
                                  ov::hint::dynamic_quantization_group_size(quantized_by),
                                  ov::hint::enable_cpu_pinning(false))
                   .create_infer_request();
    request_.set_input_tensor(ov::Tensor(ov::element::f32, x_shape, const_cast<float*>(o.x)));
    request_.set_output_tensor(ov::Tensor(ov::element::f32, y_shape, o.y));
  }

  void run() override { request_.infer(); }

 private:
  ov::InferRequest request_;
};

/// Where one scale serves a whole row of weights, its activations share one by 128: of 32, 128 and
/// the whole row the fastest on an Intel CPU with VNNI, by a third and more.
constexpr std::size_t kGroupOfRows = 128;

std::size_t quantized_by(const matmul::WeightView& view) {
  if (view.format == Format::q8_0 || view.format == Format::q4_0) return kBlock;
  const bool groups = view.format == Format::s8g || view.format == Format::s4g;
  return groups ? view.w.group : kGroupOfRows;
}

void add(std::vector<Peer>& peers, const char* op, bool quantizes, std::string note,
         double most_nmse) {
  static const char any_address = 0;
  Peer peer{{op, "peer:openvino", Arch::any, {}, &any_address},
            std::move(note) + "; a request costs 2 to 4 us a call",
            most_nmse};
  peer.bind = [quantizes](const Operands& o) {
    return std::make_unique<MatMul>(o, quantizes ? quantized_by(o.weights) : 0);
  };
  if (std::string_view(op).find("s4") != std::string_view::npos)  // rows of whole bytes
    peer.takes = [](std::size_t, std::size_t, std::size_t k) { return k % 2 == 0; };
  peers.push_back(std::move(peer));
}

std::string add_all(std::vector<Peer>& peers) {
  constexpr double kInt8Activations = 1e-4;
  const std::string weights = "MatMul of compressed weights, packed beforehand";
  add(peers, "matmul_a32_f32", false, "MatMul, weights packed beforehand", 0);
  for (const char* op : {"matmul_a32_s8", "matmul_a32_s8g", "matmul_a32_s4", "matmul_a32_s4g",
                         "matmul_a32_q8_0", "matmul_a32_q4_0"})
    add(peers, op, false, weights, 0);
  const std::string quantized = weights + "; activations quantized ";
  for (const char* op : {"matmul_a8_s8", "matmul_a8_s4"})
    add(peers, op, true, quantized + "per 128 of k", kInt8Activations);
  for (const char* op : {"matmul_a8_s8g", "matmul_a8_s4g", "matmul_a8_q8_0", "matmul_a8_q4_0"})
    add(peers, op, true, quantized + "per group of the weights", kInt8Activations);
  return std::to_string(OPENVINO_VERSION_MAJOR) + "." + std::to_string(OPENVINO_VERSION_MINOR) +
         "." + std::to_string(OPENVINO_VERSION_PATCH);
}

}  // namespace
}  // namespace qb::bench::peers

extern "C" QB_EXPORT void qb_add_openvino(std::vector<qb::bench::peers::Peer>& peers,
                                          std::string& version) {
  version = qb::bench::peers::add_all(peers);
}
