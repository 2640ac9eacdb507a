#include "report.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace rw::bench {

namespace {

bool is_ours(const Row& row) { return row.name.starts_with("Rewind"); }

bool same_pair(const Row& a, const Row& b) {
  return a.name.substr(0, a.name.rfind(',')) == b.name.substr(0, b.name.rfind(','));
}

// What a row's time is compared with: Rewind's; of pairs, its own with one thread, the other way round.
std::string ratios_to_ours(const Outcome& o, std::size_t i) {
  const Row& row = o.rows[i];
  if (o.comparison->pairs)
    return i == 0 || !same_pair(o.rows[i - 1], row) ? ""
                                                    : fmt::format("{:>10.3f}", row.median() / o.rows[i - 1].median());
  std::string out;
  for (const Row& ours : o.rows)
    if (is_ours(ours)) out += fmt::format("{:>10.3f}", ours.median() / row.median());
  return out;
}

std::string ratio_heads(const Outcome& o) {
  if (o.comparison->pairs) return "to its own with 1 thread";
  std::string out;
  for (const Row& row : o.rows)
    if (is_ours(row)) out += fmt::format("{:>10}", row.name.substr(std::min<std::size_t>(7, row.name.size())) + "/");
  return out;
}

}  // namespace

std::string number(double x) {
  if (x == 0) return "0";
  const int digits = std::clamp(3 - static_cast<int>(std::floor(std::log10(std::abs(x)))), 0, 6);
  return fmt::format("{:.{}f}", x, digits);
}

std::string spread(const Outcome& o, const Row& row) {
  const double a = o.shown(row, row.least()), b = o.shown(row, row.most());
  return number(std::min(a, b)) + " to " + number(std::max(a, b));
}

void print(const Outcome& o) {
  fmt::print("{} [{} thread{}]{}{}\n", o.comparison->name, o.threads, o.threads == 1 ? "" : "s",
             o.comparison->note.empty() ? "" : ": ", o.comparison->note);
  if (!o.error.empty()) fmt::print("  NOT RUN: {}\n", o.error);
  if (!o.rows.empty())
    fmt::print("  {:<42} {:>12}  {:>21}  {}\n", "", o.comparison->unit, "least to most", ratio_heads(o));
  for (std::size_t i = 0; i < o.rows.size(); ++i) {
    const Row& row = o.rows[i];
    fmt::print("  {:<42} {:>12}  {:>21}  {}\n", row.name + (row.yardstick ? " (yardstick)" : ""),
               number(o.shown(row, row.median())), spread(o, row), ratios_to_ours(o, i));
  }
  for (const std::string& why : o.absent) fmt::print("  not run: {}\n", why);
  for (const std::string& text : o.profiles) fmt::print("{}\n", text);
  std::fflush(stdout);
}

double fitted_slope(const std::vector<double>& x, const std::vector<double>& y) {
  double mean_x = 0, mean_y = 0, xy = 0, xx = 0;
  const auto n = static_cast<double>(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) mean_x += std::log(x[i]) / n, mean_y += std::log(y[i]) / n;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double dx = std::log(x[i]) - mean_x;
    xy += dx * (std::log(y[i]) - mean_y);
    xx += dx * dx;
  }
  return xy / xx;
}

double upper_slope(const Curve& c) {
  const auto half = static_cast<std::ptrdiff_t>(c.x.size() / 2);
  return fitted_slope({c.x.begin() + half, c.x.end()}, {c.y.begin() + half, c.y.end()});
}

std::vector<Series> series(const std::vector<Outcome>& outcomes) {
  std::vector<Series> out;
  for (const Outcome& o : outcomes) {
    if (o.comparison->size <= 0) continue;
    const std::string name =
        fmt::format("{} [{}]", o.comparison->name.substr(0, o.comparison->name.rfind('/')), o.threads);
    auto at = std::find_if(out.begin(), out.end(), [&](const Series& s) { return s.name == name; });
    if (at == out.end()) at = out.insert(out.end(), Series{name, o.comparison->unit, o.comparison->series, {}});
    for (const Row& row : o.rows) {
      auto curve =
          std::find_if(at->curves.begin(), at->curves.end(), [&](const Curve& c) { return c.name == row.name; });
      if (curve == at->curves.end()) curve = at->curves.insert(curve, Curve{row.name, {}, {}});
      curve->x.push_back(o.comparison->size);
      curve->y.push_back(o.shown(row, row.median()));
    }
  }
  return out;
}

void print(const Series& s) {
  const auto is_curve = [](const Curve& c) { return c.x.size() > 2; };
  if (std::none_of(s.curves.begin(), s.curves.end(), is_curve)) return;
  fmt::print("{}: slope of the fitted power law, over all sizes and over the upper half\n", s.title());
  for (const Curve& c : s.curves)
    if (is_curve(c)) fmt::print("  {:<34} {:.2f}  {:.2f}\n", c.name, fitted_slope(c.x, c.y), upper_slope(c));
}

}  // namespace rw::bench
