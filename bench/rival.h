// The best peer of a row: timed in turns with it, so that their ratio is of one moment.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "suite.h"

namespace qb::bench {

/// Whether the error is one that the case may have: none, or for a peer whose arithmetic differs
/// from the contract a small one.
bool acceptable(const Case& c, const Error& error);

class Rivals {
 public:
  using Clock = std::function<double()>;  ///< seconds
  using Prepare = std::function<std::unique_ptr<Instance>(const Case&)>;

  /// `prepare` makes the instance of a peer's case; `verify` is how its outputs are checked.
  Rivals(Clock clock, Prepare prepare, Verify verify);

  /// A peer that rows of its key are compared with. The case must outlive this.
  void add(const Case& peer);

  /// Seconds per call of the fastest sound peer of this key, timed for about `budget` seconds now;
  /// 0 if there is none. The fastest is found out at the first question, and kept at hand until
  /// another key is asked for.
  double seconds(const std::string& key, double budget);
  /// The peer that the last question was about; null if there was none.
  const Case* best() const { return best_; }
  /// Lets go of the instance at hand.
  void release();

 private:
  void choose(const std::string& key);
  double mean_of_calls(Instance& instance, int threads, double budget);

  Clock clock_;
  Prepare prepare_;
  Verify verify_;
  std::map<std::string, std::vector<const Case*>> peers_;
  std::string key_;
  const Case* best_ = nullptr;
  std::unique_ptr<Instance> instance_;
};

}  // namespace qb::bench
