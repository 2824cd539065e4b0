// SPDX-License-Identifier: Apache-2.0
// quantize/<type>.<format>/<variant>/n:<elements>, dequantize/<format>.<type>/..., pack/s4/...,
// unpack/s4/...
//
// <format>: s8 or s4 of a whole tensor, s8.g<len> or s4.g<len> with a scale for each group,
// u4f.g<len> or u4h.g<len> with a scale and a zero point for each, or a block format. A whole
// tensor's quantization reads it twice, so its limit is two passes, and it is one call on one
// thread.
#include <algorithm>
#include <vector>

#include "array_case.h"
#include "oracle/int4.h"
#include "oracle/int8.h"
#include "oracle/zero_points.h"
#include "quantize/quantize.h"

namespace qb::bench {
namespace {

/// How codes of that type lie, and the oracle of one group of them.
template <class Code>
struct Codes;
template <>
struct Codes<std::int8_t> {
  static constexpr int kMost = 127, kLeast = -128;
  static constexpr std::size_t kPerByte = 1;
  static int at(std::span<const std::int8_t> q, std::size_t j) { return q[j]; }
};
template <>
struct Codes<std::uint8_t> {
  static constexpr int kMost = 7, kLeast = -8;
  static constexpr std::size_t kPerByte = 2;
  static int at(std::span<const std::uint8_t> q, std::size_t j) {
    return oracle::unpacked_s4(q, j);
  }
};
template <class Code>
std::size_t bytes_of(std::size_t len) {
  return (len + Codes<Code>::kPerByte - 1) / Codes<Code>::kPerByte;
}

/// The oracle's code of each value of a group, looked up for f16: a tensor of 2^24 halves has 2^16
/// different ones.
class OracleCodes {
 public:
  OracleCodes(std::span<const float> group, int most) : of_f32_(std::in_place, group, most) {}
  OracleCodes(std::span<const f16> group, int most) : table_(65536) {
    const oracle::QuantizerF16 quantizer(group, most);
    inv_ = quantizer.inv;
    for_all(table_.size(), [&](std::size_t bits) {
      if ((bits & 0x7c00u) != 0x7c00u) table_[bits] = std::int8_t(quantizer.code(f16(bits)));
    });
  }
  int operator()(float x) const { return of_f32_->code(x); }
  int operator()(f16 x) const { return table_[static_cast<std::uint16_t>(x)]; }
  /// What is stored beside the codes.
  void store(float& scale) const { scale = of_f32_->scale; }
  void store(f16& scale) const { scale = of_f32_ ? oracle::to_f16(of_f32_->scale) : inv_; }

 private:
  std::optional<oracle::QuantizerF32> of_f32_;
  std::vector<std::int8_t> table_;
  f16 inv_{};
};

/// Normal values, their codes and scales.
template <class X, class Code, class S>
std::shared_ptr<ArrayProblem<X, Code, S>> quantized(std::size_t n, std::size_t len,
                                                    std::uint64_t seed) {
  constexpr std::size_t kPerByte = Codes<Code>::kPerByte;
  const std::size_t stride = bytes_of<Code>(len);
  auto p = std::make_shared<ArrayProblem<X, Code, S>>(n, n / len * stride, n / len);
  p->makes_scales = true;
  fill_normal(p->x.span(), seed);
  const std::span<const X> x = std::as_const(p->x).span();
  std::vector<OracleCodes> codes;
  for (std::size_t i = 0; i < n / len; ++i) {
    codes.emplace_back(x.subspan(i * len, len), Codes<Code>::kMost);
    codes.back().store(p->scale[i]);
  }
  for_all(p->y.size(), [&](std::size_t at) {
    const std::size_t group = at / stride, j = kPerByte * (at % stride);
    std::int8_t code[kPerByte] = {};
    for (std::size_t k = 0; k < kPerByte && j + k < len; ++k)
      code[k] = std::int8_t(codes[group](x[group * len + j + k]));
    p->y[at] = kPerByte == 1 ? Code(code[0]) : Code(oracle::pack_s4(code)[0]);
  });
  return p;
}

/// The same codes and scales, and the values they stand for.
template <class X, class Code, class S>
std::shared_ptr<ArrayProblem<Code, X, S>> dequantized(std::size_t n, std::size_t len,
                                                      std::uint64_t seed) {
  const auto from = quantized<X, Code, S>(n, len, seed);
  auto p = std::make_shared<ArrayProblem<Code, X, S>>(from->y.size(), n, n / len);
  std::memcpy(p->x.data(), from->y.data(), p->x.size());
  std::memcpy(p->scale.data(), from->scale.data(), p->scale.size() * sizeof(S));
  const std::size_t stride = bytes_of<Code>(len);
  std::vector<X> of_code(256);  // of f16, a whole tensor: the oracle's division is slow
  if constexpr (sizeof(X) == sizeof(f16))
    for (int code = Codes<Code>::kLeast; code <= Codes<Code>::kMost; ++code)
      of_code[std::size_t(code + 128)] = oracle::dequantized_f16(code, p->scale[0]);
  for_all(n, [&](std::size_t j) {
    const std::size_t group = j / len;
    const int code =
        Codes<Code>::at(std::as_const(p->x).span().subspan(group * stride, stride), j % len);
    if constexpr (sizeof(X) == sizeof(f16))
      p->y[j] = of_code[std::size_t(code + 128)];
    else
      p->y[j] = oracle::dequantized(code, p->scale[group]);
  });
  return p;
}

/// Of a whole tensor, whose absmax must be known before its first code.
template <class Code, class X, class S, class Fn>
void add_whole(const Plan& plan, const Op<Fn>& op, const std::string& format, Suite& suite) {
  const double codes = 1.0 / Codes<Code>::kPerByte;
  add_array(
      plan, op,
      {"quantize", format, 1, true,
       [=](double n) {
         return std::vector<Pass>{{sizeof(X) * n, 0}, {sizeof(X) * n, codes * n}};
       }},
      [](std::size_t n, std::uint64_t seed) { return quantized<X, Code, S>(n, n, seed); },
      [](Fn* kernel, const auto& p, std::size_t n, Code* q, S* scale, int) {
        kernel(p.x.data(), 1, n, q, scale);
      },
      suite);
}

/// Back from one scale: each thread takes a part, which starts on a byte and a cache line of y.
template <class Code, class X, class S, class Fn>
void add_whole_back(const Plan& plan, const Op<Fn>& op, const std::string& format, Suite& suite) {
  add_array(
      plan, op, {"dequantize", format, 1, false, one_pass(1.0 / Codes<Code>::kPerByte, sizeof(X))},
      [](std::size_t n, std::uint64_t seed) { return dequantized<X, Code, S>(n, n, seed); },
      [](Fn* kernel, const auto& p, std::size_t n, X* y, S*, int threads) {
        parallel_ranges(threads, n, 128, [&](std::size_t begin, std::size_t end) {
          kernel(p.x.data() + begin / Codes<Code>::kPerByte, 1, end - begin, p.scale.data(),
                 y + begin);
        });
      },
      suite);
}

template <class Code, class Fn>
void add_groups(const Plan& plan, const Op<Fn>& op, const std::string& name, std::size_t len,
                Suite& suite) {
  const double packed = 1.0 / Codes<Code>::kPerByte + double(sizeof(f16)) / double(len);
  add_array(
      plan, op,
      {"quantize", "f32." + name + ".g" + std::to_string(len), len, false, one_pass(4, packed)},
      [=](std::size_t n, std::uint64_t seed) { return quantized<float, Code, f16>(n, len, seed); },
      [=](Fn* kernel, const auto& p, std::size_t n, Code* q, f16* scale, int threads) {
        parallel_ranges(threads, n / len, 16, [&](std::size_t begin, std::size_t end) {
          kernel(p.x.data() + begin * len, end - begin, len, q + begin * bytes_of<Code>(len),
                 scale + begin);
        });
      },
      suite);
}

template <class Code, class Fn>
void add_groups_back(const Plan& plan, const Op<Fn>& op, const std::string& name, std::size_t len,
                     Suite& suite) {
  const double packed = 1.0 / Codes<Code>::kPerByte + double(sizeof(f16)) / double(len);
  add_array(
      plan, op,
      {"dequantize", name + ".g" + std::to_string(len) + ".f32", len, false, one_pass(packed, 4)},
      [=](std::size_t n, std::uint64_t seed) {
        return dequantized<float, Code, f16>(n, len, seed);
      },
      [=](Fn* kernel, const auto& p, std::size_t n, float* y, f16*, int threads) {
        parallel_ranges(threads, n / len, 16, [&](std::size_t begin, std::size_t end) {
          kernel(p.x.data() + begin * bytes_of<Code>(len), end - begin, len, p.scale.data() + begin,
                 y + begin * len);
        });
      },
      suite);
}

/// All the operations of s8 or s4.
template <class Code>
void add_codes(const Plan& plan, const std::string& name, const auto& whole, const auto& group,
               const auto& half, const auto& whole_back, const auto& group_back,
               const auto& half_back, Suite& suite) {
  using Lengths = std::vector<std::size_t>;
  add_whole<Code, float, float>(plan, whole, "f32." + name, suite);
  for (const std::size_t len : plan.every_group ? Lengths{32, 64, 128} : Lengths{32, 128})
    add_groups<Code>(plan, group, name, len, suite);
  add_whole<Code, f16, f16>(plan, half, "f16." + name, suite);
  add_whole_back<Code, float, float>(plan, whole_back, name + ".f32", suite);
  for (const std::size_t len : plan.every_group ? Lengths{32, 64, 128} : Lengths{32})
    add_groups_back<Code>(plan, group_back, name, len, suite);
  add_whole_back<Code, f16, f16>(plan, half_back, name + ".f16", suite);
}

// ---- groups with zero points

/// Bytes of an element's code and of its shares of a scale and a zero point.
template <class S>
double bytes_with_zero_points(std::size_t len) {
  return 0.5 + (double(sizeof(S)) + 0.5) / double(len);
}

/// Normal values, and the codes with the zero points behind them.
template <class S>
std::shared_ptr<ArrayProblem<float, std::uint8_t, S>> encoded_with_zero_points(std::size_t n,
                                                                               std::size_t len,
                                                                               std::uint64_t seed) {
  const std::size_t groups = n / len;
  auto p =
      std::make_shared<ArrayProblem<float, std::uint8_t, S>>(n, n / 2 + (groups + 1) / 2, groups);
  p->makes_scales = true;
  fill_normal(p->x.span(), seed);
  for_all((groups + 1) / 2, [&](std::size_t pair) {
    const std::size_t first = 2 * pair, count = std::min<std::size_t>(2, groups - first);
    const auto two = oracle::quantize_u4<S>(
        std::as_const(p->x).span().subspan(first * len, count * len), count, len, true);
    std::ranges::copy(two.q, p->y.data() + first * len / 2);
    std::ranges::copy(two.scale, p->scale.data() + first);
    p->y[n / 2 + pair] = two.zero[0];
  });
  return p;
}

template <class S>
std::shared_ptr<ArrayProblem<std::uint8_t, float, S>> decoded_with_zero_points(std::size_t n,
                                                                               std::size_t len,
                                                                               std::uint64_t seed) {
  const auto from = encoded_with_zero_points<S>(n, len, seed);
  auto p = std::make_shared<ArrayProblem<std::uint8_t, float, S>>(from->y.size(), n, n / len);
  std::memcpy(p->x.data(), from->y.data(), p->x.size());
  std::memcpy(p->scale.data(), from->scale.data(), p->scale.size() * sizeof(S));
  const std::span<const std::uint8_t> codes = std::as_const(p->x).span();
  for_all(n, [&](std::size_t j) {
    const int zero = oracle::U4<S>::nibble(codes.subspan(n / 2), j / len);
    p->y[j] = oracle::dequantized(oracle::U4<S>::nibble(codes, j) - zero, p->scale[j / len]);
  });
  return p;
}

template <class S>
void add_zero_points(const Plan& plan, const std::string& name, std::size_t len, const auto& there,
                     const auto& back, Suite& suite) {
  const std::string group = name + ".g" + std::to_string(len);
  add_array(
      plan, there,
      {"quantize", "f32." + group, len, false, one_pass(4, bytes_with_zero_points<S>(len))},
      [=](std::size_t n, std::uint64_t seed) { return encoded_with_zero_points<S>(n, len, seed); },
      [=](auto* kernel, const auto& p, std::size_t n, std::uint8_t* q, S* scale, int threads) {
        parallel_ranges(threads, n / len, 32, [&](std::size_t begin, std::size_t end) {
          kernel(p.x.data() + begin * len, end - begin, len, q + begin * len / 2, scale + begin,
                 q + n / 2 + begin / 2);
        });
      },
      suite);
  add_array(
      plan, back,
      {"dequantize", group + ".f32", len, false, one_pass(bytes_with_zero_points<S>(len), 4)},
      [=](std::size_t n, std::uint64_t seed) { return decoded_with_zero_points<S>(n, len, seed); },
      [=](auto* kernel, const auto& p, std::size_t n, float* y, S*, int threads) {
        parallel_ranges(threads, n / len, 32, [&](std::size_t begin, std::size_t end) {
          kernel(p.x.data() + begin * len / 2, end - begin, len, p.scale.data() + begin,
                 p.x.data() + n / 2 + begin / 2, y + begin * len);
        });
      },
      suite);
}

// ---- block formats

/// A problem repeats its values after so many: oracles that search a scale are slow. Repetition
/// does not make the kernel faster, since arithmetic bounds a search, not caches.
constexpr std::size_t kDifferent = std::size_t{1} << 18;

template <class Block>
std::shared_ptr<ArrayProblem<float, Block>> encoded(std::size_t n, std::uint64_t seed) {
  auto p = std::make_shared<ArrayProblem<float, Block>>(n, n / kWeightsOf<Block>);
  constexpr std::size_t kWeights = kWeightsOf<Block>;
  const std::size_t different = kWeights > kBlock ? std::min(n, kDifferent) : n;
  fill_normal(p->x.span().first(different), seed);
  for (std::size_t j = different; j < n; ++j) p->x[j] = p->x[j - different];
  for_all(different / kWeights, [&](std::size_t i) {
    oracle::encode(std::as_const(p->x).span().subspan(i * kWeights, kWeights), p->y[i]);
  });
  for (std::size_t i = different / kWeights; i < n / kWeights; ++i)
    p->y[i] = p->y[i - different / kWeights];
  return p;
}

template <class Block>
std::shared_ptr<ArrayProblem<Block, float>> decoded(std::size_t n, std::uint64_t seed) {
  const auto from = encoded<Block>(n, seed);
  auto p = std::make_shared<ArrayProblem<Block, float>>(n / kWeightsOf<Block>, n);
  std::memcpy(p->x.data(), from->y.data(), n / kWeightsOf<Block> * sizeof(Block));
  for_all(n, [&](std::size_t j) {
    p->y[j] = oracle::decoded(p->x[j / kWeightsOf<Block>], j % kWeightsOf<Block>);
  });
  return p;
}

/// The plan for encoders of 256-blocks, most of which search a scale. They run at the same rate in
/// caches and in memory, where a call takes seconds, so sizes above 2^20 are left out if others
/// remain.
Plan without_long_searches(Plan plan) {
  constexpr std::size_t kLongest = std::size_t{1} << 20;
  if (std::ranges::any_of(plan.sizes, [](std::size_t n) { return n <= kLongest; }))
    std::erase_if(plan.sizes, [](std::size_t n) { return n > kLongest; });
  return plan;
}

template <class Block>
void add_blocks(const Plan& plan, const std::string& name, const auto& there, const auto& back,
                Suite& suite) {
  const double packed = double(sizeof(Block)) / kWeightsOf<Block>;
  add_array(
      kWeightsOf<Block> > kBlock ? without_long_searches(plan) : plan, there,
      {"quantize", "f32." + name, kWeightsOf<Block>, false, one_pass(4, packed)},
      [](std::size_t n, std::uint64_t seed) { return encoded<Block>(n, seed); },
      [](auto* kernel, const auto& p, std::size_t n, Block* y, NoScale*, int threads) {
        parallel_ranges(threads, n / kWeightsOf<Block>, 32,
                        [&](std::size_t begin, std::size_t end) {
                          kernel(p.x.data() + begin * kWeightsOf<Block>, end - begin, y + begin);
                        });
      },
      suite);
  add_array(
      plan, back, {"dequantize", name + ".f32", kWeightsOf<Block>, false, one_pass(packed, 4)},
      [](std::size_t n, std::uint64_t seed) { return decoded<Block>(n, seed); },
      [](auto* kernel, const auto& p, std::size_t n, float* y, NoScale*, int threads) {
        parallel_ranges(threads, n / kWeightsOf<Block>, 16,
                        [&](std::size_t begin, std::size_t end) {
                          kernel(p.x.data() + begin, end - begin, y + begin * kWeightsOf<Block>);
                        });
      },
      suite);
}

// ---- layout

void fill_codes(std::span<std::int8_t> q, std::uint64_t seed) {
  Array<float> normal(q.size());
  fill_normal(normal.span(), seed);
  for_all(q.size(), [&](std::size_t j) { q[j] = std::int8_t((int(normal[j] * 5) & 15) - 8); });
}

void add_packing(const Plan& plan, Suite& suite) {
  add_array(
      plan, quantize::pack_s4, {"pack", "s4", 1, false, one_pass(1, 0.5)},
      [](std::size_t n, std::uint64_t seed) {
        auto p = std::make_shared<ArrayProblem<std::int8_t, std::uint8_t>>(n, (n + 1) / 2);
        fill_codes(p->x.span(), seed);
        const std::vector<std::uint8_t> packed = oracle::pack_s4(p->x.span());
        std::memcpy(p->y.data(), packed.data(), packed.size());
        return p;
      },
      [](auto* kernel, const auto& p, std::size_t n, std::uint8_t* y, NoScale*, int threads) {
        parallel_ranges(threads, n, 128, [&](std::size_t begin, std::size_t end) {
          kernel(p.x.data() + begin, end - begin, y + begin / 2);
        });
      },
      suite);
  add_array(
      plan, quantize::unpack_s4, {"unpack", "s4", 1, false, one_pass(0.5, 1)},
      [](std::size_t n, std::uint64_t seed) {
        auto p = std::make_shared<ArrayProblem<std::uint8_t, std::int8_t>>((n + 1) / 2, n);
        fill_codes(p->y.span(), seed);
        const std::vector<std::uint8_t> packed = oracle::pack_s4(p->y.span());
        std::memcpy(p->x.data(), packed.data(), packed.size());
        return p;
      },
      [](auto* kernel, const auto& p, std::size_t n, std::int8_t* y, NoScale*, int threads) {
        parallel_ranges(threads, n, 128, [&](std::size_t begin, std::size_t end) {
          kernel(p.x.data() + begin / 2, end - begin, y + begin);
        });
      },
      suite);
}

}  // namespace

void add_quantize(const Plan& plan, Suite& suite) {
  using namespace quantize;
  add_codes<std::int8_t>(plan, "s8", quantize_f32_s8, quantize_f32_s8g, quantize_f16_s8,
                         dequantize_s8_f32, dequantize_s8g_f32, dequantize_s8_f16, suite);
  add_codes<std::uint8_t>(plan, "s4", quantize_f32_s4, quantize_f32_s4g, quantize_f16_s4,
                          dequantize_s4_f32, dequantize_s4g_f32, dequantize_s4_f16, suite);
  for (const std::size_t len : {32, 64, 128}) {
    if (len != 32 && !plan.every_group) continue;
#define QB_ADD_ZERO_POINTS(format, Scale, ...)                                                 \
  add_zero_points<Scale>(plan, #format, len, quantize_f32_##format, dequantize_##format##_f32, \
                         suite);
    QB_ZERO_POINT_FORMATS(QB_ADD_ZERO_POINTS, )
#undef QB_ADD_ZERO_POINTS
  }
#define QB_ADD_BLOCKS(format, Block, ...) \
  add_blocks<Block>(plan, #format, quantize_f32_##format, dequantize_##format##_f32, suite);
  QB_BLOCK_FORMATS(QB_ADD_BLOCKS, )
#undef QB_ADD_BLOCKS
  add_packing(plan, suite);
}

}  // namespace qb::bench
