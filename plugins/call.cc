// SPDX-License-Identifier: Apache-2.0
#include "plugins/call.h"

#include <chrono>

namespace qb::plugins {
namespace {

CallRecords* all_records = nullptr;
thread_local CallRecord* my_record = nullptr;

}  // namespace

std::int64_t monotonic_ns() {
  using std::chrono::nanoseconds;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<nanoseconds>(now).count();
}

std::string text_of(const CallRecord& record) {
  const Signature* const signature = record.signature;
  if (!signature) return {};
  std::string text = *signature->function ? "in " + std::string(signature->function) + " " : "";
  text += "with ";
  for (std::size_t i = 0; i < Signature::kMost && signature->sizes[i]; ++i)
    text +=
        (i ? ", " : "") + std::string(signature->sizes[i]) + " " + std::to_string(record.sizes[i]);
  return text;
}

const CallRecord* CallRecords::oldest() const {
  const CallRecord* found = nullptr;
  for (const CallRecord& record : of_thread)
    if (record.since != 0 && (!found || record.since < found->since)) found = &record;
  return found;
}

void record_calls_in(CallRecords* records) {
  all_records = records;
  my_record = nullptr;
}

CallRecord* record_of_this_thread() {
  if (!my_record && all_records)
    my_record = &all_records->of_thread[all_records->threads++ % CallRecords::kThreads];
  return my_record;
}

std::string unfinished_call() {
  return my_record && my_record->since != 0 ? text_of(*my_record) : std::string();
}

}  // namespace qb::plugins
