#include <algorithm>
#include <array>
#include <cmath>

#include <rewind/tools/gradcheck/slope.h>

namespace rw::detail {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Neville's tableau for d(h) = limit + c1 h^p1 + c2 h^p2 + ..., p = first, first + 2, ..., with halved steps.
class Tableau {
 public:
  explicit Tableau(int first) : first_(first) {}

  // Adds d(h), which is known up to `error`.
  void add(double d, double error) {
    Row next{};
    next[0] = {.value = d, .change = infinity, .noise = error};
    for (int j = 1; j <= rows_; ++j) next[at(j)] = combine(next[at(j - 1)], last_[at(j - 1)], first_ + 2 * (j - 1));
    for (int j = 1; j <= rows_; ++j) consider(next[at(j)]);
    last_ = next;
    ++rows_;
  }
  double value() const { return value_; }
  double bound() const { return bound_; }

 private:
  struct Entry {
    double value = 0, change = infinity, noise = infinity;
  };
  using Row = std::array<Entry, slope_rows>;
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }

  static Entry combine(const Entry& fine, const Entry& coarse, int power) {
    const double ratio = std::ldexp(1.0, power), step = (fine.value - coarse.value) / (ratio - 1);
    Entry e;
    e.value = fine.value + step;
    e.change = std::max(std::fabs(e.value - fine.value), std::fabs(e.value - coarse.value));
    // Two columns may agree by accident: what they were made of must have been near, too.
    if (std::isfinite(coarse.change)) e.change = std::max(e.change, coarse.change / 64);
    e.noise = (ratio * fine.noise + coarse.noise) / (ratio - 1);
    return e;
  }
  void consider(const Entry& e) {
    const double bound = 2 * e.change + e.noise;
    if (rows_ < 2 || !(bound < bound_)) return;  // three step sizes at least
    bound_ = bound;
    value_ = e.value;
  }

  int first_;
  int rows_ = 0;
  Row last_{};
  double value_ = 0, bound_ = infinity;
};

// The size of the noise in seven values at equal distances, from their fifth and sixth differences: smooth parts are
// gone from these.
double table_noise(std::array<double, 7> y) {
  constexpr double gamma5 = 120.0 * 120 / 3628800, gamma6 = 720.0 * 720 / 479001600;  // (k!)^2 / (2k)!
  double noise = 0;
  for (std::size_t k = 1; k <= 6; ++k) {
    for (std::size_t i = 0; i + k < y.size(); ++i) y[i] = y[i + 1] - y[i];
    if (k == 5) noise = std::sqrt(gamma5 * (y[0] * y[0] + y[1] * y[1]) / 2);
    if (k == 6) noise = std::max(noise, std::sqrt(gamma6) * std::fabs(y[0]));
  }
  return noise;
}

double noise_around(const Line& f, double t, double spacing, double& largest) {
  std::array<double, 7> y{};
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] = f(t + spacing * static_cast<double>(i + 1));
    if (!std::isfinite(y[i])) return infinity;
    largest = std::max(largest, std::fabs(y[i]));
  }
  return table_noise(y);
}

}  // namespace

bool Slope::kink() const { return std::isfinite(jump_bound) && std::fabs(jump) > 2 * jump_bound; }

Slope slope(const Line& f, double f0, double h, double noise, double wanted) {
  Tableau centre(2), jump(1);
  Slope out;
  for (int row = 0; row < slope_rows; ++row, h /= 2) {
    const double right = f(h), left = f(-h);
    if (!std::isfinite(right) || !std::isfinite(left)) break;  // smaller steps need a new start
    const double error = noise + epsilon * std::max(std::fabs(left), std::fabs(right));
    centre.add((right - left) / (2 * h), error / h);
    jump.add(((right - f0) + (left - f0)) / h, 4 * error / h);
    out = {centre.value(), centre.bound(), jump.value(), jump.bound()};
    if (out.bound <= wanted && !out.kink()) break;
  }
  return out;
}

double noise_of(const Line& f, double h) {
  // On both sides, for the function may be flat on one; beside 0, where a kink may be; and at the far ends, where the
  // terms are larger.
  const double spacing = h * 0x1p-22;
  double largest = 0, noise = 0;
  for (double t : {0.0, h})
    for (double side : {1.0, -1.0}) {
      const double here = noise_around(f, side * t, side * spacing, largest);
      if (std::isfinite(here)) noise = std::max(noise, here);
    }
  return 4 * noise + 2 * epsilon * largest;
}

}  // namespace rw::detail
