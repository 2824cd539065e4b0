// SPDX-License-Identifier: Apache-2.0
#include "text.h"

#include <cstdio>

namespace qb::bench {

std::string duration(double seconds) {
  char text[32];
  const int s = int(seconds + 0.5);
  std::snprintf(text, sizeof text, "%d:%02d", s / 60, s % 60);
  return text;
}

std::string format(const char* pattern, double value) {
  char text[96];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

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

}  // namespace qb::bench
