#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a copy of the suite's source slow on purpose, for scripts/prove-comparison.sh.

scripts/plant-slow-down.py <source folder> [<regular expression of rows> [<share, 0.05>]]

Every benchmark whose name the expression finds runs a chain of multiplications after each call, as
long as the share of the call's own time. So a row is slow at every size, in L1 as beyond the caches,
and no kernel's code is touched.
"""

import pathlib
import re
import sys

ROWS = "convert/f16\\\\.f32/|matmul/a8\\\\.q4_0/[^/]*/m:1/"

SLOWED = r"""
// Planted: see scripts/plant-slow-down.py.
std::uint64_t chain(std::uint64_t length) {
  std::uint64_t x = length | 1;
  for (std::uint64_t i = 0; i < length; ++i) {
    x *= x;
    asm volatile("" : "+r"(x));
  }
  return x;
}

template <typename Work>
double least_seconds(double calls, Work&& work) {
  double least = 1e9;
  for (int batch = 0; batch < 15; ++batch) {
    const double begin = now();
    for (double i = 0; i < calls; ++i) work();
    least = std::min(least, (now() - begin) / calls);
  }
  return least;
}

class Slowed : public Instance {
 public:
  explicit Slowed(std::unique_ptr<Instance> inner) : inner_(std::move(inner)) {
    const double once = least_seconds(1, [this] { inner_->run(); });
    const double call = least_seconds(std::max(1.0, 2e-4 / once), [this] { inner_->run(); });
    const double step = least_seconds(1, [] { chain(1 << 16); }) / (1 << 16);
    const double calls = std::max(1.0, 2e-4 / call);
    double length = SHARE * call / step, nearest = 1e9;
    std::uint64_t chosen = std::uint64_t(length);
    Instance* self = this;
    asm volatile("" : "+r"(self));  // called as the benchmark calls it
    // Part of a short chain runs beside the next call's loads: lengthened until it costs its share.
    for (int i = 0; i < 10; ++i) {
      length_ = std::uint64_t(length);
      const double cost = least_seconds(calls, [self] { self->run(); }) / call - 1;
      if (std::abs(cost - SHARE) < nearest) {
        nearest = std::abs(cost - SHARE);
        chosen = length_;
      }
      length = std::max(1.0, length * std::clamp(SHARE / std::max(cost, 1e-3), 0.7, 1.6));
    }
    length_ = chosen;
  }
  void run() override {
    inner_->run();
    chain(length_);
  }
  VERIFY override { return inner_->verify(how); }

 private:
  std::unique_ptr<Instance> inner_;
  std::uint64_t length_ = 0;
};

std::unique_ptr<Instance> planted(const std::string& name, std::unique_ptr<Instance> instance) {
  if (!std::regex_search(name, std::regex("ROWS"))) return instance;
  return std::make_unique<Slowed>(std::move(instance));
}
"""


def main() -> None:
    source = pathlib.Path(sys.argv[1])
    rows = sys.argv[2] if len(sys.argv) > 2 else ROWS
    share = sys.argv[3] if len(sys.argv) > 3 else "0.05"
    runner = source / "bench/runner.cc"
    text = runner.read_text()
    made = "current_.instance = c.make(setup(c));"
    if text.count(made) != 1:
        sys.exit(f"{runner}: no single '{made}' to plant the slow-down at")
    header = (source / "bench/suite.h").read_text()
    verify = re.search(r"virtual ([\w:]+ verify\()([\w:]+)(?: \w+)?\) = 0;", header)
    if not verify:
        sys.exit("bench/suite.h: no Instance::verify")
    code = SLOWED.replace("SHARE", share).replace("ROWS", rows)
    code = code.replace("VERIFY", f"{verify[1]}{verify[2]} how)")
    text = text.replace(made, "current_.instance = planted(c.name(), c.make(setup(c)));")
    at = text.index("}  // namespace\n")
    includes = "#include <cmath>\n#include <cstdint>\n#include <memory>\n#include <regex>\n#include <string>\n"
    runner.write_text(includes + text[:at] + code.lstrip() + "\n" + text[at:])


if __name__ == "__main__":
    main()
