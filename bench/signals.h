// SPDX-License-Identifier: Apache-2.0
// Signals that end a run early, and those that must not.
#pragma once

namespace qb::bench {

/// Makes SIGINT and SIGTERM end the run after the row at hand, with the results so far written.
void stop_on_signals();

/// Which of them came; 0: none.
int stop_signal();

/// Turns signals about files into errors of the write: a file larger than ulimit -f (SIGXFSZ), a
/// reader that has gone (SIGPIPE).
void ignore_file_signals();

}  // namespace qb::bench
