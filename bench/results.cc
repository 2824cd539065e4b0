// SPDX-License-Identifier: Apache-2.0
#include "results.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <stdexcept>

#include "catalog.h"
#include "core/printable.h"
#include "core/read_file.h"
#include "machine.h"
#include "peers/peers.h"
#include "plugins/plugins.h"
#include "text.h"

namespace qb::bench {
namespace {

using Json = nlohmann::ordered_json;
using Run = benchmark::BenchmarkReporter::Run;

constexpr int kSchemaVersion = 1;
/// A full profile beside every peer is some 10 MiB.
constexpr std::size_t kMostBytes = std::size_t{64} << 20;

/// JSON has no word for NaN, which the coefficient of variation of zeros is, nor for infinity.
std::vector<Run> finite(std::vector<Run> runs) {
  for (Run& run : runs) {
    std::erase_if(run.counters, [](const auto& c) { return !std::isfinite(c.second.value); });
    if (!std::isfinite(run.real_accumulated_time)) run.real_accumulated_time = 0;
    if (!std::isfinite(run.cpu_accumulated_time)) run.cpu_accumulated_time = 0;
  }
  return runs;
}

/// Of each op/format the variant that is dispatched to, of products that of each class of rows:
/// {"absmax/f32": "avx2", "matmul/a8.s8": {"one": "avx2", "few": "avx2", "many": "avx2"}}. Packing
/// is not dispatched.
Json dispatched_variants(const std::map<std::string, std::string>& operations) {
  Json named = Json::object();
  for (const auto& [name, symbol] : operations) {
    if (name.starts_with("repack/")) continue;
    for (const Rows rows : row_classes(symbol)) {
      const Variant* const v = dispatched(symbol, rows);
      if (!v) continue;
      if (rows == Rows::any)
        named[name] = v->name;
      else
        named[name][std::string(rows_name(rows))] = v->name;
    }
  }
  return named;
}

/// The least m of each class of rows.
Json row_classes_begin() {
  Json begin = Json::object();
  for (const Rows rows : kRowClasses) begin[std::string(rows_name(rows))] = first_of(rows);
  return begin;
}

/// Quoted where RFC 4180 wants it.
std::string csv_field(const Json& value) {
  std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

/// The columns of Google Benchmark's own CSV first, then every counter that any row has.
std::vector<std::string> csv_columns(const Json& rows) {
  std::vector<std::string> columns = {
      "name",           "iterations",       "real_time",        "cpu_time",
      "time_unit",      "bytes_per_second", "items_per_second", "label",
      "error_occurred", "error_message"};
  const std::set<std::string> not_counters = {
      "family_index", "per_family_instance_index", "run_name",       "run_type",      "repetitions",
      "threads",      "repetition_index",          "aggregate_name", "aggregate_unit"};
  std::set<std::string> counters;
  for (const Json& row : rows)
    for (const auto& [key, value] : row.items())
      if (!not_counters.count(key) &&
          std::find(columns.begin(), columns.end(), key) == columns.end())
        counters.insert(key);
  columns.insert(columns.end(), counters.begin(), counters.end());
  return columns;
}

}  // namespace

Results::Results(const Runner& runner) : runner_(runner) {
  json_.SetOutputStream(&pending_);
  json_.SetErrorStream(&pending_);
}

void Results::add_context(const benchmark::BenchmarkReporter::Context& context) {
  console_context_.emplace(context);
  pending_.str("");
  json_.ReportContext(context);
  context_ = Json::parse(pending_.str() + "]}").at("context");
  context_.erase("host_name");
  context_["executable"] =
      std::filesystem::path(context_.value("executable", "")).filename().string();
  // Debian builds the library without NDEBUG; its timing loop is in the header, compiled here.
  context_["library_build_type_note"] = "of Google Benchmark's own library, not of the timed loops";
  context_["json_schema_version"] = 1;  // which 1.9 and later write themselves
}

void Results::add(const std::vector<Run>& runs) {
  pending_.str("");
  json_.ReportRuns(finite(runs));
  // The library separates this row from the one before by a comma at the front.
  const std::string text = pending_.str();
  const std::size_t begin = std::min(text.find('{'), text.size());
  for (Json& row : Json::parse("[" + text.substr(begin) + "]")) rows_.push_back(std::move(row));
  if (runner_.options().out_format == Format::console) console_runs_.push_back(runs);
}

void Results::describe(Json& context) const {
  const Options& options = runner_.options();
  context["schema_version"] = kSchemaVersion;
  context["profile"] = to_string(options.profile);
  context["verify"] = to_string(options.verify);
  context["seed"] = options.seed;
  context["threads"] = options.threads;
  context["pin"] = options.pin ? Json(*options.pin) : Json();
  context["repetitions"] = options.repetitions;
  context["dispatched_repetitions"] = options.dispatched_repetitions;
  context["min_time"] = options.min_time;
  context["min_warmup_time"] = options.min_warmup_time;
  context["random_interleaving"] = options.random_interleaving;
  for (const auto& [key, value] : machine_context()) context[key] = printable(value);
  Json& loaded = context["loaded_kernels"] = Json::object();
  for (const plugins::Loaded& v : plugins::all()) {
    Json& file = loaded[printable(v.file)];
    file["fingerprint"] = v.fingerprint;
    file["variants"].push_back(std::string(v.op) + "/" + std::string(v.name));
  }
  Json& peers = context["peers"] = Json::object();
  for (const peers::Library& library : peers::libraries())
    if (!library.version.empty()) peers[library.name] = printable(library.version);
}

std::set<std::string> Results::resume(const std::string& path) {
  std::set<std::string> names;
  if (!std::filesystem::exists(path)) return names;
  Json mine;
  describe(mine);
  try {
    const Json old = Json::parse(read_regular_file(path, kMostBytes));
    for (const auto& [key, value] : mine.items()) {
      const Json& context = old.at("context");
      const std::string was = context.contains(key) ? context[key].dump() : "not recorded";
      if (was != value.dump())
        throw std::runtime_error("'" + key + "' was " + was + " and is " + value.dump());
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
      rows_.push_back(row);
    }
    limits_before_ = old.at("context").at("limits");
  } catch (const std::exception& e) {
    throw std::runtime_error("can't resume '" + path + "': " + e.what());
  }
  return names;
}

std::string Results::text(Format format, bool aggregates_only, bool complete) const {
  switch (format) {
    case Format::csv:
      return csv_text(aggregates_only);
    case Format::console:
      return console_text(aggregates_only);
    default:
      return json_text(aggregates_only, complete);
  }
}

Json Results::rows(bool aggregates_only) const {
  if (!aggregates_only) return rows_;
  std::set<std::string> aggregated;
  for (const Json& row : rows_)
    if (row.at("run_type") == "aggregate") aggregated.insert(row.at("run_name"));
  Json kept = Json::array();
  for (const Json& row : rows_)
    if (row.at("run_type") == "aggregate" || !aggregated.count(row.at("run_name")))
      kept.push_back(row);
  return kept;
}

std::string Results::json_text(bool aggregates_only, bool complete) const {
  Json document;
  Json& context = document["context"] = context_;
  describe(context);
  context["complete"] = complete;
  context["caches_measured"] = caches_text(runner_.caches());
  context["memory_from_bytes"] = runner_.memory_from();
  Json& limits = context["limits"] = limits_before_;
  limits.update(runner_.limits().describe());
  const auto operations = runner_.operations();
  context["operations"] = operations;
  context["dispatched"] = dispatched_variants(operations);
  context["row_classes"] = row_classes_begin();
  document["benchmarks"] = rows(aggregates_only);
  // Names that are not UTF-8 must not cost the results.
  return document.dump(1, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::string Results::csv_text(bool aggregates_only) const {
  const Json kept = rows(aggregates_only);
  const std::vector<std::string> columns = csv_columns(kept);
  std::string text;
  for (const std::string& column : columns) text += (text.empty() ? "" : ",") + csv_field(column);
  text += '\n';
  for (const Json& row : kept) {
    std::string line;
    for (const std::string& column : columns) {
      if (&column != &columns.front()) line += ',';
      if (row.contains(column)) line += csv_field(row[column]);
    }
    text += line + '\n';
  }
  return text;
}

std::string Results::console_text(bool aggregates_only) const {
  std::ostringstream text;
  benchmark::ConsoleReporter console(benchmark::ConsoleReporter::OO_None);
  console.SetOutputStream(&text);
  console.SetErrorStream(&text);
  if (console_context_) console.ReportContext(*console_context_);
  for (std::size_t i = 0; i < console_runs_.size(); ++i) {
    const auto& runs = console_runs_[i];
    const bool iterations = runs.front().run_type == Run::RT_Iteration;
    const bool aggregates_follow =
        i + 1 < console_runs_.size() && console_runs_[i + 1].front().run_type == Run::RT_Aggregate;
    if (!(aggregates_only && iterations && aggregates_follow)) console.ReportRuns(runs);
  }
  return text.str();
}

}  // namespace qb::bench
