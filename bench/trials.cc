// SPDX-License-Identifier: Apache-2.0
#include "trials.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <cstdio>
#include <stdexcept>

#include "conformance.h"
#include "fault.h"
#include "plugins/call.h"
#include "plugins/child.h"
#include "plugins/plugins.h"
#include "rival.h"

namespace qb::bench {
namespace {

/// The sizes of a row's shape, "n:65536" or "m:1/n:4096/k:4096/cold"; packing has no m.
Plan plan_of(const std::string& shape, int threads) {
  Plan plan;
  plan.threads = {threads};
  plan.every_group = true;
  plan.peers = false;
  Plan::Shape s = {1, 0, 0};
  s.cold = shape.ends_with("/cold");
  if (std::sscanf(shape.c_str(), "m:%zu/n:%zu/k:%zu", &s.m, &s.n, &s.k) == 3 ||
      std::sscanf(shape.c_str(), "n:%zu/k:%zu", &s.n, &s.k) == 2)
    plan.matmul = {s};
  else if (std::sscanf(shape.c_str(), "n:%zu", &s.n) == 1)
    plan.sizes = {s.n};
  return plan;
}

/// What a kernel did that left its call unfinished, with the call.
std::string with_call(const std::string& finding) {
  const std::string call = plugins::unfinished_call();
  return finding.empty() || call.empty() ? finding : finding + " " + call;
}

std::string try_variant(const std::string& op_and_name) {
  for (const plugins::Loaded& v : plugins::all()) {
    if (std::string(v.op) + "/" + std::string(v.name) != op_and_name) continue;
    plugins::trace(v);
    return with_call(verify::conformance(v));
  }
  throw std::logic_error("no kernel '" + op_and_name + "' was loaded");
}

std::string try_row(const Case& c, const Setup& setup, Verify verify) {
  plugins::trace(*plugins::as_loaded(c.variant));
  put_guard_pages_behind_bytes();
  std::unique_ptr<Instance> instance;
  const std::string fault = verify::fault_of([&] {
    instance = c.make(setup);
    instance->run();
  });
  if (!fault.empty()) return with_call(fault);
  if (verify == Verify::off) return {};
  const Error error = instance->verify(verify);
  if (acceptable(c, error)) return {};
  return std::to_string(error.mismatches) + " mismatches: " + error.first;
}

}  // namespace

struct Trials::Request {
  bool of_row;
  char name[512];   ///< of a row, or operation/variant
  char shape[128];  ///< of a row, as the rest
  int threads;
  std::size_t cache_bytes;
};

struct Trials::Reply {
  char text[4096];
};

namespace {

void copy_text(const std::string& text, char* to, std::size_t size) {
  to[text.copy(to, size - 1)] = '\0';
}

/// Sends or receives a whole record; false if the other side is gone.
template <class Record>
bool send_record(int socket, const Record& record) {
  ssize_t sent;
  do sent = send(socket, &record, sizeof record, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == ssize_t(sizeof record);
}
template <class Record>
bool receive_record(int socket, Record& record) {
  ssize_t received;
  do received = recv(socket, &record, sizeof record, MSG_WAITALL);
  while (received < 0 && errno == EINTR);
  return received == ssize_t(sizeof record);
}

}  // namespace

std::string Trials::answer(const Request& request, const Options& options) {
  if (!request.of_row) return try_variant(request.name);
  const Suite suite = every_case(plan_of(request.shape, request.threads));
  ProblemCache problems;
  for (const Case& c : suite)
    if (c.name() == request.name)
      return try_row(c, {problems, options.seed, request.threads, request.cache_bytes},
                     options.verify);
  throw std::logic_error(std::string("no row '") + request.name + "'");
}

void Trials::serve(int socket, const Options& options) {
  setpgid(0, 0);  // an interrupt is for the process that times
#if defined(__linux__)
  prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  plugins::TimeLimits limits;
  limits.call = std::chrono::milliseconds(std::int64_t(options.kernels_limit * 1000));
  Request request;
  while (receive_record(socket, request)) {
    Reply reply;
    copy_text(plugins::in_child([&] { return answer(request, options); }, limits), reply.text,
              sizeof reply.text);
    if (!send_record(socket, reply)) break;
  }
  _exit(0);
}

Trials::Trials(const Options& options) {
  if (plugins::all().empty()) return;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    throw std::runtime_error("--kernels: no socket to a process that tries them");
  std::fflush(nullptr);
  server_ = fork();
  if (server_ < 0) throw std::runtime_error("--kernels: no process that tries them can be made");
  if (server_ == 0) {
    close(ends[0]);
    serve(ends[1], options);
  }
  close(ends[1]);
  socket_ = ends[0];
}

Trials::~Trials() {
  if (socket_ < 0) return;
  close(socket_);
  waitpid(server_, nullptr, 0);
}

std::string Trials::ask(const Request& request) const {
  Reply reply;
  if (!send_record(socket_, request) || !receive_record(socket_, reply))
    throw std::runtime_error("the process that tries loaded kernels is gone");
  return reply.text;
}

std::string Trials::conformance(const Variant& v) const {
  Request request = {};
  copy_text(std::string(v.op) + "/" + std::string(v.name), request.name, sizeof request.name);
  return ask(request);
}

std::string Trials::row(const Case& c, std::size_t cache_bytes) const {
  Request request = {true, {}, {}, c.threads, cache_bytes};
  copy_text(c.name(), request.name, sizeof request.name);
  copy_text(c.shape, request.shape, sizeof request.shape);
  return ask(request);
}

}  // namespace qb::bench
