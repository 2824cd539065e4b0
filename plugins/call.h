// SPDX-License-Identifier: Apache-2.0
// Which call of a loaded kernel is under way, in memory that a child process shares with the one
// that watches it. So a call that crashes or does not return can be named with its sizes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace qb::plugins {

/// What a kernel's sizes are called: {"run", {"m", "n0", "n1"}}. Lives as long as the program, so
/// that processes forked from one another have it at the same address.
struct Signature {
  static constexpr std::size_t kMost = 6;
  const char* function;  ///< of a product's record; "" of array operations
  const char* sizes[kMost];
};

/// The call that a thread has under way.
struct CallRecord {
  std::atomic<std::int64_t> since = 0;  ///< nanoseconds of the monotonic clock; 0: none
  std::atomic<const Signature*> signature = nullptr;
  std::atomic<std::size_t> sizes[Signature::kMost] = {};
};

/// "in run with m 1, n0 0, n1 48", "with groups 1, len 7".
std::string text_of(const CallRecord& record);

/// The records of all threads of a child process.
struct CallRecords {
  static constexpr std::size_t kThreads = 64;
  CallRecord of_thread[kThreads];
  std::atomic<std::size_t> threads = 0;

  /// The one that has been under way for the longest time; null if none is.
  const CallRecord* oldest() const;
};

/// Where this process records its calls. In a process that nobody watches they lead nowhere.
void record_calls_in(CallRecords* records);

/// This thread's record; null if nobody watches. Safe in a signal handler once the thread has made
/// a call.
CallRecord* record_of_this_thread();

std::int64_t monotonic_ns();

/// text_of() the call that this thread has left by longjmp; empty if there is none.
std::string unfinished_call();

/// The time of a call, as an object in its frame. What leaves the call by longjmp or a signal
/// leaves the record as it is.
class Call {
 public:
  template <class... Sizes>
  explicit Call(const Signature& signature, Sizes... sizes) : record_(record_of_this_thread()) {
    if (!record_) return;
    record_->signature = &signature;
    std::size_t i = 0;
    ((record_->sizes[i++] = sizes), ...);
    record_->since = monotonic_ns();
  }
  Call(const Call&) = delete;
  ~Call() {
    if (record_) record_->since = 0;
  }

 private:
  CallRecord* record_;
};

}  // namespace qb::plugins
