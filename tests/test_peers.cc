// Other projects' kernels beside ours: which of them a row is compared with, and how.
#include <gmock/gmock.h>

#include "peers/peers.h"
#include "rival.h"

namespace qb::bench {
namespace {

using peers::Peer;

double clock_now = 0;  // seconds; only calls of a Timed make it advance

/// Takes so long a call, and has that error.
class Timed : public Instance {
 public:
  Timed(double seconds, Error error, int* alive)
      : seconds_(seconds), error_(std::move(error)), alive_(alive) {
    ++*alive_;
  }
  ~Timed() override { --*alive_; }
  void run() override { clock_now += seconds_; }
  Error verify(Verify) override { return error_; }

 private:
  double seconds_;
  Error error_;
  int* alive_;
};

struct RivalsTest : ::testing::Test {
  /// A case of this peer that takes so long a call.
  Case& add(const char* name, double seconds, Error error = {}, const char* shape = "n:32",
            double most_nmse = 0) {
    kept.push_back(std::make_unique<Peer>(Peer{{"op", name, Arch::any, {}, this}, "", most_nmse}));
    cases.push_back(std::make_unique<Case>());
    Case& c = *cases.back();
    c.op = "absmax";
    c.format = "f32";
    c.variant = kept.back().get();
    c.shape = shape;
    c.make = [=, this](const qb::bench::Setup&) {
      return std::make_unique<Timed>(seconds, error, &alive);
    };
    rivals.add(c);
    return c;
  }

  ProblemCache problems;
  int alive = 0, made = 0;
  std::vector<std::unique_ptr<Peer>> kept;
  std::vector<std::unique_ptr<Case>> cases;
  Rivals rivals{[] { return clock_now; },
                [this](const Case& c) {
                  ++made;
                  return c.make({problems, 1, c.threads, 1 << 20});
                },
                Verify::quick};
};

Error off_by(double nmse) {
  Error error;
  error.mismatches = 3;
  error.nmse = nmse;
  return error;
}

TEST_F(RivalsTest, TheFastestPeerOfTheKeyIsTheOne) {
  add("peer:slow", 4e-3);
  const Case& fast = add("peer:fast", 1e-3);
  add("peer:other-shape", 1e-6, {}, "n:64");
  EXPECT_NEAR(rivals.seconds("absmax/f32/n:32", 0.01), 1e-3, 1e-9);
  EXPECT_EQ(rivals.best(), &fast);
}

TEST_F(RivalsTest, NoPeerOfTheKeyIsNoTime) {
  EXPECT_EQ(rivals.seconds("absmax/f32/n:32", 0.01), 0);
  add("peer:a", 1e-3);
  EXPECT_EQ(rivals.seconds("absmax/f32/n:33", 0.01), 0);
  EXPECT_EQ(rivals.seconds("absmax/f32/n:32/threads:2", 0.01), 0);
  EXPECT_EQ(rivals.best(), nullptr);
}

TEST_F(RivalsTest, AWrongPeerIsNoRival) {
  Error wrong;
  wrong.mismatches = 1;
  add("peer:wrong", 1e-6, wrong);
  const Case& sound = add("peer:sound", 1e-3);
  EXPECT_NEAR(rivals.seconds("absmax/f32/n:32", 0.01), 1e-3, 1e-9);
  EXPECT_EQ(rivals.best(), &sound);
}

TEST_F(RivalsTest, APeerThatRefusesIsNoRival) {
  add("peer:refuses", 1e-6).make = [](const qb::bench::Setup&) -> std::unique_ptr<Instance> {
    throw std::runtime_error("not this shape");
  };
  const Case& sound = add("peer:sound", 1e-3);
  EXPECT_NEAR(rivals.seconds("absmax/f32/n:32", 0.01), 1e-3, 1e-9);
  EXPECT_EQ(rivals.best(), &sound);
}

TEST_F(RivalsTest, AnotherArithmeticIsHeldToItsError) {
  add("peer:too-far", 1e-6, off_by(1e-3), "n:32", 1e-5);
  add("peer:near", 2e-6, off_by(1e-6), "n:32", 1e-5);
  add("peer:claims-the-contract", 1e-6, off_by(1e-9), "n:32", 0);
  EXPECT_NEAR(rivals.seconds("absmax/f32/n:32", 0.01), 2e-6, 1e-12);
  EXPECT_EQ(rivals.best()->variant->name, "peer:near");
}

TEST_F(RivalsTest, EachQuestionIsTimedAnewAndChosenOnce) {
  add("peer:a", 1e-3);
  add("peer:b", 2e-3);
  rivals.seconds("absmax/f32/n:32", 0.01);
  EXPECT_EQ(made, 2);
  EXPECT_EQ(alive, 1) << "only the best stays at hand";
  const double before = clock_now;
  rivals.seconds("absmax/f32/n:32", 0.05);
  EXPECT_NEAR(clock_now - before, 0.051, 0.0011) << "one call to warm up, then the budget";
  EXPECT_EQ(made, 2);
  rivals.seconds("absmax/f32/n:64", 0.05);
  EXPECT_EQ(alive, 0);
}

TEST_F(RivalsTest, ACallLongerThanTheBudgetIsOneCall) {
  add("peer:long", 3.0);
  EXPECT_NEAR(rivals.seconds("absmax/f32/n:32", 0.01), 3.0, 1e-9);
}

TEST(Peers, OurVariantsAreNone) {
  const Variant own{"op", "avx2", Arch::any, {}, nullptr};
  const Peer peer{{"op", "peer:x", Arch::any, {}, nullptr}, "note", 0};
  EXPECT_EQ(peers::as_peer(&own), nullptr);
  EXPECT_EQ(peers::as_peer(&peer), &peer);
  Case c;
  c.variant = &own;
  EXPECT_FALSE(acceptable(c, off_by(0)));
  EXPECT_TRUE(acceptable(c, {}));
  EXPECT_EQ(c.judged_by(), own.needs);
  c.variant = &peer;
  EXPECT_EQ(c.judged_by(), isa::detected());
}

// Whatever this build has, possibly nothing.
TEST(Peers, EveryPeerIsNamedAndSaysWhatItDoes) {
  EXPECT_FALSE(peers::libraries().empty());
  for (const peers::Library& library : peers::libraries()) EXPECT_NE(library.how, "");
  for (const Peer& peer : peers::all()) {
    EXPECT_EQ(peers::as_peer(&peer), &peer);
    EXPECT_NE(peer.impl, nullptr) << peer.name;
    EXPECT_NE(peer.note, "") << peer.name;
    EXPECT_EQ(peer.name.find('/'), std::string_view::npos) << peer.name;
    EXPECT_THAT(peers::of(peer.op), ::testing::Contains(&peer));
  }
  EXPECT_TRUE(peers::of("no_such_op").empty());
  for (const Variant* v : peers::with_peers({}, "matmul_a8_q4_0"))
    EXPECT_NE(peers::as_peer(v), nullptr);
}

}  // namespace
}  // namespace qb::bench
