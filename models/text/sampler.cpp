#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/text/sampler.h>

namespace rw {

void check(const SamplerOptions& options) {
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature))
    throw Error(fmt::format("the temperature is {}: it must be a number of 0 or more", options.temperature));
  if (options.top_k < 0)
    throw Error(fmt::format("top-k is {}: it must be 1 or more, or 0 to choose among all", options.top_k));
  if (!(options.top_p > 0 && options.top_p <= 1))
    throw Error(fmt::format("top-p is {}: it must be above 0 and at most 1", options.top_p));
}

Index choose(std::span<const float> logits, const SamplerOptions& options, Rng& rng) {
  check(options);
  if (logits.empty()) throw Error("no logits to choose from");
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (!std::isfinite(logits[i])) throw Error(fmt::format("logit {} is {}: the model is broken", i, logits[i]));
  if (options.greedy || options.temperature == 0)
    return std::max_element(logits.begin(), logits.end()) - logits.begin();

  std::vector<Index> order(logits.size());
  std::iota(order.begin(), order.end(), Index{0});
  const auto logit = [&](Index i) { return logits[static_cast<std::size_t>(i)]; };
  auto kept = options.top_k == 0 ? order.size() : std::min(order.size(), static_cast<std::size_t>(options.top_k));
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                    [&](Index a, Index b) { return logit(a) != logit(b) ? logit(a) > logit(b) : a < b; });
  order.resize(kept);

  // The differences are at most 0, so nothing overflows, however small the temperature.
  std::vector<double> weight(kept);
  for (std::size_t i = 0; i < kept; ++i)
    weight[i] = std::exp((double{logit(order[i])} - double{logit(order[0])}) / options.temperature);
  double total = std::accumulate(weight.begin(), weight.end(), 0.0);
  if (options.top_p < 1) {
    const double enough = options.top_p * total;
    total = 0;
    for (kept = 0; kept == 0 || (total < enough && kept < weight.size()); ++kept) total += weight[kept];
  }
  double left = rng.uniform() * total;
  for (std::size_t i = 0; i < kept; ++i) {
    left -= weight[i];
    if (left < 0) return order[i];
  }
  return order[0];  // rounding left a remainder
}

}  // namespace rw
