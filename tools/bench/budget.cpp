#include "budget.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <string>

namespace rw::bench {

namespace {

// The beginnings of names.
constexpr const char* first[] = {"train/lstm", "train+dx/lstm", "overhead",  "gradbench", "char-rnn",   "threads",
                                 "memory",     "growth",        "bf16/lstm", "step",      "infer/lstm", "fastrnns",
                                 "gemm",       "elementwise",   "train/",    "train+dx/"};

std::size_t rank(const ComparisonRun& e) {
  const auto* at = std::find_if(std::begin(first), std::end(first),
                                [&](const char* beginning) { return e.comparison->name.starts_with(beginning); });
  const auto place = static_cast<std::size_t>(at - std::begin(first));
  return e.threads == 1 || e.comparison->only_all_cores ? place : place + std::size(first) + 1;
}

}  // namespace

void sort_by_importance(std::vector<ComparisonRun>& entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const ComparisonRun& a, const ComparisonRun& b) { return rank(a) < rank(b); });
}

double least_seconds(const ComparisonRun& e) {
  constexpr double contenders = 5, runs = 5;  // the first, another, three rounds
  return e.comparison->seconds + contenders * runs * e.comparison->work / (e.threads == 1 ? 1.3e11 : 2e11);
}

double share(std::span<const double> least, double left) {
  const double over = std::max(0.0, left - std::accumulate(least.begin(), least.end(), 0.0));
  if (least[0] > (over > 0 ? left : left / 4)) return 0;
  if (over == 0) return least[0];
  return std::max(left / static_cast<double>(least.size()), least[0] + std::min(3 * least[0], over / 4));
}

}  // namespace rw::bench
