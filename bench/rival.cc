// SPDX-License-Identifier: Apache-2.0
#include "rival.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "machine.h"
#include "peers/peers.h"

namespace qb::bench {
namespace {

/// A batch: long beside the two readings of the clock (30 ns each), short beside what interrupts
/// it.
constexpr double kBatch = 100e-6;
/// With several threads: those of one side wait for work in a loop for some milliseconds before
/// they sleep, and would take the CPUs from the other side's.
constexpr double kBatchOfThreads = 2e-3, kSettle = 5e-3;
constexpr double kBudget = 0.03;  ///< for all rounds of a row, if the fewest don't take longer
constexpr double kMostCalls = 1 << 20;  ///< of a batch: 100 us of a tenth of a nanosecond
constexpr std::size_t kMostRounds = 50;
/// Calls that are longer than this need no untimed call before them: refilling the caches is a
/// small part of their time.
constexpr double kLongCall = 0.01;

/// Rounds that a ratio needs at the least, by the seconds of a call of each side together: fewer
/// where they take long.
std::size_t fewest_rounds(double seconds) { return seconds < 0.01 ? 5 : seconds < 0.04 ? 3 : 2; }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

/// Ends of the 95 % interval of the median, by the order of the values: the binomial distribution
/// of how many lie below it, in its normal approximation. Least and largest where they are few.
std::pair<double, double> interval_of_median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const double n = double(values.size());
  const double rank = std::floor((n - 1.96 * std::sqrt(n)) / 2);
  const std::size_t cut = rank > 1 ? std::size_t(rank) - 1 : 0;
  return {values[cut], values[values.size() - 1 - cut]};
}

}  // namespace

bool acceptable(const Case& c, const Error& error) {
  if (error.mismatches == 0) return true;
  const peers::Peer* peer = peers::as_peer(c.variant);
  return peer && error.nmse && *error.nmse <= peer->most_nmse;
}

Rivals::Rivals(Clock clock, Prepare prepare, Verify verify)
    : clock_(std::move(clock)), prepare_(std::move(prepare)), verify_(verify) {}

void Rivals::add(const Case& peer) { peers_[peer.key()].push_back(&peer); }

void Rivals::release() {
  key_.clear();
  best_ = nullptr;
  instance_.reset();
}

Rivals::Side Rivals::side(Instance& instance, int threads) {
  clear_upper_halves(threads);
  instance.run();  // brings the data back that the other side evicted from the caches
  const double wanted = threads > 1 ? kBatchOfThreads : kBatch;
  for (int calls = 1;; calls *= 2) {
    const double begin = clock_();
    for (int i = 0; i < calls; ++i) instance.run();
    const double spent = clock_() - begin;
    if (spent >= wanted / 2 || calls >= kMostCalls)
      return {&instance, int(std::clamp(std::ceil(calls * wanted / spent), 1.0, kMostCalls)), {}};
  }
}

void Rivals::take_turn(Side& side, int threads) {
  clear_upper_halves(threads);
  const bool long_calls = !side.seconds.empty() && side.seconds.back() > kLongCall;
  if (!long_calls) side.instance->run();
  if (threads > 1)
    for (const double begin = clock_(); clock_() - begin < kSettle;) side.instance->run();
  const double begin = clock_();
  for (int i = 0; i < side.calls; ++i) side.instance->run();
  side.seconds.push_back((clock_() - begin) / side.calls);
}

void Rivals::choose(const std::string& key, int threads) {
  release();
  key_ = key;
  const auto found = peers_.find(key);
  if (found == peers_.end()) return;
  constexpr int kLooks = 5;            // batches of each, of which the fastest counts
  constexpr double kLongLook = 0.005;  // two of so long ones must do
  double fastest = 0;
  for (const Case* c : found->second) {
    std::unique_ptr<Instance> instance;
    try {
      instance = prepare_(*c);
      instance->run();
    } catch (const std::exception&) {  // its own row says why
      continue;
    }
    if (verify_ != Verify::off && !acceptable(*c, instance->verify(verify_))) continue;
    Side looked = side(*instance, threads);
    for (int look = 0; look < kLooks; ++look) {
      take_turn(looked, threads);
      if (look >= 1 && looked.seconds.back() > kLongLook) break;
    }
    const double seconds = least(looked.seconds);
    if (best_ && seconds >= fastest) continue;
    fastest = seconds;
    best_ = c;
    instance_ = std::move(instance);
  }
}

std::optional<Turns> Rivals::compare(const Case& own, Instance& instance) {
  if (own.key() != key_) choose(own.key(), own.threads);
  if (!instance_) return std::nullopt;
  Side ours = side(instance, own.threads), theirs = side(*instance_, own.threads);
  const double begin = clock_();
  std::vector<double> ratios;
  while (ratios.size() < kMostRounds) {
    double own_sum = 0, peer_sum = 0;
    for (const bool peers_turn : {true, false, false, true}) {
      Side& next = peers_turn ? theirs : ours;
      take_turn(next, own.threads);
      (peers_turn ? peer_sum : own_sum) += next.seconds.back();
    }
    ratios.push_back(peer_sum / own_sum);
    // By the shortest call so far, so that one interruption does not make calls look long.
    const std::size_t fewest = fewest_rounds(least(ours.seconds) + least(theirs.seconds));
    if (clock_() - begin >= kBudget && ratios.size() >= fewest) break;
  }
  const auto [low, high] = interval_of_median(ratios);
  return Turns{best_, ratios.size(), median(ours.seconds), median(theirs.seconds), median(ratios),
               low,   high};
}

}  // namespace qb::bench
