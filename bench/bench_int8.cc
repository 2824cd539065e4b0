// quantize/<from>.<format>/<variant>/n:<elements> and dequantize/<format>.<to>/...
//
// f32.s8, f16.s8 (the notebook's) and back: one scale for the tensor; a tensor's quantization reads
// it twice, so its limit is two passes. Those of whole tensors are one call, on one thread.
#include <algorithm>
#include <cstring>

#include "data.h"
#include "quantize/quantize.h"
#include "oracle/int8.h"
#include "peers/peers.h"
#include "suite.h"

namespace qb::bench {
namespace {

double shown(float v) { return v; }
double shown(std::int8_t v) { return v; }
double shown(f16 v) { return oracle::value(v); }
double shown(const BlockQ8_0& b) { return oracle::value(b.d); }

/// Counts elements whose bytes differ, and words the first.
template <class T>
void compare(const char* name, const Array<T>& got, const Array<T>& want, Error& error) {
  if (std::memcmp(got.data(), want.data(), want.size() * sizeof(T)) == 0) return;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (std::memcmp(&got[i], &want[i], sizeof(T)) == 0) continue;
    if (error.mismatches++ == 0)
      error.first = std::string(name) + "[" + std::to_string(i) + "] is " +
                    std::to_string(shown(got[i])) + ", expected " + std::to_string(shown(want[i]));
  }
}

/// Calls body(i), i < count, on all cores if there is enough to do: the oracle is slow.
template <class Body>
void for_all(std::size_t count, const Body& body) {
#pragma omp parallel for if (count > 4096)
  for (std::ptrdiff_t i = 0; i < std::ptrdiff_t(count); ++i) body(std::size_t(i));
}

// ---- s8

/// X: float, with S float or f16 scales; or f16, with S the f16 inverse scales.
template <class X, class S>
struct S8Problem {
  S8Problem(std::size_t n, std::size_t group, std::uint64_t seed)
      : len(group), x(n), q(n), scale(n / len), back(n) {
    fill_normal(x.span(), seed);
    if constexpr (sizeof(X) == sizeof(f16)) {
      fill_f16();
    } else {
      for_all(scale.size(), [&](std::size_t i) {
        const oracle::QuantizerF32 quantizer(x.span().subspan(i * len, len), 127);
        if constexpr (sizeof(S) == sizeof(f16))
          scale[i] = oracle::to_f16(quantizer.scale);
        else
          scale[i] = quantizer.scale;
        for_all(len, [&](std::size_t k) {
          const std::size_t j = i * len + k;
          q[j] = std::int8_t(quantizer.code(x[j]));
          back[j] = oracle::dequantized(q[j], scale[i]);
        });
      });
    }
  }

  std::size_t len;
  Array<X> x;
  Array<std::int8_t> q;
  Array<S> scale;
  Array<X> back;

 private:
  /// The oracle on every pattern, looked up: a tensor of 2^24 halves has 2^16 different ones.
  void fill_f16() {
    for (std::size_t i = 0; i < scale.size(); ++i) {
      const oracle::QuantizerF16 quantizer(x.span().subspan(i * len, len), 127);
      scale[i] = quantizer.inv;
      std::vector<std::int8_t> code(65536);
      for (unsigned bits = 0; bits < 65536; ++bits)
        if ((bits & 0x7c00u) != 0x7c00u) code[bits] = std::int8_t(quantizer.code(f16(bits)));
      std::vector<f16> value(256);
      for (int c = -128; c < 128; ++c)
        value[std::size_t(c + 128)] = oracle::dequantized_f16(c, quantizer.inv);
      for (std::size_t j = i * len; j < (i + 1) * len; ++j) {
        q[j] = code[std::uint16_t(x[j])];
        back[j] = value[std::size_t(q[j] + 128)];
      }
    }
  }
};

/// Groups are shared among threads; a whole tensor is one group and so one thread's.
template <class X, class S, class Fn>
class QuantizeS8 : public Instance {
 public:
  QuantizeS8(std::shared_ptr<S8Problem<X, S>> problem, ProblemCache& shared, Fn* kernel,
             int threads)
      : problem_(std::move(problem)),
        q_(shared.output<std::int8_t>(problem_->q.size())),
        scale_(problem_->scale.size()),
        kernel_(kernel),
        threads_(threads) {}

  void run() override {
    const std::size_t len = problem_->len;
    parallel_ranges(threads_, scale_.size(), 16, [&](auto begin, auto end) {
      kernel_(problem_->x.data() + begin * len, end - begin, len, q_->data() + begin * len,
              scale_.data() + begin);
    });
  }

  Error verify(Verify) override {
    Error error;
    compare("scale", scale_, problem_->scale, error);
    compare("q", *q_, problem_->q, error);
    return error;
  }

 private:
  std::shared_ptr<S8Problem<X, S>> problem_;
  std::shared_ptr<Array<std::int8_t>> q_;
  Array<S> scale_;
  Fn* kernel_;
  int threads_;
};

template <class X, class S, class Fn>
class DequantizeS8 : public Instance {
 public:
  DequantizeS8(std::shared_ptr<S8Problem<X, S>> problem, ProblemCache& shared, Fn* kernel,
               int threads)
      : problem_(std::move(problem)),
        y_(shared.output<X>(problem_->back.size())),
        kernel_(kernel),
        threads_(threads) {}

  void run() override {
    const std::size_t len = problem_->len;
    const auto call = [&](const S* scale, std::size_t groups, std::size_t each, std::size_t at) {
      kernel_(problem_->q.data() + at, groups, each, scale, y_->data() + at);
    };
    if (problem_->scale.size() == 1)  // one tensor: each thread takes a part of it
      parallel_ranges(threads_, len, 64, [&](auto begin, auto end) {
        call(problem_->scale.data(), 1, end - begin, begin);
      });
    else
      parallel_ranges(threads_, problem_->scale.size(), 16, [&](auto begin, auto end) {
        call(problem_->scale.data() + begin, end - begin, len, begin * len);
      });
  }

  Error verify(Verify) override {
    Error error;
    compare("y", *y_, problem_->back, error);
    return error;
  }

 private:
  std::shared_ptr<S8Problem<X, S>> problem_;
  std::shared_ptr<Array<X>> y_;
  Fn* kernel_;
  int threads_;
};

// ---- q8_0

struct Q8_0Problem {
  Q8_0Problem(std::size_t n, std::uint64_t seed) : x(n), blocks(n / kBlock), back(n) {
    fill_normal(x.span(), seed);
    for_all(blocks.size(), [&](std::size_t i) {
      blocks[i] = oracle::quantize_q8_0(x.span().subspan(i * kBlock, kBlock));
      for (std::size_t j = 0; j < kBlock; ++j)
        back[i * kBlock + j] = oracle::dequantized(blocks[i].qs[j], blocks[i].d);
    });
  }
  Array<float> x;
  Array<BlockQ8_0> blocks;
  Array<float> back;
};

/// Of the values that the blocks stand for: how far off blocks are that differ.
double decoded_nmse(const Array<BlockQ8_0>& got, const Array<float>& want) {
  double square_error = 0, square = 0;
  for (std::size_t j = 0; j < want.size(); ++j) {
    const BlockQ8_0& block = got[j / kBlock];
    const double off = double(oracle::dequantized(block.qs[j % kBlock], block.d)) - want[j];
    square_error += off * off;
    square += double(want[j]) * want[j];
  }
  return square > 0 ? square_error / square : square_error;
}

class QuantizeQ8_0 : public Instance {
 public:
  QuantizeQ8_0(std::shared_ptr<Q8_0Problem> problem, ProblemCache& shared,
               quantize::quantize_f32_q8_0_fn* kernel, int threads)
      : problem_(std::move(problem)),
        y_(shared.output<BlockQ8_0>(problem_->blocks.size())),
        kernel_(kernel),
        threads_(threads) {}

  void run() override {
    parallel_ranges(threads_, y_->size(), 32, [&](auto begin, auto end) {
      kernel_(problem_->x.data() + begin * kBlock, end - begin, y_->data() + begin);
    });
  }

  Error verify(Verify) override {
    Error error;
    compare("block", *y_, problem_->blocks, error);
    if (error.mismatches) error.nmse = decoded_nmse(*y_, problem_->back);
    return error;
  }

 private:
  std::shared_ptr<Q8_0Problem> problem_;
  std::shared_ptr<Array<BlockQ8_0>> y_;
  quantize::quantize_f32_q8_0_fn* kernel_;
  int threads_;
};

class DequantizeQ8_0 : public Instance {
 public:
  DequantizeQ8_0(std::shared_ptr<Q8_0Problem> problem, ProblemCache& shared,
                 quantize::dequantize_q8_0_f32_fn* kernel, int threads)
      : problem_(std::move(problem)),
        y_(shared.output<float>(problem_->back.size())),
        kernel_(kernel),
        threads_(threads) {}

  void run() override {
    parallel_ranges(threads_, problem_->blocks.size(), 16, [&](auto begin, auto end) {
      kernel_(problem_->blocks.data() + begin, end - begin, y_->data() + begin * kBlock);
    });
  }

  Error verify(Verify) override {
    Error error;
    compare("y", *y_, problem_->back, error);
    return error;
  }

 private:
  std::shared_ptr<Q8_0Problem> problem_;
  std::shared_ptr<Array<float>> y_;
  quantize::dequantize_q8_0_f32_fn* kernel_;
  int threads_;
};

// ---- cases

enum class Way { there, back };

/// Every size, thread count and variant of one format. `group` is 0 for a whole tensor.
template <class Problem, class Bound, class Fn>
void add(const Plan& plan, const Op<Fn>& op, Way way, const std::string& format, std::size_t group,
         double wide_bytes, double packed_bytes, double scale_bytes, Suite& suite) {
  for (const std::size_t n : plan.sizes) {
    if (group && n % group) continue;
    for (const int threads : plan.threads) {
      if (!group && way == Way::there && threads > 1) continue;
      for (const Variant* v : peers::with_peers(op.variants(), op.name)) {
        const std::size_t len = group ? group : n;
        const double wide = double(n) * wide_bytes;
        const double packed = double(n) * packed_bytes + double(n / len) * scale_bytes;
        Case c;
        c.op = way == Way::there ? "quantize" : "dequantize";
        c.format = format;
        c.variant = v;
        c.shape = "n:" + std::to_string(n);
        c.threads = threads;
        c.work.items = double(n);
        if (way == Way::back)
          c.work.passes = {{packed, wide}};
        else if (group)
          c.work.passes = {{wide, packed}};
        else
          c.work.passes = {{wide, 0}, {wide, packed}};
        c.work.working_set = std::size_t(wide + packed);
        const std::string key = "int8/" + format + "/" + c.shape;
        c.make = [=](const Setup& setup) -> std::unique_ptr<Instance> {
          auto problem = setup.problems.get<Problem>(key, [&] {
            if constexpr (std::is_same_v<Problem, Q8_0Problem>)
              return std::make_shared<Problem>(n, setup.seed);
            else
              return std::make_shared<Problem>(n, len, setup.seed);
          });
          return std::make_unique<Bound>(problem, setup.problems, op.kernel(*v), setup.threads);
        };
        suite.push_back(std::move(c));
      }
    }
  }
}

template <class X, class S, class Fn>
void add_quantize(const Plan& plan, const Op<Fn>& op, const std::string& format, std::size_t group,
                  Suite& suite) {
  add<S8Problem<X, S>, QuantizeS8<X, S, Fn>>(plan, op, Way::there, format, group, sizeof(X), 1,
                                             sizeof(S), suite);
}

template <class X, class S, class Fn>
void add_dequantize(const Plan& plan, const Op<Fn>& op, const std::string& format,
                    std::size_t group, Suite& suite) {
  add<S8Problem<X, S>, DequantizeS8<X, S, Fn>>(plan, op, Way::back, format, group, sizeof(X), 1,
                                               sizeof(S), suite);
}

}  // namespace

void add_int8(const Plan& plan, Suite& suite) {
  add_quantize<float, float>(plan, quantize::quantize_f32_s8, "f32.s8", 0, suite);
  add_quantize<float, f16>(plan, quantize::quantize_f32_s8g, "f32.s8.g32", 32, suite);
  add_quantize<float, f16>(plan, quantize::quantize_f32_s8g, "f32.s8.g128", 128, suite);
  add_quantize<f16, f16>(plan, quantize::quantize_f16_s8, "f16.s8", 0, suite);
  add<Q8_0Problem, QuantizeQ8_0>(plan, quantize::quantize_f32_q8_0, Way::there, "f32.q8_0", kBlock, 4,
                                 1, sizeof(f16), suite);
  add_dequantize<float, float>(plan, quantize::dequantize_s8_f32, "s8.f32", 0, suite);
  add_dequantize<float, f16>(plan, quantize::dequantize_s8g_f32, "s8.g32.f32", 32, suite);
  add_dequantize<f16, f16>(plan, quantize::dequantize_s8_f16, "s8.f16", 0, suite);
  add<Q8_0Problem, DequantizeQ8_0>(plan, quantize::dequantize_q8_0_f32, Way::back, "q8_0.f32", kBlock,
                                   4, 1, sizeof(f16), suite);
}

}  // namespace qb::bench
