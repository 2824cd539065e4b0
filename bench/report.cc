#include "report.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "benchmark_compat.h"
#include "figure.h"
#include "machine.h"
#include "peers/peers.h"
#include "spread.h"

namespace qb::bench {
namespace {

using Json = nlohmann::ordered_json;
constexpr int kSchemaVersion = 1;

volatile std::sig_atomic_t g_stop = 0;
void on_signal(int) { g_stop = 1; }

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string duration(double seconds) {
  char text[32];
  const int s = int(seconds + 0.5);
  std::snprintf(text, sizeof text, "%d:%02d", s / 60, s % 60);
  return text;
}

std::string format(const char* pattern, double value) {
  char text[48];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

/// 12.3 G, 456 M, ...
std::string scaled(double value, const char* unit) {
  if (value <= 0) return "-";
  return value >= 1e9 ? format(value >= 1e11 ? "%.0f G" : "%.1f G", value / 1e9) + unit
                      : format("%.0f M", value / 1e6) + unit;
}

std::string caches_text(const std::vector<CacheLevel>& caches) {
  std::string text;
  for (std::size_t i = 0; i < caches.size(); ++i) {
    if (i) text += ", ";
    text += "L" + std::to_string(i + 1) + " " + std::to_string(caches[i].bytes >> 10) + "K " +
            format("%.1f ns", caches[i].latency_ns);
  }
  return text.empty() ? "not measured" : text;
}

/// What follows `mark` in a row's label, or nothing.
std::string after(const std::string& label, const std::string& mark) {
  const std::size_t at = label.find(mark);
  return at == label.npos ? "" : label.substr(at + mark.size());
}

}  // namespace

ResultsFile::ResultsFile(std::string path, const Runner& runner)
    : path_(std::move(path)), runner_(runner) {
  std::ofstream probe(path_ + ".tmp");
  if (!probe) throw std::runtime_error("can't write '" + path_ + "': " + std::strerror(errno));
  probe.close();
  std::filesystem::remove(path_ + ".tmp");
  if (std::filesystem::is_directory(path_))
    throw std::runtime_error("can't write '" + path_ + "': it is a directory");
  json_.SetOutputStream(&text_);
  json_.SetErrorStream(&text_);
}

bool ResultsFile::ReportContext(const benchmark::BenchmarkReporter::Context& context) {
  return json_.ReportContext(context);
}

void ResultsFile::ReportRuns(const std::vector<benchmark::BenchmarkReporter::Run>& runs) {
  // A coefficient of variation of zeros is NaN, which JSON has no word for.
  std::vector<benchmark::BenchmarkReporter::Run> finite = runs;
  for (auto& run : finite)
    std::erase_if(run.counters, [](const auto& c) { return !std::isfinite(c.second.value); });
  json_.ReportRuns(finite);
  if (now() - written_at_ > 2) write(false);
}

void ResultsFile::describe(Json& context) const {
  context["schema_version"] = kSchemaVersion;
  const Options& options = runner_.options();
  context["profile"] = to_string(options.profile);
  context["verify"] = to_string(options.verify);
  context["seed"] = options.seed;
  context["threads"] = options.threads;
  context["pin"] = options.pin ? Json(*options.pin) : Json();
  for (const auto& [key, value] : machine_context()) context[key] = value;
  Json& peers = context["peers"] = Json::object();
  for (const peers::Library& library : peers::libraries())
    if (!library.version.empty()) peers[library.name] = library.version;
}

std::set<std::string> ResultsFile::resume() {
  std::set<std::string> names;
  std::ifstream file(path_);
  if (!file) return names;
  Json mine;
  describe(mine);
  try {
    const Json old = Json::parse(file);
    for (const auto& [key, value] : mine.items()) {
      const Json& was = old.at("context").at(key);
      if (was != value)
        throw std::runtime_error("'" + key + "' was " + was.dump() + " and is " + value.dump());
    }
    std::map<std::string, std::size_t> repetitions;
    for (const Json& row : old.at("benchmarks"))
      if (row.at("run_type") == "iteration" && !row.contains("error_occurred") &&
          !row.contains("skipped"))
        ++repetitions[row.at("run_name")];
    for (const Json& row : old.at("benchmarks")) {
      const std::string name = row.at("run_name");
      if (repetitions[name] < row.at("repetitions").get<std::size_t>()) continue;
      names.insert(name);
      kept_.push_back(row);
    }
  } catch (const std::exception& e) {
    throw std::runtime_error("can't resume '" + path_ + "': " + e.what());
  }
  return names;
}

void ResultsFile::write(bool complete) {
  // What the library writes when it finalises: the text so far is valid but for this.
  Json results = Json::parse(text_.str() + "\n  ]\n}\n");
  Json& context = results["context"];
  context.erase("host_name");
  context["executable"] =
      std::filesystem::path(context.value("executable", "")).filename().string();
  // Debian builds the library without NDEBUG; its timing loop is in the header, compiled here.
  context["library_build_type_note"] = "of Google Benchmark's own library, not of the timed loops";
  context["json_schema_version"] = 1;  // which 1.9 and later write themselves
  describe(context);
  context["complete"] = complete;
  context["caches_measured"] = caches_text(runner_.caches());
  context["memory_from_bytes"] = runner_.memory_from();
  context["limits"] = runner_.limits().describe();
  context["operations"] = runner_.operations();
  Json rows = kept_;
  for (Json& row : results["benchmarks"]) rows.push_back(std::move(row));
  results["benchmarks"] = std::move(rows);
  std::ofstream file(path_ + ".tmp");
  file << results.dump(1) << '\n';
  file.close();
  if (!file) throw std::runtime_error("can't write '" + path_ + ".tmp': " + std::strerror(errno));
  std::filesystem::rename(path_ + ".tmp", path_);
  written_at_ = now();
}

Reporter::Reporter(const Runner& runner, std::size_t total, ResultsFile* file,
                   std::unique_ptr<benchmark::BenchmarkReporter> display)
    : runner_(runner), total_(total), file_(file), display_(std::move(display)), begin_(now()) {}

bool Reporter::ReportContext(const Context& context) {
  if (file_ && !file_->ReportContext(context)) return false;
  if (display_) {
    display_->SetOutputStream(&GetOutputStream());
    display_->SetErrorStream(&GetErrorStream());
    return display_->ReportContext(context);
  }
  const auto machine = machine_context();
  std::printf("%s, %s; caches measured: %s\n", machine.at("cpu_name").c_str(),
              machine.at("isa_enabled").c_str(), caches_text(runner_.caches()).c_str());
  std::printf("%zu rows, each verified (%s), then timed; seed %llu%s\n", total_,
              to_string(runner_.options().verify).c_str(),
              static_cast<unsigned long long>(runner_.options().seed),
              emulated() ? "; EMULATED: timings mean nothing" : "");
  return true;
}

void Reporter::ReportRuns(const std::vector<Run>& reported) {
  const std::vector<Run> runs = with_spread(reported);
  if (file_) file_->ReportRuns(runs);
  if (display_) display_->ReportRuns(runs);
  // The library reports a row's repetitions in one call and their aggregates in another.
  if (runs.empty() || runs.front().run_type != Run::RT_Iteration) return;
  ++done_;
  std::map<std::string, std::vector<double>> values;
  std::string name, error, rival;
  for (const Run& run : runs) {
    if (run.run_type != Run::RT_Iteration) continue;
    name = run.run_name.function_name;
    if (const std::string why = compat::error_of(run); !why.empty()) error = why;
    rival = after(run.report_label, "best peer: ");
    for (const auto& [key, counter] : run.counters) values[key].push_back(counter.value);
  }
  if (!error.empty()) {
    ++failures_;
    failed_.push_back(name + ": " + error);
    if (!display_) std::printf("%s FAILED: %s\n", name.c_str(), error.c_str());
  } else if (const Case* c = runner_.find(name)) {
    auto value = [&](const char* key) {
      const auto found = values.find(key);
      return found == values.end() ? 0.0 : median(found->second);
    };
    Row row{c,
            value("bytes_per_second"),
            value("items_per_second"),
            value("ops_per_second"),
            value("roof_pct"),
            value("speedup_vs_scalar"),
            value("vs_best_peer"),
            0,
            value("over_limit") > 0,
            "exact",
            rival};
    if (values.count("nmse")) {
      row.error = value("nmse");
      row.error_name = "nmse " + format("%.1e", row.error);
      if (const double lost = value("weights_nmse"); lost > 0)
        row.error_name += ", weights " + format("%.1e", lost);
    } else if (!values.count("mismatches")) {
      row.error_name = "unverified";
    }
    rows_.push_back(row);
    if (!display_) print_line(row);
  }
  std::fflush(stdout);
  if (g_stop) {
    std::fprintf(stderr, "interrupted after %zu of %zu rows", done_, total_);
    if (file_) {
      file_->write(false);
      std::fprintf(stderr, "; they are written");
    }
    std::fprintf(stderr, "\n");
    std::_Exit(130);
  }
}

void Reporter::print_line(const Row& row) {
  const double spent = now() - begin_;
  const double left = done_ ? spent / double(done_) * double(total_ - std::min(total_, done_)) : 0;
  std::printf("[%4zu/%zu %5s left] %-58s %11s %8s %9s %s%s%s\n", done_, total_,
              duration(left).c_str(), row.c->name().c_str(),
              row.ops > 0 ? scaled(row.ops, "op/s").c_str() : scaled(row.bytes, "B/s").c_str(),
              row.percent > 0 ? format("%.0f %%", row.percent).c_str() : "-",
              row.speedup > 0 ? format("%.1fx", row.speedup).c_str() : "-", row.error_name.c_str(),
              row.vs_peer > 0 ? format(", %.2fx the best peer", row.vs_peer).c_str() : "",
              row.over ? "  OVER THE LIMIT" : "");
}

std::string Reporter::size_class(const Case& c) const {
  if (c.work.ops > 0) return c.shape;
  return served_by(c.work.working_set, runner_.caches(), runner_.memory_from());
}

void Reporter::print_table() const {
  // The fastest of our variants and of the peers per operation, format, size class and thread
  // count, in order of first row.
  struct Best {
    std::string key, size;
    const Row *own = nullptr, *peer = nullptr;
    void take(const Row& row) {
      const Row*& best = peers::as_peer(row.c->variant) ? peer : own;
      if (!best || row.items > best->items) best = &row;
    }
  };
  std::vector<Best> best;
  for (const Row& row : rows_) {
    std::string key = row.c->op + "/" + row.c->format;
    if (row.c->threads > 1) key += "/threads:" + std::to_string(row.c->threads);
    const std::string size = size_class(*row.c);
    auto same = std::find_if(best.begin(), best.end(),
                             [&](const Best& b) { return b.key == key && b.size == size; });
    if (same == best.end()) same = best.insert(same, Best{key, size});
    same->take(row);
  }
  const bool peers = !peers::all().empty();
  std::printf("\n%-28s %-24s %-14s %11s %12s %9s %9s  %s%s\n", "operation/format", "size",
              "best variant", "speed", "elements/s", "of limit", "x scalar",
              peers ? "x peer  best peer                " : "", "error");
  for (const Best& b : best) {
    const Row& r = b.own ? *b.own : *b.peer;
    std::string versus;
    if (peers) {
      char text[64];
      std::snprintf(text, sizeof text, "%6s  %-25s",
                    r.vs_peer > 0 ? format("%.2fx", r.vs_peer).c_str() : "-",
                    r.vs_peer > 0 ? r.rival.c_str()
                    : b.peer      ? std::string(b.peer->c->variant->name).c_str()
                                  : "-");
      versus = text;
    }
    std::printf("%-28s %-24s %-14s %11s %12s %9s %9s  %s%s%s\n", b.key.c_str(), b.size.c_str(),
                std::string(r.c->variant->name).c_str(),
                r.ops > 0 ? scaled(r.ops, "op/s").c_str() : scaled(r.bytes, "B/s").c_str(),
                scaled(r.items, "/s").c_str(),
                r.percent > 0 ? format("%.0f %%", r.percent).c_str() : "-",
                r.speedup > 0 ? format("%.1fx", r.speedup).c_str() : "-", versus.c_str(),
                r.error_name.c_str(), r.over ? "  OVER THE LIMIT" : "");
  }
}

void Reporter::Finalize() {
  if (display_) {
    display_->Finalize();
  } else if (!rows_.empty()) {
    print_table();
  }
  const std::size_t over =
      std::size_t(std::count_if(rows_.begin(), rows_.end(), [](const Row& r) { return r.over; }));
  if (!display_) {
    std::printf("\n%zu rows in %s, %zu failed verification, %zu over their limit\n", done_,
                duration(now() - begin_).c_str(), failures_, over);
    for (const std::string& failure : failed_) std::printf("FAILED %s\n", failure.c_str());
  }
  if (file_) file_->write(true);
}

void print_list() {
  // The dispatcher's rule: what QB_TUNING prefers, otherwise the last row that runs.
  std::map<std::string_view, const Variant*> dispatched;
  for (const Variant* v : all_variants())
    if (v->refusal().empty() &&
        !(dispatched.count(v->op) && dispatched[v->op]->name == tuning::preferred(v->op)))
      dispatched[v->op] = v;
  std::printf("%-24s %-14s %-34s %s\n", "operation", "variant", "needs", "here");
  for (const Variant* v : all_variants()) {
    const std::string why = v->refusal();
    std::printf("%-24s %-14s %-34s %s\n", std::string(v->op).c_str(), std::string(v->name).c_str(),
                (v->needs.empty() ? std::string(arch_name(v->arch)) : v->needs.to_string()).c_str(),
                !why.empty()             ? ("no: " + why).c_str()
                : dispatched[v->op] == v ? "runs, dispatched to"
                                         : "runs");
  }
  for (const peers::Peer& peer : peers::all())
    std::printf("%-24s %-24s %s\n", std::string(peer.op).c_str(), std::string(peer.name).c_str(),
                peer.note.c_str());
  std::printf("\n%-24s %s\n", "peer library", "here");
  for (const peers::Library& library : peers::libraries())
    std::printf("%-24s %s\n", library.name.c_str(),
                library.version.empty()
                    ? ("not in this build: make bench-peers, or " + library.how +
                       " and configure with -DQUANTBENCH_PEERS=ON")
                          .c_str()
                    : library.version.c_str());
}

void stop_on_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESETHAND;  // a second one ends it at once
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace qb::bench
