#include <algorithm>
#include <cmath>

#include <rewind/tools/gradcheck/judge.h>

namespace rw::detail {
namespace {

// Exponents of the first, largest, step of each range. Each reaches down to the next.
constexpr int starts[] = {-3, -9, -15, -20};

struct Comparison {
  bool consistent = false, narrow = false;
  double bound = 0;
  std::size_t worst = 0;
};

Comparison compare(const Question& q, const Slope& s) {
  Comparison c;
  double off = -1, largest = std::fabs(s.value);
  for (std::size_t i = 0; i < q.analytic.size(); ++i) {
    const double difference = std::fabs(q.analytic[i] - s.value);
    if (!(difference <= off)) {
      off = difference;
      c.worst = i;
    }
    largest = std::max(largest, std::fabs(q.analytic[i]));
  }
  // The analytic side rounds, too, relative to the largest terms that it adds.
  c.bound = s.bound + 16 * epsilon * std::max(largest, q.scale);
  c.consistent = off <= c.bound;
  c.narrow = c.bound <= std::max({1e-5 * largest, 1e-8 * q.scale, 1e-9 * q.reach / q.step});
  return c;
}

// The function ends here, as sqrt at 0: a value on one side only.
bool edge_of_domain(const Question& q, const Answer& best) {
  if (std::isfinite(best.bound)) return false;
  const double h = q.step * std::ldexp(1.0, starts[3]);
  return std::isfinite(q.line(h)) != std::isfinite(q.line(-h));
}

}  // namespace

Answer judge(const Question& q) {
  Answer best;
  best.bound = std::numeric_limits<double>::infinity();
  int narrow = 0;
  bool kink = false;
  const double wanted = 1e-9 * std::max(std::fabs(q.analytic[0]), 1e-3 * q.scale) + 16 * q.noise / q.step;
  for (int start : starts) {
    const Slope s = slope(q.line, q.f0, q.step * std::ldexp(1.0, start), q.noise, wanted);
    const Comparison c = compare(q, s);
    if (std::isfinite(s.jump_bound))
      kink = s.kink() && std::fabs(s.jump) > 1e-6 * std::max(q.scale, std::fabs(s.value));
    if (std::isfinite(s.bound) && c.consistent && c.narrow && !kink)
      return {.verdict = Verdict::right, .numeric = s.value, .bound = c.bound, .worst = c.worst};
    if (c.narrow && !c.consistent) ++narrow;
    if (c.bound < best.bound)
      best = {.verdict = c.consistent || !c.narrow ? Verdict::noise_limited : Verdict::wrong,
              .numeric = s.value,
              .bound = c.bound,
              .worst = c.worst};
    if (narrow == 2 && !kink) break;  // a second opinion is enough
  }
  if (kink || edge_of_domain(q, best))
    best.verdict = Verdict::kink;
  else if (best.verdict == Verdict::wrong && narrow < 2)
    best.verdict = Verdict::noise_limited;
  return best;
}

double power_of_two(double x) {
  if (!(x > 0) || !std::isfinite(x)) return 1;
  return std::clamp(std::exp2(std::round(std::log2(x))), 0x1p-200, 0x1p200);
}

double root_mean_square(std::span<const double> x) {
  if (x.empty()) return 0;
  double sum = 0;
  for (double v : x) sum += v * v;
  return std::sqrt(sum / static_cast<double>(x.size()));
}

}  // namespace rw::detail
