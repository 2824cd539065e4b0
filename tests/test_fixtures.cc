// SPDX-License-Identifier: Apache-2.0
// Every variant against the independent witness: what NumPy, ml_dtypes and gguf computed, to the
// bit (fixtures/make_fixtures.py, which also says what it leaves out and why).
#include <cmath>
#include <cstdio>
#include <cstring>

#include "absmax/absmax.h"
#include "convert/convert.h"
#include "matmul/matmul.h"
#include "numpy_random.h"
#include "quantize/quantize.h"
#include "support/fixtures.h"
#include "support/guarded.h"
#include "support/variant_test.h"

namespace {

using qb::bf16;
using qb::e4m3;
using qb::e5m2;
using qb::f16;
using qb::test::Against;
using qb::test::Fixture;
using qb::test::Fixtures;
using qb::test::Guarded;

/// Named arrays of one fixture.
struct Case {
  std::string name;
  template <class T>
  Fixture<T> array(const char* what) const {
    return Fixtures::get().array<T>(name + '/' + what);
  }
  bool has(const char* what) const { return Fixtures::get().contains(name + '/' + what); }
};

std::vector<Case> cases(const std::string& prefix) {
  std::vector<Case> list;
  for (const std::string& name : Fixtures::get().cases(prefix))
    list.push_back({prefix + '/' + name});
  return list;
}

template <class T>
std::string hexadecimal(const T& value) {
  unsigned long long bits = 0;
  static_assert(sizeof(T) <= sizeof bits);
  std::memcpy(&bits, &value, sizeof(T));
  char text[24];
  std::snprintf(text, sizeof text, "0x%0*llx", int(2 * sizeof(T)), bits);
  return text;
}

/// Every bit equal; names the first element that differs.
template <class T>
void expect_bits(const std::string& what, const T* got, const std::vector<T>& want) {
  for (std::size_t i = 0; i < want.size(); ++i)
    if (std::memcmp(&got[i], &want[i], sizeof(T)) != 0) {
      ADD_FAILURE() << what << '[' << i << "] is " << hexadecimal(got[i]) << ", expected "
                    << hexadecimal(want[i]);
      return;
    }
}

// ---------------------------------------------------------------- conversion

template <class X, class Y, class Kernel>
void check_convert(const std::string& name, Kernel* kernel) {
  const Case c{"convert/" + name};
  const auto x = c.array<X>("x");
  const auto y = c.array<Y>("y");
  const Guarded<X> in(x.values, Against::end);
  Guarded<Y> out(in.size());
  kernel(in.data(), in.size(), out.data());
  expect_bits(c.name, out.data(), y.values);
}

QB_VARIANT_TEST_SUITE(ConvertF16F32, qb::convert::f16_f32);
QB_VARIANT_TEST_SUITE(ConvertF32F16, qb::convert::f32_f16);
QB_VARIANT_TEST_SUITE(ConvertBf16F32, qb::convert::bf16_f32);
QB_VARIANT_TEST_SUITE(ConvertF32Bf16, qb::convert::f32_bf16);
QB_VARIANT_TEST_SUITE(ConvertE4m3F32, qb::convert::e4m3_f32);
QB_VARIANT_TEST_SUITE(ConvertF32E4m3, qb::convert::f32_e4m3);
QB_VARIANT_TEST_SUITE(ConvertE5m2F32, qb::convert::e5m2_f32);
QB_VARIANT_TEST_SUITE(ConvertF32E5m2, qb::convert::f32_e5m2);

QB_VARIANT_TEST(ConvertF16F32, AsNumPy) { check_convert<f16, float>("f16_f32", kernel()); }
QB_VARIANT_TEST(ConvertF32F16, AsNumPy) { check_convert<float, f16>("f32_f16", kernel()); }
QB_VARIANT_TEST(ConvertBf16F32, AsGguf) { check_convert<bf16, float>("bf16_f32", kernel()); }
QB_VARIANT_TEST(ConvertF32Bf16, AsGguf) { check_convert<float, bf16>("f32_bf16", kernel()); }

QB_VARIANT_TEST(ConvertE4m3F32, AsMlDtypes) { check_convert<e4m3, float>("e4m3_f32", kernel()); }
QB_VARIANT_TEST(ConvertF32E4m3, AsMlDtypes) { check_convert<float, e4m3>("f32_e4m3", kernel()); }
QB_VARIANT_TEST(ConvertE5m2F32, AsMlDtypes) { check_convert<e5m2, float>("e5m2_f32", kernel()); }
QB_VARIANT_TEST(ConvertF32E5m2, AsMlDtypes) { check_convert<float, e5m2>("f32_e5m2", kernel()); }

// ---------------------------------------------------------------- absmax

template <class T, class Kernel>
void check_absmax(const std::string& type, Kernel* kernel) {
  for (const Case& c : cases("absmax/" + type)) {
    const auto x = c.array<T>("x");
    const std::vector<float> want = c.array<float>("y").values;
    const Guarded<T> in(x.values, Against::end);
    Guarded<float> out(x.rows());
    kernel(in.data(), x.rows(), x.columns(), out.data());
    for (std::size_t i = 0; i < want.size(); ++i)
      if (std::isnan(want[i]))  // which NaN, NumPy leaves open
        EXPECT_TRUE(std::isnan(out[i])) << c.name << '[' << i << "] is " << out[i];
      else
        EXPECT_EQ(hexadecimal(out[i]), hexadecimal(want[i])) << c.name << '[' << i << ']';
  }
}

QB_VARIANT_TEST_SUITE(AbsmaxF32, qb::absmax::f32);
QB_VARIANT_TEST_SUITE(AbsmaxF16, qb::absmax::f16);

QB_VARIANT_TEST(AbsmaxF32, AsNumPy) { check_absmax<float>("f32", kernel()); }
QB_VARIANT_TEST(AbsmaxF16, AsNumPy) { check_absmax<f16>("f16", kernel()); }

// ---------------------------------------------------------------- quantize and dequantize

/// Code is int8 for one code an element, uint8 for two. `scale` names the scales' array; cases
/// without one are not for this kernel.
template <class X, class Code, class S, class Kernel>
void check_quantize(const std::string& format, const char* scale, Kernel* kernel) {
  for (const Case& c : cases(format)) {
    if (!c.has(scale)) continue;
    const auto x = c.array<X>("x");
    const auto q = c.array<Code>("q");
    const auto s = c.array<S>(scale);
    const Guarded<X> in(x.values, Against::end);
    Guarded<Code> codes(q.values.size());
    Guarded<S> scales(s.values.size());
    kernel(in.data(), x.rows(), x.columns(), codes.data(), scales.data());
    expect_bits(c.name + '/' + scale, scales.data(), s.values);
    expect_bits(c.name + "/q", codes.data(), q.values);
  }
}

template <class Y, class Code, class S, class Kernel>
void check_dequantize(const std::string& format, const char* scale, const char* result,
                      Kernel* kernel) {
  for (const Case& c : cases(format)) {
    if (!c.has(scale)) continue;
    const auto y = c.array<Y>(result);
    const Guarded<Code> codes(c.array<Code>("q").values, Against::end);
    const Guarded<S> scales(c.array<S>(scale).values, Against::end);
    Guarded<Y> out(y.values.size());
    kernel(codes.data(), y.rows(), y.columns(), scales.data(), out.data());
    expect_bits(c.name + '/' + result, out.data(), y.values);
  }
}

/// Formats that share their input.
template <class Block>
constexpr bool kShares = false;
#define QB_SHARES(format, Block, ...) \
  template <>                         \
  constexpr bool kShares<qb::Block> = true;
QB_SUPER_FORMATS(QB_SHARES, )
#undef QB_SHARES

/// The bytes of blocks, and of their decoding.
template <class Block, class Kernel>
void check_quantize_blocks(const std::string& format, Kernel* kernel) {
  const Case c{format};
  const auto x = kShares<Block> ? Case{"super"}.array<float>("x") : c.array<float>("x");
  const auto want = c.array<std::uint8_t>("blocks");
  ASSERT_EQ(want.columns(), sizeof(Block));
  const Guarded<float> in(x.values, Against::end);
  Guarded<Block> out(want.rows());
  kernel(in.data(), out.size(), out.data());
  const auto* const got = reinterpret_cast<const std::uint8_t*>(out.data());
  for (std::size_t i = 0; i < want.values.size(); ++i)
    ASSERT_EQ(int(got[i]), int(want.values[i]))
        << format << " block " << i / sizeof(Block) << " byte " << i % sizeof(Block);
}

template <class Block, class Kernel>
void check_dequantize_blocks(const std::string& format, Kernel* kernel) {
  const Case c{kShares<Block> ? format + "/decoded" : format};
  const auto bytes = c.array<std::uint8_t>("blocks");
  const auto want = c.array<float>("y");
  Guarded<Block> in(bytes.rows());
  std::memcpy(in.data(), bytes.values.data(), bytes.values.size());
  Guarded<float> out(want.values.size());
  kernel(in.data(), in.size(), out.data());
  expect_bits(format + "/y", out.data(), want.values);
}

QB_VARIANT_TEST_SUITE(QuantizeF16S8, qb::quantize::quantize_f16_s8);
QB_VARIANT_TEST_SUITE(DequantizeS8F16, qb::quantize::dequantize_s8_f16);
QB_VARIANT_TEST_SUITE(QuantizeF32S8, qb::quantize::quantize_f32_s8);
QB_VARIANT_TEST_SUITE(DequantizeS8F32, qb::quantize::dequantize_s8_f32);
QB_VARIANT_TEST_SUITE(QuantizeF32S8g, qb::quantize::quantize_f32_s8g);
QB_VARIANT_TEST_SUITE(DequantizeS8gF32, qb::quantize::dequantize_s8g_f32);

QB_VARIANT_TEST(QuantizeF16S8, AsTheNotebook) {
  check_quantize<f16, std::int8_t, f16>("s8_f16", "inv", kernel());
}
QB_VARIANT_TEST(DequantizeS8F16, AsTheNotebook) {
  check_dequantize<f16, std::int8_t, f16>("s8_f16", "inv", "y", kernel());
}
QB_VARIANT_TEST(QuantizeF32S8, AsNumPy) {
  check_quantize<float, std::int8_t, float>("s8", "scale", kernel());
}
QB_VARIANT_TEST(DequantizeS8F32, AsNumPy) {
  check_dequantize<float, std::int8_t, float>("s8", "scale", "y", kernel());
}
QB_VARIANT_TEST(QuantizeF32S8g, AsNumPy) {
  check_quantize<float, std::int8_t, f16>("s8", "stored", kernel());
}
QB_VARIANT_TEST(DequantizeS8gF32, AsNumPy) {
  check_dequantize<float, std::int8_t, f16>("s8", "stored", "y_stored", kernel());
}

QB_VARIANT_TEST_SUITE(QuantizeF16S4, qb::quantize::quantize_f16_s4);
QB_VARIANT_TEST_SUITE(DequantizeS4F16, qb::quantize::dequantize_s4_f16);
QB_VARIANT_TEST_SUITE(QuantizeF32S4, qb::quantize::quantize_f32_s4);
QB_VARIANT_TEST_SUITE(DequantizeS4F32, qb::quantize::dequantize_s4_f32);
QB_VARIANT_TEST_SUITE(QuantizeF32S4g, qb::quantize::quantize_f32_s4g);
QB_VARIANT_TEST_SUITE(DequantizeS4gF32, qb::quantize::dequantize_s4g_f32);
QB_VARIANT_TEST_SUITE(PackS4, qb::quantize::pack_s4);
QB_VARIANT_TEST_SUITE(UnpackS4, qb::quantize::unpack_s4);

QB_VARIANT_TEST(QuantizeF16S4, AsTheNotebook) {
  check_quantize<f16, std::uint8_t, f16>("s4_f16", "inv", kernel());
}
QB_VARIANT_TEST(DequantizeS4F16, AsTheNotebook) {
  check_dequantize<f16, std::uint8_t, f16>("s4_f16", "inv", "y", kernel());
}
QB_VARIANT_TEST(QuantizeF32S4, AsNumPy) {
  check_quantize<float, std::uint8_t, float>("s4", "scale", kernel());
}
QB_VARIANT_TEST(DequantizeS4F32, AsNumPy) {
  check_dequantize<float, std::uint8_t, float>("s4", "scale", "y", kernel());
}
QB_VARIANT_TEST(QuantizeF32S4g, AsNumPy) {
  check_quantize<float, std::uint8_t, f16>("s4", "stored", kernel());
}
QB_VARIANT_TEST(DequantizeS4gF32, AsNumPy) {
  check_dequantize<float, std::uint8_t, f16>("s4", "stored", "y_stored", kernel());
}

#define QB_TEST_BLOCKS(format, Block, ...)                                             \
  QB_VARIANT_TEST_SUITE(Quantize_##format, qb::quantize::quantize_f32_##format);       \
  QB_VARIANT_TEST_SUITE(Dequantize_##format, qb::quantize::dequantize_##format##_f32); \
  QB_VARIANT_TEST(Quantize_##format, AsWitnessed) {                                    \
    check_quantize_blocks<qb::Block>(#format, kernel());                               \
  }                                                                                    \
  QB_VARIANT_TEST(Dequantize_##format, AsWitnessed) {                                  \
    check_dequantize_blocks<qb::Block>(#format, kernel());                             \
  }
QB_BLOCK_FORMATS(QB_TEST_BLOCKS, )
#undef QB_TEST_BLOCKS

/// Row by row: every row starts on a byte.
template <class In, class Out, class Kernel>
void check_nibbles(const char* from, const char* to, Kernel* kernel) {
  for (const Case& c : cases("s4_f16")) {
    const std::size_t len = c.array<std::int8_t>("codes").columns();
    const auto in = c.array<In>(from);
    const auto want = c.array<Out>(to);
    for (std::size_t row = 0; row < want.rows(); ++row) {
      const auto begin = in.values.begin() + std::ptrdiff_t(row * in.columns());
      const auto expected = want.values.begin() + std::ptrdiff_t(row * want.columns());
      const Guarded<In> x(std::vector<In>(begin, begin + std::ptrdiff_t(in.columns())),
                          Against::end);
      Guarded<Out> y(want.columns());
      kernel(x.data(), len, y.data());
      expect_bits(c.name + '/' + to, y.data(),
                  std::vector<Out>(expected, expected + std::ptrdiff_t(want.columns())));
    }
  }
}

QB_VARIANT_TEST(PackS4, AsNumPy) {
  check_nibbles<std::int8_t, std::uint8_t>("codes", "q", kernel());
}
QB_VARIANT_TEST(UnpackS4, AsNumPy) {
  check_nibbles<std::uint8_t, std::int8_t>("q", "codes", kernel());
}

// ---------------------------------------------------------------- the product of binary16

QB_VARIANT_TEST_SUITE(MatmulF16F16, qb::matmul::f16_f16);

QB_VARIANT_TEST(MatmulF16F16, AsNumPy) {
  for (const Case& c : cases("f16_f16")) {
    const auto x = c.array<f16>("x"), w = c.array<f16>("w"), y = c.array<f16>("y");
    const std::size_t m = x.rows(), k = x.columns(), n = w.rows();
    const Guarded<f16> in(x.values, Against::end), values(w.values, Against::end);
    Guarded<f16> out(m * n);
    const qb::matmul::Weights weights{values.data(), nullptr, n, k, k};
    qb::matmul::AlignedBytes packed(kernel()->packed_bytes(n, k, k));
    if (packed.size()) qb::matmul::pack(*kernel(), weights, packed.data(), 1);
    qb::matmul::AlignedBytes workspace(kernel()->workspace_bytes(m, n, k, k));
    qb::matmul::multiply(*kernel(), weights, packed.data(), in.data(), m, workspace.data(),
                         out.data(), 1);
    expect_bits(c.name + "/y", out.data(), y.values);
  }
}

// ---------------------------------------------------------------- the notebook's random numbers

TEST(NumpyRandom, UniformIsNumPys) {
  qb::numpy::RandomState random(2135);
  for (const double want : Fixtures::get().array<double>("random/uniform").values)
    ASSERT_EQ(hexadecimal(random.uniform()), hexadecimal(want));
}

TEST(NumpyRandom, NormalIsNumPys) {
  qb::numpy::RandomState random(2135);
  for (const double want : Fixtures::get().array<double>("random/normal").values)
    ASSERT_EQ(hexadecimal(random.normal()), hexadecimal(want));
}

TEST(NumpyRandom, DoublesRoundOnceToFloat16) {
  const auto x = Fixtures::get().array<double>("convert/f64_f16/x").values;
  const auto y = Fixtures::get().array<f16>("convert/f64_f16/y").values;
  for (std::size_t i = 0; i < x.size(); ++i)
    ASSERT_EQ(hexadecimal(qb::numpy::to_float16(x[i])), hexadecimal(y[i])) << x[i];
}

}  // namespace
