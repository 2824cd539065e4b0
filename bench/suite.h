// SPDX-License-Identifier: Apache-2.0
// What one benchmark is: a case (op/format/variant/shape/threads), the work it does, and an
// instance that binds it to verified inputs. bench_<room>.cc files add cases; the runner registers
// them with Google Benchmark, verifies each before it is timed, measures the machine's limit at the
// same working set near in time, and writes the counters.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/variant.h"
#include "data.h"

namespace qb::bench {

enum class Verify { full, quick, off };

/// Difference from the oracle on the inputs that are timed.
struct Error {
  std::size_t mismatches = 0;  ///< elements outside the contract (bit-exact ops: that differ)
  std::optional<double> nmse;  ///< normalised mean squared error against the exact product
  /// What quantizing the weights lost: the mean squared difference to the weights they were made
  /// from, normalised by these.
  std::optional<double> weights_nmse;
  std::optional<double> of_bound;  ///< largest |error| / bound of the contract; > 1 is a mismatch
  std::string first;               ///< first mismatch, "y[3] is 0.5, expected 0.25"; empty if none
};

/// One pass over memory: bytes of compulsory traffic.
struct Pass {
  double read = 0, written = 0;
};

/// Arithmetic unit a compute-bound row is judged by. bf16: products summed in f32; where there are
/// no such, f32's.
enum class Peak { none, f32, bf16, int8, int4 };

/// What one call must do at the least. The limit of a row is the larger of the sum of its passes'
/// times at the bandwidth measured at `working_set`, and ops over the measured peak.
struct Work {
  double items = 0;             ///< elements (or outputs)
  std::vector<Pass> passes;     ///< usually one; two where a second pass over the input is inherent
  std::size_t working_set = 0;  ///< bytes touched by one call; the whole rotation if cold
  double ops = 0;               ///< 2*m*n*k for matmul, otherwise 0
  Peak peak = Peak::none;
};

/// One variant bound to inputs and outputs.
class Instance {
 public:
  virtual ~Instance() = default;
  /// One timed call.
  virtual void run() = 0;
  /// Checks the output of the last run() against the oracle. quick may look at a sample.
  virtual Error verify(Verify mode) = 0;
};

/// Keeps the inputs and expected outputs of the shape at hand, so that variants of one shape share
/// them, and what shapes and operations have in common.
class ProblemCache {
 public:
  /// The cached problem if `key` is that of the last call.
  template <class T, class Make>
  std::shared_ptr<T> get(const std::string& key, Make make) {
    if (key != key_ || !problem_) {
      problem_.reset();
      output_.reset();
      problem_ = std::shared_ptr<void>(make());
      key_ = key;
    }
    return std::static_pointer_cast<T>(problem_);
  }

  /// The output array that all variants of the last problem share. Sharing keeps the comparison
  /// fair, since some addresses cost 20 to 40 % of the time in L1. It is wiped before it is handed
  /// out, so that no variant finds the result of another.
  template <class T>
  std::shared_ptr<Array<T>> output(std::size_t count) {
    if (!output_) output_ = std::make_shared<Array<T>>(count);
    auto output = std::static_pointer_cast<Array<T>>(output_);
    output->wipe();
    return output;
  }

  /// Data of `bytes` bytes that several problems share. The least recently used is dropped when
  /// more than kShared bytes are kept.
  template <class T, class Make>
  std::shared_ptr<T> share(const std::string& key, std::size_t bytes, Make make) {
    auto found =
        std::find_if(shared_.begin(), shared_.end(), [&](const Shared& s) { return s.key == key; });
    if (found == shared_.end()) {
      shared_.push_front({key, bytes, make()});
      std::size_t kept = 0;
      for (auto s = shared_.begin(); s != shared_.end();)
        s = (kept += s->bytes) > kShared && s != shared_.begin() ? shared_.erase(s) : std::next(s);
    } else {
      shared_.splice(shared_.begin(), shared_, found);
    }
    return std::static_pointer_cast<T>(shared_.front().value);
  }

 private:
  static constexpr std::size_t kShared = std::size_t{512} << 20;
  struct Shared {
    std::string key;
    std::size_t bytes;
    std::shared_ptr<void> value;
  };

  std::string key_;
  std::shared_ptr<void> problem_, output_;
  std::list<Shared> shared_;
};

/// Handed to Case::make.
struct Setup {
  ProblemCache& problems;
  std::uint64_t seed;
  int threads;
  std::size_t cache_bytes;  ///< of the last cache that was measured; cold rotates 3x it at least
};

struct Case {
  std::string op;      ///< "absmax"
  std::string format;  ///< "f32", "f16.f32", "a8.q4_0"
  const Variant* variant = nullptr;
  std::string shape;  ///< "n:65536", "m:1/n:4096/k:4096", "m:1/n:4096/k:4096/cold"
  int threads = 1;
  Rows rows = Rows::any;  ///< of a product
  Work work;
  std::function<std::unique_ptr<Instance>(const Setup&)> make;

  /// The benchmark's key: op/format/variant/shape[/threads:T].
  std::string name() const;
  /// What rows that can replace each other share: op/format/shape[/threads:T].
  std::string key() const;
  /// Whether a user's call of this operation on this shape runs the variant. Packing is none.
  bool is_dispatched_to() const;
  /// The instruction sets whose limits judge the row: those the variant needs, or for a peer all
  /// there are, since it looks at the CPU itself.
  FeatureSet judged_by() const;
};

/// What the command line asks for; each room's add_ function turns it into cases.
struct Plan {
  /// Elements for array operations, one list for all (f32 input of n elements is 4n bytes).
  std::vector<std::size_t> sizes;
  /// Groups of 64 too, and back from 64 and 128.
  bool every_group = false;
  struct Shape {
    std::size_t m, n, k;
    bool cold = false;
    bool operator==(const Shape&) const = default;
  };
  std::vector<Shape> matmul;
  std::vector<int> threads;
  bool peers = true;  ///< rows of other projects' kernels
};

using Suite = std::vector<Case>;

/// The variants that an operation's rows are made for: `own`, then loaded ones, then peers.
std::vector<const Variant*> with_others(const Plan& plan, std::vector<const Variant*> own,
                                        std::string_view op);

/// Every row of the plan, by all of the functions below.
Suite every_case(const Plan& plan);

/// Removes the rows that tell least, for a quick run:
///   - autovec and xsimd variants of other instruction sets than the strongest that runs here;
///   - autovec and xsimd variants on groups of 128, which cost them as much as groups of 32;
///   - repacking by variants that are not dispatched to;
///   - block formats whose kind of codes and scales an earlier format has, by variants that are not
///     dispatched to.
/// Other scalar code, hand-written variants, loaded ones and peers stay.
void leave_out_redundant(Suite& suite);

// One per room, in bench_<room>.cc. Cases come op by op, format by format, shape by shape, and last
// variant by variant, so that neighbours share a problem.
void add_convert(const Plan& plan, Suite& suite);
void add_absmax(const Plan& plan, Suite& suite);
void add_quantize(const Plan& plan, Suite& suite);
void add_matmul_a32(const Plan& plan, Suite& suite);
void add_matmul_a8(const Plan& plan, Suite& suite);
void add_matmul_abf16(const Plan& plan, Suite& suite);

}  // namespace qb::bench
