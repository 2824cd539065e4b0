// SPDX-License-Identifier: Apache-2.0
#include "signals.h"

#include <csignal>

namespace qb::bench {
namespace {

volatile std::sig_atomic_t g_stop = 0;
void on_signal(int signal) { g_stop = signal; }

}  // namespace

int stop_signal() { return g_stop; }

void stop_on_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESETHAND;  // a second one ends it at once
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void ignore_file_signals() {
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
}

}  // namespace qb::bench
