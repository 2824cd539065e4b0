#include "rival.h"

#include <algorithm>
#include <exception>

#include "machine.h"
#include "peers/peers.h"

namespace qb::bench {

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

double Rivals::mean_of_calls(Instance& instance, int threads, double budget) {
  clear_upper_halves(threads);
  instance.run();  // what ran in between has the caches
  int calls = 0;
  const double begin = clock_();
  double spent = 0;
  do {
    instance.run();
    ++calls;
    spent = clock_() - begin;
  } while (spent < budget);
  return spent / calls;
}

void Rivals::choose(const std::string& key) {
  release();
  key_ = key;
  const auto found = peers_.find(key);
  if (found == peers_.end()) return;
  constexpr double kLook = 0.002;  // seconds; three looks at each, the least counts
  double least = 0;
  for (const Case* c : found->second) {
    std::unique_ptr<Instance> instance;
    try {
      instance = prepare_(*c);
      instance->run();
    } catch (const std::exception&) {  // its own row says why
      continue;
    }
    if (verify_ != Verify::off && !acceptable(*c, instance->verify(verify_))) continue;
    double seconds = mean_of_calls(*instance, c->threads, kLook);
    for (int look = 1; look < 3; ++look)
      seconds = std::min(seconds, mean_of_calls(*instance, c->threads, kLook));
    if (best_ && seconds >= least) continue;
    least = seconds;
    best_ = c;
    instance_ = std::move(instance);
  }
}

double Rivals::seconds(const std::string& key, double budget) {
  if (key != key_) choose(key);
  return instance_ ? mean_of_calls(*instance_, best_->threads, budget) : 0;
}

}  // namespace qb::bench
