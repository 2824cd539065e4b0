// SPDX-License-Identifier: Apache-2.0
#include "fault.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

#include <cstdint>
#include <cstdio>

// LeakSanitizer's function, if this program is linked with it.
extern "C" {
[[gnu::weak]] void __lsan_disable();
[[gnu::weak]] void __lsan_enable();
}

namespace qb::verify {
namespace {

sigjmp_buf back;
pthread_t watched;
void* volatile address;
struct sigaction old_segv, old_bus;

void put_back() {
  sigaction(SIGSEGV, &old_segv, nullptr);
  sigaction(SIGBUS, &old_bus, nullptr);
}

void on_fault(int signal, siginfo_t* info, void*) {
  if (!pthread_equal(pthread_self(), watched)) {  // another thread's: as if nobody had watched
    put_back();
    raise(signal);
    return;
  }
  address = info->si_addr;
  siglongjmp(back, signal);
}

}  // namespace

std::string fault_of(const std::function<void()>& body) {
  watched = pthread_self();
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, &old_segv);
  sigaction(SIGBUS, &action, &old_bus);
  // Memory that the body had allocated when it faulted is lost. That is no leak to report.
  if (__lsan_disable) __lsan_disable();
  const int signal = sigsetjmp(back, 1);
  if (signal == 0) body();
  if (__lsan_enable) __lsan_enable();
  put_back();
  if (signal == 0) return {};
  char text[80];
  std::snprintf(text, sizeof text, "touches memory outside its arrays (%s at %p)",
                signal == SIGSEGV ? "SIGSEGV" : "SIGBUS", address);
  return text;
}

}  // namespace qb::verify
