// SPDX-License-Identifier: Apache-2.0
#include "plugins/child.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <utility>

#include "plugins/call.h"

namespace qb::plugins {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// What child and parent share.
struct Shared {
  CallRecords calls;
  std::atomic<CallRecord*> crashed = nullptr;  ///< the call in which the signal came
  std::atomic<bool> finished = false;
  char finding[4096] = {};
};

Shared* shared_with_parent = nullptr;

constexpr int kCrashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};

/// Notes which thread crashed. The handler is gone when it returns: the signal comes again and ends
/// the process.
void on_crash(int) {
  CallRecord* const record = record_of_this_thread();
  if (record && record->since != 0) shared_with_parent->crashed = record;
}

void note_crashes() {
  static char stack[1 << 16];  // a kernel may have overrun the thread's own
  stack_t alternative = {};
  alternative.ss_sp = stack;
  alternative.ss_size = sizeof stack;
  sigaltstack(&alternative, nullptr);
  struct sigaction action = {};
  action.sa_handler = on_crash;
  action.sa_flags = int(SA_RESETHAND) | SA_ONSTACK;
  for (const int signal : kCrashes) sigaction(signal, &action, nullptr);
}

void become_harmless() {
  setpgid(0, 0);  // the terminal's signals are for the parent, which then ends this process
#if defined(__linux__)
  prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
}

[[noreturn]] void run_as_child(const std::function<std::string()>& body, Shared* shared) {
  become_harmless();
  shared_with_parent = shared;
  record_calls_in(&shared->calls);
  note_crashes();
  std::string finding;
  try {
    finding = body();
  } catch (const std::exception& e) {
    finding = *e.what() ? e.what() : "an error without a text";
  }
  finding.copy(shared->finding, sizeof shared->finding - 1);
  shared->finished = true;
  std::fflush(nullptr);
  _exit(0);
}

std::string signal_text(int signal) {
  constexpr std::pair<int, const char*> names[] = {
      {SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"},   {SIGILL, "SIGILL"},  {SIGFPE, "SIGFPE"},
      {SIGABRT, "SIGABRT"}, {SIGTRAP, "SIGTRAP"}, {SIGKILL, "SIGKILL"}};
  for (const auto& [number, name] : names)
    if (number == signal) return name;
  return "signal " + std::to_string(signal);
}

std::string after(const std::string& text, const CallRecord* call) {
  return call ? text + " " + text_of(*call) : text;
}

std::string how_it_ended(int status, const Shared& shared) {
  if (shared.finished) return shared.finding;
  if (WIFSIGNALED(status)) return after("crash: " + signal_text(WTERMSIG(status)), shared.crashed);
  return after("exit: the process ended with status " + std::to_string(WEXITSTATUS(status)),
               shared.calls.oldest());
}

/// Which limit the child has run into; empty if none.
std::string overdue(const Shared& shared, steady_clock::time_point begin,
                    const TimeLimits& limits) {
  const auto text = [](milliseconds limit) {
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%g s", double(limit.count()) / 1000);
    return "hang: no return within " + std::string(seconds);
  };
  const CallRecord* const call = shared.calls.oldest();
  const std::int64_t since = call ? call->since.load() : 0;
  if (since != 0 && monotonic_ns() - since > limits.call.count() * 1000000)
    return after(text(limits.call), call);
  if (steady_clock::now() - begin > limits.whole) return after(text(limits.whole), call);
  return {};
}

/// Waits for the child's end, or ends it. `alive` is readable once the child is gone.
std::string watch(pid_t child, int alive, const Shared& shared, const TimeLimits& limits) {
  const auto begin = steady_clock::now();
  const int tick = int(std::clamp<std::int64_t>(limits.call.count() / 20, 1, 100));
  for (;;) {
    pollfd end = {alive, POLLIN, 0};
    poll(&end, 1, tick);
    int status = 0;
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) return how_it_ended(status, shared);
    if (ended < 0 && errno != EINTR) return "lost: " + std::string(std::strerror(errno));
    const std::string late = overdue(shared, begin, limits);
    if (late.empty()) {
      if (end.revents) usleep(1000);  // it is about to end
      continue;
    }
    kill(-child, SIGKILL);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return late;
  }
}

}  // namespace

std::string in_child(const std::function<std::string()>& body, const TimeLimits& limits) {
  void* const memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  Shared* const shared = new (memory) Shared;
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("no pipe to a child process");
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    run_as_child(body, shared);
  }
  close(ends[1]);
  std::string found =
      child < 0 ? "no child process can be made" : watch(child, ends[0], *shared, limits);
  close(ends[0]);
  munmap(memory, sizeof(Shared));
  return found;
}

}  // namespace qb::plugins
