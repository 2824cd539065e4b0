// quantize/<type>.<format>/<variant>/n:<elements>, dequantize/<format>.<type>/..., pack/s4/...,
// unpack/s4/...
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "data.h"
#include "quantize/quantize.h"
#include "oracle/int4.h"
#include "peers/peers.h"
#include "suite.h"

namespace qb::bench {
namespace {

/// Inputs, and what must come out: y, and beside it a scale for each group (of type S; none for
/// block formats and layouts). Scales go in, not out, on the way back.
template <class In, class Out, class S>
struct Problem {
  Problem(std::size_t inputs, std::size_t outputs, std::size_t groups)
      : x(inputs), y(outputs), scale(groups) {}
  Array<In> x;
  Array<Out> y;
  std::vector<S> scale;
};

using Nothing = std::uint8_t;  // the S of a problem without scales

/// Calls body(i) for all i < n on all cores: the oracle is slow, and the arrays are large.
template <class Body>
void for_all(std::size_t n, const Body& body) {
  const auto count = std::ptrdiff_t(n);
#pragma omp parallel for
  for (std::ptrdiff_t i = 0; i < count; ++i) body(std::size_t(i));
}

// ---- problems

template <class S>
std::shared_ptr<Problem<float, std::uint8_t, S>> quantize_f32(std::size_t n, std::size_t len,
                                                              std::uint64_t seed) {
  auto p = std::make_shared<Problem<float, std::uint8_t, S>>(n, n / len * ((len + 1) / 2), n / len);
  fill_normal(p->x.span(), seed);
  const std::span<const float> x = p->x.span();
  std::vector<oracle::QuantizerF32> quantizers;
  for (std::size_t i = 0; i < n / len; ++i) {
    quantizers.emplace_back(x.subspan(i * len, len), 7);
    if constexpr (sizeof(S) == sizeof(f16))
      p->scale[i] = oracle::to_f16(quantizers[i].scale);
    else
      p->scale[i] = quantizers[i].scale;
  }
  const std::size_t stride = (len + 1) / 2;
  for_all(p->y.size(), [&](std::size_t at) {
    const std::size_t group = at / stride, j = 2 * (at % stride);
    const auto code = [&](std::size_t k) {
      return std::int8_t(k < len ? quantizers[group].code(x[group * len + k]) : 0);
    };
    p->y[at] = oracle::pack_s4(std::array{code(j), code(j + 1)})[0];
  });
  return p;
}

std::shared_ptr<Problem<f16, std::uint8_t, f16>> quantize_f16(std::size_t n, std::uint64_t seed) {
  auto p = std::make_shared<Problem<f16, std::uint8_t, f16>>(n, (n + 1) / 2, 1);
  fill_normal(p->x.span(), seed);
  const std::span<const f16> x = p->x.span();
  const oracle::QuantizerF16 quantizer(x, 7);
  p->scale[0] = quantizer.inv;
  std::vector<std::int8_t> code_of(65536);  // of every finite pattern
  for_all(code_of.size(), [&](std::size_t bits) {
    if ((bits & 0x7c00) != 0x7c00) code_of[bits] = std::int8_t(quantizer.code(f16(bits)));
  });
  for_all(p->y.size(), [&](std::size_t at) {
    const auto code = [&](std::size_t k) {
      return k < n ? code_of[static_cast<std::uint16_t>(x[k])] : std::int8_t{0};
    };
    p->y[at] = oracle::pack_s4(std::array{code(2 * at), code(2 * at + 1)})[0];
  });
  return p;
}

std::shared_ptr<Problem<float, BlockQ4_0, Nothing>> quantize_q4_0(std::size_t n,
                                                                  std::uint64_t seed) {
  auto p = std::make_shared<Problem<float, BlockQ4_0, Nothing>>(n, n / kBlock, 0);
  fill_normal(p->x.span(), seed);
  for_all(n / kBlock, [&](std::size_t i) {
    p->y[i] = oracle::quantize_q4_0(p->x.span().subspan(i * kBlock, kBlock));
  });
  return p;
}

/// Random codes and scales near 1/8; Y is f32 or, for the notebook's, f16.
template <class S, class Y>
std::shared_ptr<Problem<std::uint8_t, Y, S>> dequantize(std::size_t n, std::size_t len,
                                                        std::uint64_t seed) {
  const std::size_t stride = (len + 1) / 2;
  auto p = std::make_shared<Problem<std::uint8_t, Y, S>>(n / len * stride, n, n / len);
  Array<float> normal(p->x.size());
  fill_normal(normal.span(), seed);
  for (std::size_t i = 0; i < p->x.size(); ++i) p->x[i] = std::uint8_t(int(normal[i] * 64) & 0xff);
  for (std::size_t i = 0; i < n / len; ++i) {
    const float scale = 0.125f + 0.001f * float(i % 61);
    if constexpr (sizeof(S) == sizeof(f16))
      p->scale[i] = oracle::to_f16(sizeof(Y) == sizeof(f16) ? 1 / scale : scale);
    else
      p->scale[i] = scale;
  }
  for_all(n / len, [&](std::size_t i) {
    Y back[16];
    for (int code = -8; code < 8; ++code)
      if constexpr (sizeof(Y) == sizeof(f16))
        back[code + 8] = oracle::dequantized_f16(code, p->scale[i]);
      else
        back[code + 8] = oracle::dequantized(code, p->scale[i]);
    const auto codes = std::as_const(*p).x.span().subspan(i * stride, stride);
    for (std::size_t j = 0; j < len; ++j)
      p->y[i * len + j] = back[oracle::unpacked_s4(codes, j) + 8];
  });
  return p;
}

std::shared_ptr<Problem<BlockQ4_0, float, Nothing>> dequantize_q4_0(std::size_t n,
                                                                    std::uint64_t seed) {
  const auto blocks = quantize_q4_0(n, seed);
  auto p = std::make_shared<Problem<BlockQ4_0, float, Nothing>>(n / kBlock, n, 0);
  for_all(n / kBlock, [&](std::size_t i) {
    p->x[i] = blocks->y[i];
    for (std::size_t j = 0; j < kBlock; ++j) p->y[i * kBlock + j] = oracle::dequantized(p->x[i], j);
  });
  return p;
}

void fill_codes(std::span<std::int8_t> q, std::uint64_t seed) {
  Array<float> normal(q.size());
  fill_normal(normal.span(), seed);
  for_all(q.size(), [&](std::size_t j) { q[j] = std::int8_t((int(normal[j] * 5) & 15) - 8); });
}

std::shared_ptr<Problem<std::int8_t, std::uint8_t, Nothing>> pack(std::size_t n,
                                                                  std::uint64_t seed) {
  auto p = std::make_shared<Problem<std::int8_t, std::uint8_t, Nothing>>(n, (n + 1) / 2, 0);
  fill_codes(p->x.span(), seed);
  const std::vector<std::uint8_t> packed = oracle::pack_s4(p->x.span());
  std::memcpy(p->y.data(), packed.data(), packed.size());
  return p;
}

std::shared_ptr<Problem<std::uint8_t, std::int8_t, Nothing>> unpack(std::size_t n,
                                                                    std::uint64_t seed) {
  auto p = std::make_shared<Problem<std::uint8_t, std::int8_t, Nothing>>((n + 1) / 2, n, 0);
  fill_codes(p->y.span(), seed);
  const std::vector<std::uint8_t> packed = oracle::pack_s4(p->y.span());
  std::memcpy(p->x.data(), packed.data(), packed.size());
  return p;
}

// ---- instances

template <class T>
std::string shown(T v) {
  return std::to_string(double(v));
}
[[maybe_unused]] std::string shown(f16 v) { return std::to_string(oracle::value(v)); }
[[maybe_unused]] std::string shown(const BlockQ4_0& v) {
  return "a block of d = " + shown(v.d) + " and other codes or another d";
}

template <class T>
void compare(const T* got, const T* want, std::size_t n, const std::string& name, Error& error) {
  if (n == 0 || std::memcmp(got, want, n * sizeof(T)) == 0) return;
  for (std::size_t i = 0; i < n; ++i) {
    if (std::memcmp(got + i, want + i, sizeof(T)) == 0) continue;
    if (error.mismatches++ == 0)
      error.first =
          name + "[" + std::to_string(i) + "] is " + shown(got[i]) + ", expected " + shown(want[i]);
  }
}

/// How a case is cut for threads: so many units, dealt out in multiples of `granule`.
struct Cut {
  std::size_t units, granule;
};

/// Call: void(Fn*, const Problem&, begin, end, Out* y, S* scale), on a range of units.
template <class In, class Out, class S, class Fn, class Call>
class Int4Instance : public Instance {
 public:
  using P = Problem<In, Out, S>;
  Int4Instance(std::shared_ptr<P> problem, std::shared_ptr<Array<Out>> y, Fn* kernel, Cut cut,
               int threads, Call call)
      : problem_(std::move(problem)),
        y_(std::move(y)),
        kernel_(kernel),
        cut_(cut),
        threads_(threads),
        call_(call),
        scale_(problem_->scale) {}

  void run() override {
    parallel_ranges(threads_, cut_.units, cut_.granule, [&](auto begin, auto end) {
      call_(kernel_, std::as_const(*problem_), begin, end, y_->data(), scale_.data());
    });
  }

  Error verify(Verify) override {
    Error error;
    compare(y_->data(), problem_->y.data(), y_->size(), "y", error);
    compare(scale_.data(), problem_->scale.data(), scale_.size(), "scale", error);
    return error;
  }

 private:
  std::shared_ptr<P> problem_;
  std::shared_ptr<Array<Out>> y_;
  Fn* kernel_;
  Cut cut_;
  int threads_;
  Call call_;
  std::vector<S> scale_;
};

struct Name {
  const char *op, *format;
};

/// `cut` gives the units of n elements, or none where n doesn't fit the format; `work` the passes.
template <class Fn, class CutOf, class WorkOf, class Make, class Call>
void add(const Plan& plan, Name name, const Op<Fn>& op, CutOf cut_of, WorkOf work_of, Make make,
         Call call, Suite& suite) {
  using P = typename decltype(make(std::size_t{}, std::uint64_t{}))::element_type;
  const auto adopt = [&]<class In, class Out, class S>(const Problem<In, Out, S>*) {
    for (const std::size_t n : plan.sizes) {
      const Cut cut = cut_of(n);
      if (cut.units == 0) continue;
      for (const int threads : plan.threads) {
        if (threads > 1 && cut.units == 1) continue;
        for (const Variant* v : peers::with_peers(op.variants(), op.name)) {
          Case c;
          c.op = name.op;
          c.format = name.format;
          c.variant = v;
          c.shape = "n:" + std::to_string(n);
          c.threads = threads;
          c.work.items = double(n);
          c.work.passes = work_of(double(n));
          const Pass& last = c.work.passes.back();
          c.work.working_set = std::size_t(last.read + last.written);
          const std::string key = c.op + "/" + c.format + "/" + c.shape;
          c.make = [=](const Setup& setup) -> std::unique_ptr<Instance> {
            auto problem = setup.problems.get<P>(key, [&] { return make(n, setup.seed); });
            return std::make_unique<Int4Instance<In, Out, S, Fn, Call>>(
                problem, setup.problems.output<Out>(problem->y.size()), op.kernel(*v), cut,
                setup.threads, call);
          };
          suite.push_back(std::move(c));
        }
      }
    }
  };
  adopt(static_cast<const P*>(nullptr));
}

using Passes = std::vector<Pass>;

/// One tensor is one unit: its absmax must be known before its first code.
Cut whole(std::size_t) { return {1, 1}; }
/// Elements, in ranges that start on a byte (and on a cache line of any output).
Cut elements(std::size_t n) { return {n, 128}; }
/// Groups of len elements.
auto groups_of(std::size_t len) {
  return [=](std::size_t n) { return Cut{n % len == 0 ? n / len : 0, 16}; };
}

template <class Fn, class S>
void add_quantize_groups(const Plan& plan, const char* format, const Op<Fn>& op, std::size_t len, S,
                         Suite& suite) {
  add(
      plan, {"quantize", format}, op, groups_of(len),
      [=](double n) {
        return Passes{{4 * n, n / 2 + n / double(len) * sizeof(S)}};
      },
      [=](std::size_t n, std::uint64_t seed) { return quantize_f32<S>(n, len, seed); },
      [=](Fn* kernel, const auto& p, std::size_t begin, std::size_t end, std::uint8_t* y,
          S* scale) {
        kernel(p.x.data() + begin * len, end - begin, len, y + begin * (len / 2), scale + begin);
      },
      suite);
}

}  // namespace

void add_int4(const Plan& plan, Suite& suite) {
  add(
      plan, {"quantize", "f32.s4"}, quantize::quantize_f32_s4, whole,
      [](double n) {
        return Passes{{4 * n, 0}, {4 * n, n / 2}};
      },
      [](std::size_t n, std::uint64_t seed) { return quantize_f32<float>(n, n, seed); },
      [](auto* kernel, const auto& p, std::size_t, std::size_t, std::uint8_t* y, float* scale) {
        kernel(p.x.data(), 1, p.x.size(), y, scale);
      },
      suite);
  add_quantize_groups(plan, "f32.s4.g32", quantize::quantize_f32_s4g, 32, f16{}, suite);
  add_quantize_groups(plan, "f32.s4.g128", quantize::quantize_f32_s4g, 128, f16{}, suite);
  add(
      plan, {"quantize", "f16.s4"}, quantize::quantize_f16_s4, whole,
      [](double n) {
        return Passes{{2 * n, 0}, {2 * n, n / 2}};
      },
      [](std::size_t n, std::uint64_t seed) { return quantize_f16(n, seed); },
      [](auto* kernel, const auto& p, std::size_t, std::size_t, std::uint8_t* y, f16* inv) {
        kernel(p.x.data(), 1, p.x.size(), y, inv);
      },
      suite);
  add(
      plan, {"quantize", "f32.q4_0"}, quantize::quantize_f32_q4_0, groups_of(kBlock),
      [](double n) {
        return Passes{{4 * n, n / kBlock * sizeof(BlockQ4_0)}};
      },
      [](std::size_t n, std::uint64_t seed) { return quantize_q4_0(n, seed); },
      [](auto* kernel, const auto& p, std::size_t begin, std::size_t end, BlockQ4_0* y, Nothing*) {
        kernel(p.x.data() + begin * kBlock, end - begin, y + begin);
      },
      suite);

  add(
      plan, {"dequantize", "s4.f32"}, quantize::dequantize_s4_f32, elements,
      [](double n) {
        return Passes{{n / 2, 4 * n}};
      },
      [](std::size_t n, std::uint64_t seed) { return dequantize<float, float>(n, n, seed); },
      [](auto* kernel, const auto& p, std::size_t begin, std::size_t end, float* y, float*) {
        kernel(p.x.data() + begin / 2, 1, end - begin, p.scale.data(), y + begin);
      },
      suite);
  add(
      plan, {"dequantize", "s4.g32.f32"}, quantize::dequantize_s4g_f32, groups_of(32),
      [](double n) {
        return Passes{{n / 2 + n / 32 * sizeof(f16), 4 * n}};
      },
      [](std::size_t n, std::uint64_t seed) { return dequantize<f16, float>(n, 32, seed); },
      [](auto* kernel, const auto& p, std::size_t begin, std::size_t end, float* y, f16*) {
        kernel(p.x.data() + begin * 16, end - begin, 32, p.scale.data() + begin, y + begin * 32);
      },
      suite);
  add(
      plan, {"dequantize", "s4.f16"}, quantize::dequantize_s4_f16, elements,
      [](double n) {
        return Passes{{n / 2, 2 * n}};
      },
      [](std::size_t n, std::uint64_t seed) { return dequantize<f16, f16>(n, n, seed); },
      [](auto* kernel, const auto& p, std::size_t begin, std::size_t end, f16* y, f16*) {
        kernel(p.x.data() + begin / 2, 1, end - begin, p.scale.data(), y + begin);
      },
      suite);
  add(
      plan, {"dequantize", "q4_0.f32"}, quantize::dequantize_q4_0_f32, groups_of(kBlock),
      [](double n) {
        return Passes{{n / kBlock * sizeof(BlockQ4_0), 4 * n}};
      },
      [](std::size_t n, std::uint64_t seed) { return dequantize_q4_0(n, seed); },
      [](auto* kernel, const auto& p, std::size_t begin, std::size_t end, float* y, Nothing*) {
        kernel(p.x.data() + begin, end - begin, y + begin * kBlock);
      },
      suite);

  add(
      plan, {"pack", "s4"}, quantize::pack_s4, elements,
      [](double n) {
        return Passes{{n, n / 2}};
      },
      [](std::size_t n, std::uint64_t seed) { return pack(n, seed); },
      [](auto* kernel, const auto& p, std::size_t begin, std::size_t end, std::uint8_t* y,
         Nothing*) { kernel(p.x.data() + begin, end - begin, y + begin / 2); },
      suite);
  add(
      plan, {"unpack", "s4"}, quantize::unpack_s4, elements,
      [](double n) {
        return Passes{{n / 2, n}};
      },
      [](std::size_t n, std::uint64_t seed) { return unpack(n, seed); },
      [](auto* kernel, const auto& p, std::size_t begin, std::size_t end, std::int8_t* y,
         Nothing*) { kernel(p.x.data() + begin / 2, end - begin, y + begin); },
      suite);
}

}  // namespace qb::bench
