#pragma once

#include <span>

#include <rewind/core/dtype.h>
#include <rewind/core/random.h>

namespace rw {

/// How the next symbol is chosen from a model's logits.
struct SamplerOptions {
  /// Logits are divided by it: below 1 makes likely symbols likelier, above 1 levels them. 0 always takes the
  /// likeliest.
  double temperature = 1;
  /// Choose among this many likeliest symbols; 0: among all.
  Index top_k = 0;
  /// Choose among the fewest likeliest symbols that have this probability together, the nucleus (Holtzman et al.,
  /// 2020); 1: among all. Of those that top_k leaves, at this temperature.
  double top_p = 1;
  /// Always the likeliest, as with temperature 0.
  bool greedy = false;
};

/// Throws Error unless the temperature is finite and not negative, top_k is not negative, and top_p is in (0, 1].
void check(const SamplerOptions& options);

/// The number of the chosen symbol: a draw from softmax(logits / temperature) restricted to the top_k likeliest (Fan,
/// Lewis and Dauphin, 2018), and of these to the nucleus. Takes one draw of `rng`, or none when greedy. Of equal logits
/// the first counts as likelier. Throws Error for options that `check` refuses, no logits, or a logit that is nan or
/// infinite.
Index choose(std::span<const float> logits, const SamplerOptions& options, Rng& rng);

}  // namespace rw
