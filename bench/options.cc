#include "options.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <regex>
#include <stdexcept>

namespace qb::bench {
namespace {

/// "m:1,n:4096,k:4096[,cold]" or "n:65536"; '/' separates as well, so that a row's name can be
/// pasted.
void parse_shape(const std::string& text, Options& options) {
  std::map<std::string, std::size_t> dims;
  bool cold = false;
  auto fail = [&](const std::string& why) {
    throw CLI::ValidationError("--shape " + text,
                               why + "; expected n:ELEMENTS, or m:M,n:N,k:K[,cold]");
  };
  std::string part;
  std::stringstream parts(std::regex_replace(text, std::regex("/"), ","));
  while (std::getline(parts, part, ',')) {
    if (part == "cold") {
      cold = true;
      continue;
    }
    std::smatch match;
    if (!std::regex_match(part, match, std::regex("([mnk]):([0-9]{1,12})")))
      fail("can't read '" + part + "'");
    if (!dims.emplace(match[1], std::stoull(match[2])).second) fail("'" + part + "' comes twice");
    if (dims[match[1]] == 0) fail("'" + part + "' must be positive");
  }
  constexpr std::size_t most = std::size_t{1} << 32;  // elements: 16 GiB of f32
  if (dims.size() == 1 && dims.count("n") && !cold) {
    if (dims["n"] > most) fail("more than 2^32 elements");
    options.sizes.push_back(dims["n"]);
  } else if (dims.size() == 3) {
    for (const auto& [a, b] : {std::pair{"m", "n"}, {"m", "k"}, {"n", "k"}})
      if (dims[a] > most / dims[b]) fail("a matrix of more than 2^32 elements");
    options.matmul.push_back({dims["m"], dims["n"], dims["k"], cold});
  } else {
    fail("incomplete");
  }
}

}  // namespace

Options parse_options(int argc, char** argv) {
  Options o;
  std::vector<std::string> shapes;
  std::string profile, verify;
  int threads_allowed = 4096;
  CLI::App app(
      "quantbench: verifies, then times the kernels under quantized inference.\n"
      "All --benchmark_* flags of Google Benchmark work (--benchmark_filter, --benchmark_out, "
      "...).",
      "quantbench");
  app.add_option("--profile", profile,
                 "how much to run: quick, full, or smoke (a check, no timing claim)")
      ->check(CLI::IsMember({"quick", "full", "smoke"}));
  app.add_option(
         "--verify", verify,
         "check before timing: full (every output), quick (matmul: a sample), off; default: "
         "full with --profile=full, otherwise quick")
      ->check(CLI::IsMember({"full", "quick", "off"}));
  app.add_flag("--list", o.list, "list every operation and variant, and whether it runs here");
  app.add_option("--threads", o.threads, "thread counts, as in --threads=1,2")
      ->delimiter(',')
      ->check(CLI::Range(1, threads_allowed));
  app.add_option("--pin", o.pin, "pin to this CPU (thread t to CPU + t)")
      ->check(CLI::Range(0, std::numeric_limits<int>::max()));
  app.add_option("--seed", o.seed, "seed of the inputs")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--shape", shapes, "n:ELEMENTS or m:M,n:N,k:K[,cold]; may be repeated");
  app.add_flag("!--no-peers", o.peers,
               "leave out other projects' kernels, where they are built in");
  app.add_flag("--self-peer", o.self_peer)->group("");  // hidden: scripts/prove-peers.sh
  app.add_flag("--resume", o.resume,
               "continue an interrupted run: keep the rows that --benchmark_out's file has");
  app.allow_extras();
  try {
    app.parse(argc, argv);
    for (const std::string& shape : shapes) parse_shape(shape, o);
    for (const std::string& extra : app.remaining())
      if (extra.rfind("--benchmark_", 0) != 0 && extra.rfind("--v=", 0) != 0)
        throw CLI::ExtrasError({extra});
  } catch (const CLI::ParseError& e) {
    throw UsageError{app.exit(e) == 0 ? 0 : 2};
  }
  if (profile == "full") o.profile = Profile::full;
  if (profile == "smoke") o.profile = Profile::smoke;
  if (verify.empty()) verify = o.profile == Profile::full ? "full" : "quick";
  o.verify = verify == "full" ? Verify::full : verify == "off" ? Verify::off : Verify::quick;

  // Google Benchmark's flags, but for a JSON --benchmark_out: that file we write ourselves, beside
  // and renamed, so that an interrupted run keeps its rows.
  o.benchmark_args = {argv[0]};
  std::string out_format = "json", out;
  for (const std::string& extra : app.remaining()) {
    auto value_of = [&](const std::string& flag) -> std::optional<std::string> {
      if (extra.rfind(flag + "=", 0) != 0) return std::nullopt;
      return extra.substr(flag.size() + 1);
    };
    if (const auto v = value_of("--benchmark_out")) {
      out = *v;
      continue;
    }
    if (const auto v = value_of("--benchmark_out_format")) {
      out_format = *v;
      continue;
    }
    if (const auto v = value_of("--benchmark_filter")) o.filter = *v;
    if (const auto v = value_of("--benchmark_repetitions");
        v && !std::regex_match(*v, std::regex("[1-9][0-9]{0,5}")))
      throw std::invalid_argument("--benchmark_repetitions=" + *v + ": expected 1 to 999999");
    if (const auto v = value_of("--benchmark_format")) o.display = *v;
    o.benchmark_args.push_back(extra);
  }
  auto check_format = [](const std::string& flag, const std::string& format) {
    if (format != "json" && format != "csv" && format != "console")
      throw std::invalid_argument(flag + "=" + format + ": expected json, csv or console");
  };
  check_format("--benchmark_out_format", out_format);
  if (!o.display.empty()) check_format("--benchmark_format", o.display);
  if (out_format == "json") {
    o.out = out;
  } else if (!out.empty()) {
    // The library would leave with 1, which here means a failed verification.
    if (!std::ofstream(out, std::ios::app))
      throw std::invalid_argument("can't write '" + out + "'");
    o.benchmark_args.push_back("--benchmark_out=" + out);
    o.benchmark_args.push_back("--benchmark_out_format=" + out_format);
  }
  if (o.resume && o.out.empty()) {
    std::cerr << "--resume needs --benchmark_out=FILE (JSON): the file to continue\n";
    throw UsageError{2};
  }
  return o;
}

std::string to_string(Profile profile) {
  return profile == Profile::full ? "full" : profile == Profile::quick ? "quick" : "smoke";
}

std::string to_string(Verify verify) {
  return verify == Verify::full ? "full" : verify == Verify::quick ? "quick" : "off";
}

}  // namespace qb::bench
