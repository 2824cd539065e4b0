// SPDX-License-Identifier: Apache-2.0
// The notebook on every variant: the same codes, restored values, losses and predictions, to the
// bit, as NumPy's (fixtures/make_fixtures.py) and as the notebook printed them.
#include "notebook.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <map>
#include <sstream>

#include "format_losses.h"
#include "numpy_random.h"
#include "support/fixtures.h"
#include "support/variant_test.h"

namespace {

using qb::f16;
using qb::Variant;
using qb::notebook::FourWeights;
using qb::notebook::Kernels;
using qb::notebook::Layer;
using qb::notebook::Prediction;
using qb::notebook::Quantized;
using qb::notebook::Type;
using qb::notebook::Wording;
using qb::test::Fixtures;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<f16> halves(const std::vector<double>& values) {
  std::vector<f16> h;
  for (const double v : values) h.push_back(qb::numpy::to_float16(v));
  return h;
}

/// CRC-32 of a tensor as NumPy has it, from the transpose.
template <class T>
std::uint32_t crc32_transposed(const std::vector<T>& x, std::size_t rows, std::size_t columns) {
  std::vector<T> y(x.size());
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) y[j * rows + i] = x[i * columns + j];
  return qb::test::crc32(y.data(), y.size() * sizeof(T));
}

const Layer& layer() {
  static const Layer numbers = qb::notebook::random_layer();
  return numbers;
}

TEST(Notebook, RandomLayerIsNumPys) {
  constexpr std::size_t hidden = Layer::kHidden, classes = Layer::kClasses;
  const Fixtures& numpy = Fixtures::get();
  EXPECT_EQ(qb::test::crc32(layer().x.data(), layer().x.size() * sizeof(f16)),
            numpy.notebook_crc32("x"));
  EXPECT_EQ(crc32_transposed(layer().weights, hidden, hidden), numpy.notebook_crc32("w"));
  EXPECT_EQ(crc32_transposed(layer().classifier, classes, hidden),
            numpy.notebook_crc32("classifier"));
}

void check_four_weights(const Kernels& kernels) {
  const FourWeights eight = qb::notebook::four_weights(kernels, Type::int8);
  EXPECT_EQ(eight.weights, halves({1, -0.5, 0.25, -0.125}));
  EXPECT_EQ(eight.quantized.absmax, 1.0f);
  EXPECT_EQ(eight.quantized.inv, qb::numpy::to_float16(127));
  EXPECT_THAT(eight.quantized.codes, ElementsAre(127, -64, 32, -16));
  EXPECT_EQ(eight.quantized.restored, halves({1, -64 / 127.0, 32 / 127.0, -16 / 127.0}));
  EXPECT_EQ(eight.output, 0.875);
  EXPECT_EQ(eight.quantized_output, 0.8740234375);
  EXPECT_EQ(eight.loss, 0.0009765625);

  const FourWeights four = qb::notebook::four_weights(kernels, Type::int4);
  EXPECT_EQ(four.quantized.inv, qb::numpy::to_float16(7));
  EXPECT_THAT(four.quantized.codes, ElementsAre(7, -4, 2, -1));
  EXPECT_EQ(four.quantized.restored, halves({1, -4 / 7.0, 2 / 7.0, -1 / 7.0}));
  EXPECT_EQ(four.output, 0.875);
  EXPECT_EQ(four.quantized_output, 0.857177734375);
  EXPECT_EQ(four.loss, 0.017822265625);
}

/// The whole of part three against NumPy: every tensor between, not only the labels.
void check_predictions(const Kernels& kernels) {
  constexpr std::size_t hidden = Layer::kHidden;
  const Fixtures& numpy = Fixtures::get();
  const auto check = [&](const std::string& name, const Prediction& p) {
    EXPECT_EQ(p.hidden, numpy.array<f16>("notebook/" + name + "/hidden").values) << name;
    EXPECT_EQ(qb::test::crc32(p.out.data(), p.out.size() * sizeof(f16)),
              numpy.notebook_crc32(name + "/out"))
        << name;
    EXPECT_EQ(p.labels, numpy.array<std::int32_t>("notebook/" + name + "/labels").values) << name;
  };
  const Prediction original = qb::notebook::predict(kernels, layer(), layer().weights);
  check("f16", original);
  EXPECT_THAT(original.labels,
              ElementsAre(3956, 874, 201, 109, 843, 46, 1419, 1058, 865, 2894, 2059, 1386));
  for (const Type type : {Type::int8, Type::int4}) {
    const std::string name = type == Type::int8 ? "int8" : "int4";
    const Quantized q = qb::notebook::quantize(kernels, type, layer().weights);
    EXPECT_EQ(q.inv, numpy.array<f16>("notebook/" + name + "/inv").values[0]) << name;
    EXPECT_EQ(crc32_transposed(q.codes, hidden, hidden), numpy.notebook_crc32(name + "/codes"));
    EXPECT_EQ(crc32_transposed(q.restored, hidden, hidden),
              numpy.notebook_crc32(name + "/restored"));
    const Prediction p = qb::notebook::predict(kernels, layer(), q.restored);
    check(name, p);
    int errors = 0;
    for (std::size_t i = 0; i < Layer::kSamples; ++i) errors += p.labels[i] != original.labels[i];
    EXPECT_EQ(errors, type == Type::int8 ? 1 : 7) << name;
    if (type == Type::int8)
      EXPECT_THAT(p.labels,
                  ElementsAre(3956, 874, 201, 109, 843, 46, 1419, 1058, 1495, 2894, 2059, 1386));
    else
      EXPECT_THAT(p.labels,
                  ElementsAre(3956, 3782, 242, 1582, 514, 1716, 2584, 1058, 865, 2436, 2059, 1386));
  }
}

// One test per variant of each operation, while the other operations use their dispatched variants:
// so every row is tried, though not every operation has a variant of that name.
#define QB_NOTEBOOK_TEST(Suite, operation, field) \
  QB_VARIANT_TEST_SUITE(Suite, operation);        \
  QB_VARIANT_TEST(Suite, SameBits) {              \
    Kernels kernels;                              \
    kernels.field = &variant();                   \
    check_four_weights(kernels);                  \
    check_predictions(kernels);                   \
  }

QB_NOTEBOOK_TEST(NotebookAbsmax, qb::absmax::f16, absmax)
QB_NOTEBOOK_TEST(NotebookQuantizeS8, qb::quantize::quantize_f16_s8, quantize_s8)
QB_NOTEBOOK_TEST(NotebookDequantizeS8, qb::quantize::dequantize_s8_f16, dequantize_s8)
QB_NOTEBOOK_TEST(NotebookQuantizeS4, qb::quantize::quantize_f16_s4, quantize_s4)
QB_NOTEBOOK_TEST(NotebookDequantizeS4, qb::quantize::dequantize_s4_f16, dequantize_s4)
QB_NOTEBOOK_TEST(NotebookUnpackS4, qb::quantize::unpack_s4, unpack_s4)
QB_NOTEBOOK_TEST(NotebookProduct, qb::matmul::f16_f16, product)
QB_NOTEBOOK_TEST(NotebookOutput, qb::matmul::a32_f16, output)

TEST(Notebook, TranscriptOfEveryCommonVariant) {
  std::ifstream file(QB_FIXTURES "/quantization_demo.txt");
  std::stringstream expected;
  expected << file.rdbuf();
  ASSERT_FALSE(expected.str().empty());
  const auto names = qb::notebook::common_variants();
  EXPECT_THAT(names, testing::IsSupersetOf({"scalar", "autovec"}));
  for (const std::string& name : names)
    EXPECT_EQ(qb::notebook::transcript(Kernels::named(name), layer(), Wording::verbatim),
              expected.str())
        << name;

  std::string corrected = expected.str();
  const std::size_t mistake = corrected.rfind("Int8 Weights");
  ASSERT_GT(mistake, corrected.find("## Int4"));
  corrected.replace(mistake, 4, "Int4");
  EXPECT_EQ(qb::notebook::transcript(Kernels{}, layer(), Wording::corrected), corrected);
}

TEST(Notebook, LabelsInPartsAreThoseOfThePrediction) {
  const Layer many =
      qb::notebook::random_layer(1, {.samples = 3, .hidden = 64, .classes = 40}, 600);
  const Kernels kernels;
  EXPECT_EQ(qb::notebook::labels(kernels, many, many.x, many.weights, 1),
            qb::notebook::predict(kernels, many, many.weights).labels);
  ASSERT_EQ(many.further.size(), 600 * 64u);
  Layer apart = many;
  apart.sizes.samples = 600;
  apart.x = many.further;
  EXPECT_EQ(qb::notebook::labels(kernels, many, many.further, many.weights, 2),
            qb::notebook::predict(kernels, apart, many.weights).labels);
}

TEST(NotebookFormats, PerTensorAndTheLabelsAreTheNotebooks) {
  const auto rows = qb::notebook::losses(Kernels{}, layer(), {{"s8", "s4"}, {"tensor"}}, 1).rows;
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].format, "s8");
  EXPECT_EQ(rows[0].changed, 1u);
  EXPECT_EQ(rows[1].changed, 7u);
  EXPECT_NEAR(rows[1].bits, 4, 1e-3);
}

TEST(NotebookFormats, FinerScalesAndMoreBitsLoseLess) {
  const auto rows = qb::notebook::losses(Kernels{}, layer(), {{"s4", "q5_0", "q8_0"}, {}}, 1).rows;
  std::map<std::string, double> nmse;
  for (const auto& row : rows) nmse[row.format + " " + row.granularity] = row.nmse;
  EXPECT_EQ(nmse.size(), 7u);
  EXPECT_GT(nmse["s4 tensor"], nmse["s4 channel"]);
  EXPECT_GT(nmse["s4 channel"], nmse["s4 128"]);
  EXPECT_GT(nmse["s4 128"], nmse["s4 32"]);
  EXPECT_GT(nmse["s4 32"], nmse["q5_0 block of 32"]);
  EXPECT_GT(nmse["q5_0 block of 32"], nmse["q8_0 block of 32"]);
  EXPECT_LT(nmse["q8_0 block of 32"], 1e-4);
}

TEST(NotebookFormats, AHiddenSizeThatABlockDoesNotDivideIsSaid) {
  const Layer odd = qb::notebook::random_layer(1, {.samples = 2, .hidden = 40, .classes = 8});
  const auto found = qb::notebook::losses(Kernels{}, odd, {{"s8", "q4_0"}, {"channel", "32"}}, 1);
  ASSERT_EQ(found.rows.size(), 1u);
  EXPECT_EQ(found.rows[0].granularity, "channel");
  EXPECT_THAT(found.skipped, ElementsAre(HasSubstr("s8 32"), HasSubstr("q4_0")));
  EXPECT_THAT(found.skipped[1], HasSubstr("multiple of 32"));
}

TEST(NotebookFormats, UnknownNamesAreRefused) {
  const auto message = [](const qb::notebook::Chosen& chosen) -> std::string {
    try {
      qb::notebook::losses(Kernels{}, layer(), chosen, 1);
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(message({{"q9"}, {}}), HasSubstr("no format 'q9'; there are: s8, s4,"));
  EXPECT_THAT(message({{}, {"33"}}), HasSubstr("no granularity '33'; there are: tensor"));
  EXPECT_THAT(message({{"q4_0"}, {"32"}}), HasSubstr("only s8, s4"));
}

TEST(Notebook, AVariantNameIsFoundInEveryOperationOrRefused) {
  for (const Variant* v : Kernels::named("scalar").all()) EXPECT_EQ(v->name, "scalar") << v->op;
  try {
    Kernels::named("abacus");
    FAIL() << "not refused";
  } catch (const std::invalid_argument& e) {
    EXPECT_THAT(e.what(), HasSubstr("no variant 'abacus'; there are: scalar"));
  }
}

}  // namespace
