// SPDX-License-Identifier: Apache-2.0
// A row beside its best peer. Both are measured alike, in turns, so that their ratio is of one
// moment and of one method. A round is four turns:
//
//   peer, own, own, peer      each:  call | clock, calls for at least 100 us, clock
//
// The call in front is not timed: it brings a side's own data back into the caches. Inputs and
// outputs are the same memory for both, and in a round each side runs once after itself and once
// after the other, which matters where the weights of both don't fit a cache together. A round's
// ratio is that of its sums, the row's the median over 2 to 50 rounds.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "suite.h"

namespace qb::bench {

/// Whether the error is one that the case may have: none, or for a peer whose arithmetic differs
/// from the contract a small one.
bool acceptable(const Case& c, const Error& error);

/// What the turns of a row and its best peer gave.
struct Turns {
  const Case* peer = nullptr;
  std::size_t rounds = 0;
  double own_seconds = 0, peer_seconds = 0;  ///< of one call: medians over the batches
  double ratio = 0;  ///< how many times as fast as the peer we are: the median over the rounds
  /// The 95 % interval of that median. It knows nothing of how processes differ.
  double low = 0, high = 0;
};

class Rivals {
 public:
  using Clock = std::function<double()>;  ///< seconds
  using Prepare = std::function<std::unique_ptr<Instance>(const Case&)>;

  /// `prepare` makes the instance of a peer's case; `verify` is how its outputs are checked.
  Rivals(Clock clock, Prepare prepare, Verify verify);

  /// A peer that rows of its key are compared with. The case must outlive this.
  void add(const Case& peer);

  /// Our row in turns with the fastest sound peer of its key; nothing if there is none. Which one
  /// is the fastest is found out at the first question, and its instance kept until another key is
  /// asked for.
  std::optional<Turns> compare(const Case& own, Instance& instance);
  /// Lets go of the instance at hand.
  void release();

 private:
  /// One that takes turns: `calls` of it last about as long as a batch should.
  struct Side {
    Instance* instance;
    int calls;
    std::vector<double> seconds;  ///< of one call, per batch
  };

  void choose(const std::string& key, int threads);
  Side side(Instance& instance, int threads);
  /// One batch: the untimed call, then the timed ones.
  void take_turn(Side& side, int threads);

  Clock clock_;
  Prepare prepare_;
  Verify verify_;
  std::map<std::string, std::vector<const Case*>> peers_;
  std::string key_;
  const Case* best_ = nullptr;
  std::unique_ptr<Instance> instance_;
};

}  // namespace qb::bench
