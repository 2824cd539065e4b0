// matmul/a8.*/<variant>/m:<m>/n:<n>/k:<k>[/cold] and repack/a8.*/...
#include <memory>
#include <mutex>

#include "matmul_case.h"
#include "oracle/matmul_a8.h"

namespace qb::bench {
namespace {

using matmul::Format;

/// The oracle of one column. Quantizing the activations takes longer than a column does, so they
/// are kept until others come.
class Columns {
 public:
  ExpectedColumn operator()(std::span<const float> x, std::size_t m, const matmul::WeightView& w,
                            std::size_t n) const {
    const std::size_t k = w.w.k;
    const std::shared_ptr<const Rows> rows = cache_->rows(x, m, w);
    const std::vector<double> weights = oracle::weights_of_output(w, n);
    ExpectedColumn column;
    for (std::size_t i = 0; i < m; ++i) {
      const auto p = oracle::product<double>((*rows)[i], weights);
      const auto exact = oracle::product(x.subspan(i * k, k), std::span<const double>(weights));
      column.value.push_back(p.value);
      column.exact.push_back(exact.value);
      column.bound.push_back(oracle::bound(p, k));
    }
    return column;
  }

 private:
  using Rows = std::vector<std::vector<double>>;

  class Cache {
   public:
    std::shared_ptr<const Rows> rows(std::span<const float> x, std::size_t m,
                                     const matmul::WeightView& w) {
      const std::lock_guard lock(mutex_);
      if (!rows_ || m != m_ || !std::equal(x.begin(), x.end(), x_.begin(), x_.end())) {
        x_.assign(x.begin(), x.end());
        m_ = m;
        Rows made;
        for (std::size_t i = 0; i < m; ++i)
          made.push_back(oracle::quantized_activations(w.format, x.subspan(i * w.w.k, w.w.k)));
        rows_ = std::make_shared<const Rows>(std::move(made));
      }
      return rows_;
    }

   private:
    std::mutex mutex_;
    std::vector<float> x_;
    std::size_t m_ = 0;
    std::shared_ptr<const Rows> rows_;
  };

  std::shared_ptr<Cache> cache_ = std::make_shared<Cache>();
};

}  // namespace

void add_matmul_a8(const Plan& plan, Suite& suite) {
  const MatmulFormat formats[] = {
      {"a8.s8", &matmul::a8_s8, Format::s8, 0, Peak::int8},
      {"a8.s8.g32", &matmul::a8_s8g, Format::s8g, 32, Peak::int8},
      {"a8.s8.g128", &matmul::a8_s8g, Format::s8g, 128, Peak::int8},
      {"a8.s4", &matmul::a8_s4, Format::s4, 0, Peak::int4},
      {"a8.s4.g32", &matmul::a8_s4g, Format::s4g, 32, Peak::int4},
      {"a8.s4.g128", &matmul::a8_s4g, Format::s4g, 128, Peak::int4},
      {"a8.q8_0", &matmul::a8_q8_0, Format::q8_0, 0, Peak::int8},
      {"a8.q4_0", &matmul::a8_q4_0, Format::q4_0, 0, Peak::int4},
  };
  for (const MatmulFormat& f : formats) add_matmul<float>(plan, f, Columns(), suite);
  for (const MatmulFormat& f : formats) add_repack(plan, f, suite);
}

}  // namespace qb::bench
