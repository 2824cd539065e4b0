// SPDX-License-Identifier: Apache-2.0
// Other projects' kernels beside ours: which of them a row is compared with, and how.
#include <gmock/gmock.h>

#include <set>

#include "catalog.h"
#include "peers/peers.h"
#include "rival.h"

namespace qb::bench {
namespace {

using peers::Peer;

double clock_now = 0;      // seconds; calls of a Timed make it advance,
double of_reading = 0;     // and reading it takes so long
int interrupted_call = 0;  // counted down by calls; the last one takes half a second more
std::string calls;         // the letters of those who were called, if kept

/// Takes so long a call, and has that error.
class Timed : public Instance {
 public:
  Timed(double seconds, Error error, int* alive, char letter = 'p')
      : seconds_(seconds), error_(std::move(error)), alive_(alive), letter_(letter) {
    ++*alive_;
  }
  ~Timed() override { --*alive_; }
  void run() override {
    clock_now += seconds_ + (--interrupted_call == 0 ? 0.5 : 0);
    if (!keep_calls) return;
    // A call before does not always bring all data back: the next one is slow as well.
    if (calls.size() > 1 && calls[calls.size() - 2] != letter_) clock_now += after_the_other;
    calls += letter_;
  }
  Error verify(Verify) override { return error_; }

  static inline bool keep_calls = false;
  static inline double after_the_other = 0;  ///< seconds

 private:
  double seconds_;
  Error error_;
  int* alive_;
  char letter_;
};

struct RivalsTest : ::testing::Test {
  RivalsTest() { of_reading = interrupted_call = 0; }
  ~RivalsTest() override { Timed::keep_calls = false; }

  /// A case of this peer that takes so long a call.
  Case& add(const char* name, double seconds, Error error = {}, const char* shape = "n:32",
            double most_nmse = 0) {
    kept.push_back(std::make_unique<Peer>(Peer{{"op", name, Arch::any, {}, this}, "", most_nmse}));
    Case& c = make_case(kept.back().get(), shape);
    c.make = [=, this](const qb::bench::Setup&) {
      return std::make_unique<Timed>(seconds, error, &alive);
    };
    rivals.add(c);
    return c;
  }

  /// A row of ours that takes so long a call, beside its best peer.
  std::optional<Turns> compare(double seconds, const char* shape = "n:32", int threads = 1) {
    static const Variant own{"op", "avx2", Arch::any, {}, &own};
    Case& c = make_case(&own, shape);
    c.threads = threads;
    int own_alive = 0;
    Timed instance(seconds, {}, &own_alive, 'o');
    return rivals.compare(c, instance);
  }

  Case& make_case(const Variant* variant, const char* shape) {
    cases.push_back(std::make_unique<Case>());
    Case& c = *cases.back();
    c.op = "absmax";
    c.format = "f32";
    c.variant = variant;
    c.shape = shape;
    return c;
  }

  ProblemCache problems;
  int alive = 0, made = 0;
  std::vector<std::unique_ptr<Peer>> kept;
  std::vector<std::unique_ptr<Case>> cases;
  Rivals rivals{[] { return clock_now += of_reading; },
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
  const auto turns = compare(0.5e-3);
  ASSERT_TRUE(turns);
  EXPECT_EQ(turns->peer, &fast);
  EXPECT_NEAR(turns->ratio, 2, 1e-9);
  EXPECT_NEAR(turns->own_seconds, 0.5e-3, 1e-9);
  EXPECT_NEAR(turns->peer_seconds, 1e-3, 1e-9);
  EXPECT_GE(turns->rounds, 5u);
}

TEST_F(RivalsTest, NoPeerOfTheKeyIsNoRatio) {
  EXPECT_FALSE(compare(1e-3));
  add("peer:a", 1e-3);
  EXPECT_FALSE(compare(1e-3, "n:33"));
  EXPECT_FALSE(compare(1e-3, "n:32", 2));
}

TEST_F(RivalsTest, AWrongPeerIsNoRival) {
  Error wrong;
  wrong.mismatches = 1;
  add("peer:wrong", 1e-6, wrong);
  const Case& sound = add("peer:sound", 1e-3);
  EXPECT_EQ(compare(1e-3)->peer, &sound);
}

TEST_F(RivalsTest, APeerThatRefusesIsNoRival) {
  add("peer:refuses", 1e-6).make = [](const qb::bench::Setup&) -> std::unique_ptr<Instance> {
    throw std::runtime_error("not this shape");
  };
  const Case& sound = add("peer:sound", 1e-3);
  EXPECT_EQ(compare(1e-3)->peer, &sound);
}

TEST_F(RivalsTest, AnotherArithmeticIsHeldToItsError) {
  add("peer:too-far", 1e-6, off_by(1e-3), "n:32", 1e-5);
  const Case& near = add("peer:near", 2e-6, off_by(1e-6), "n:32", 1e-5);
  add("peer:claims-the-contract", 1e-6, off_by(1e-9), "n:32", 0);
  EXPECT_EQ(compare(1e-6)->peer, &near);
}

// Of calls as short as the clock's reading: a reading around every call would make a peer of the
// same speed look up to twice as slow.
TEST_F(RivalsTest, ReadingTheClockCountsForNeither) {
  of_reading = 30e-9;
  add("peer:the-same", 30e-9);
  EXPECT_NEAR(compare(30e-9)->ratio, 1, 1e-3);
  EXPECT_NEAR(compare(30e-9)->peer_seconds, 30e-9, 0.1e-9);
}

TEST_F(RivalsTest, AnInterruptionChangesNothing) {
  add("peer:the-same", 1e-3);
  compare(1e-3);
  for (int call = 1; call <= 20; ++call) {
    interrupted_call = call;
    EXPECT_NEAR(compare(1e-3)->ratio, 1, 1e-9) << call;
  }
}

TEST_F(RivalsTest, BothTakeTurnsAfterThemselvesAsOftenAsAfterTheOther) {
  add("peer:a", 1e-3);
  compare(1e-3);
  calls.clear();
  Timed::keep_calls = true;
  const auto turns = compare(1e-3);
  // First each finds out how many calls a batch is. A turn is a call in front and a batch of one.
  ASSERT_EQ(calls.substr(0, 4), "oopp");
  std::string expected;
  for (std::size_t i = 0; i < turns->rounds; ++i) expected += "ppoooopp";
  EXPECT_EQ(calls.substr(4), expected);
}

// Two kernels whose data don't fit a cache together: a call after the other's takes twice as long.
TEST_F(RivalsTest, WhoRanBeforeCountsForBothAlike) {
  add("peer:the-same", 1e-3);
  compare(1e-3);
  Timed::keep_calls = true;
  calls = "o";
  Timed::after_the_other = 1e-3;
  EXPECT_NEAR(compare(1e-3)->ratio, 1, 1e-9);
  Timed::after_the_other = 0;
}

TEST_F(RivalsTest, TheIntervalHoldsTheRatio) {
  add("peer:a", 3e-6);
  const auto turns = compare(2e-6);
  EXPECT_LE(turns->low, turns->ratio);
  EXPECT_GE(turns->high, turns->ratio);
  EXPECT_NEAR(turns->high - turns->low, 0, 1e-6);
}

TEST_F(RivalsTest, EachQuestionIsTimedAnewAndChosenOnce) {
  add("peer:a", 1e-3);
  add("peer:b", 2e-3);
  compare(1e-3);
  EXPECT_EQ(made, 2);
  EXPECT_EQ(alive, 1) << "only the best stays at hand";
  const double before = clock_now;
  compare(1e-3);
  EXPECT_NEAR(clock_now - before, 0.044, 0.004) << "what finds the batches, then five rounds";
  EXPECT_EQ(made, 2);
  compare(1e-3, "n:64");
  EXPECT_EQ(alive, 0);
}

TEST_F(RivalsTest, ACallLongerThanTheBudgetIsComparedByTwoRounds) {
  add("peer:long", 3.0);
  const auto turns = compare(1.5);
  EXPECT_NEAR(turns->ratio, 2, 1e-9);
  EXPECT_EQ(turns->rounds, 2u);
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

TEST(Peers, AReleaseIsShownWithItsMonth) {
  EXPECT_EQ(peers::dated("onednn", "3.2.0"), "3.2.0 (2023-06)");
  EXPECT_EQ(peers::dated("onednn", "3.2.0, on SYCL"), "3.2.0 (2023-06), on SYCL");
  EXPECT_EQ(peers::dated("openblas", "0.3.34.481.3 DYNAMIC"), "0.3.34.481.3 (2026-11) DYNAMIC");
  for (const char* text : {"3.2.1", "3.2", "3.2.01", "", "of an unknown version"})
    EXPECT_EQ(peers::dated("onednn", text), text);
  EXPECT_EQ(peers::dated("xnnpack", "3.2.0"), "3.2.0") << "of another library";
}

TEST(Peers, OurOwnKernelsCanStandInForThem) {
  std::vector<Peer> self;
  EXPECT_NE(peers::add_self(self), "");
  std::set<std::string_view> ops, named;
  for (const Variant* v : all_variants())
    if (v->op != "matmul_f16_f16") ops.insert(v->op);
  for (const Peer& peer : self) {
    named.insert(peer.op);
    EXPECT_NE(peers::as_peer(&peer), nullptr);
    EXPECT_EQ(bool(peer.bind), peer.op.substr(0, 7) == "matmul_") << peer.op;
  }
  EXPECT_EQ(ops, named);
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
