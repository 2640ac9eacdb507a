#include "report.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace rw::bench {

namespace {

bool is_ours(const Row& row) { return row.name.starts_with("Rewind"); }

// What a row's time is compared with: Rewind's; of pairs, its own with one thread, the other way round.
std::string ratios(const Outcome& o, std::size_t i) {
  const Row& row = o.rows[i];
  if (o.contest->pairs) return i % 2 == 0 ? "" : fmt::format("{:>10.3f}", row.median() / o.rows[i - 1].median());
  std::string out;
  for (const Row& ours : o.rows)
    if (is_ours(ours)) out += fmt::format("{:>10.3f}", ours.median() / row.median());
  return out;
}

std::string ratio_heads(const Outcome& o) {
  if (o.contest->pairs) return "to its own with 1 thread";
  std::string out;
  for (const Row& row : o.rows)
    if (is_ours(row)) out += fmt::format("{:>10}", row.name.substr(std::min<std::size_t>(7, row.name.size())) + "/");
  return out;
}

std::string number(double x) {
  if (x == 0) return "0";
  const int digits = std::clamp(3 - static_cast<int>(std::floor(std::log10(std::abs(x)))), 0, 6);
  return fmt::format("{:.{}f}", x, digits);
}

std::string spread(const Outcome& o, const Row& row) {
  const double a = o.shown(row, row.least()), b = o.shown(row, row.most());
  return number(std::min(a, b)) + " to " + number(std::max(a, b));
}

std::string utc() {
  const std::time_t t = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&t));
  return text;
}

nlohmann::json json_of(const Outcome& o) {
  nlohmann::json out{{"name", o.contest->name}, {"threads", o.threads}, {"unit", o.contest->unit}};
  if (!o.contest->note.empty()) out["note"] = o.contest->note;
  if (!o.error.empty()) out["error"] = o.error;
  if (!o.absent.empty()) out["absent"] = o.absent;
  for (const Row& row : o.rows) {
    nlohmann::json r{{"contender", row.name}, {"median", o.shown(row, row.median())}, {"rounds", row.rounds}};
    r["least"] = o.shown(row, row.least());
    r["most"] = o.shown(row, row.most());
    if (row.yardstick) r["yardstick"] = true;
    out["rows"].push_back(std::move(r));
  }
  return out;
}

std::string group_of(const Outcome& o) { return o.contest->name.substr(0, o.contest->name.find('/')); }

std::vector<std::string> contenders_of(const std::vector<const Outcome*>& group) {
  std::vector<std::string> out;
  for (const Outcome* o : group)
    for (const Row& row : o->rows)
      if (std::find(out.begin(), out.end(), row.name) == out.end()) out.push_back(row.name);
  return out;
}

// Rewind's best over the best peer's, in time or what was measured.
std::string best_ratio(const Outcome& o) {
  double ours = 0, peers = 0;
  for (const Row& row : o.rows) {
    double& best = is_ours(row) ? ours : peers;
    if (!row.yardstick && (best == 0 || row.median() < best)) best = row.median();
  }
  return ours == 0 || peers == 0 ? "" : fmt::format("{:.3f}", ours / peers);
}

std::string markdown_table(const std::vector<const Outcome*>& group) {
  const std::vector<std::string> names = contenders_of(group);
  std::string out = fmt::format("### {}, {}\n\n| contest [threads] |", group_of(*group[0]), group[0]->contest->unit);
  for (const std::string& name : names) out += " " + name + " |";
  out += " Rewind / best peer |\n|---|---|";
  for (std::size_t i = 0; i < names.size(); ++i) out += "---|";
  for (const Outcome* o : group) {
    out += fmt::format("\n| {} [{}] |", o->contest->name.substr(group_of(*o).size() + 1), o->threads);
    for (const std::string& name : names) {
      const auto row = std::find_if(o->rows.begin(), o->rows.end(), [&](const Row& r) { return r.name == name; });
      out += row == o->rows.end() ? " |"
                                  : fmt::format(" {} ({}) |", number(o->shown(*row, row->median())), spread(*o, *row));
    }
    out += " " + best_ratio(*o) + " |";
  }
  return out + "\n\n";
}

}  // namespace

std::string markdown(const std::vector<Outcome>& outcomes) {
  std::vector<std::vector<const Outcome*>> groups;
  for (const Outcome& o : outcomes) {
    if (o.rows.empty()) continue;
    auto group =
        std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return group_of(*g[0]) == group_of(o); });
    if (group == groups.end()) group = groups.insert(group, std::vector<const Outcome*>());
    group->push_back(&o);
  }
  std::string out;
  for (const auto& group : groups) out += markdown_table(group);
  return out;
}

void print(const Outcome& o) {
  fmt::print("{} [{} thread{}]{}{}\n", o.contest->name, o.threads, o.threads == 1 ? "" : "s",
             o.contest->note.empty() ? "" : ": ", o.contest->note);
  if (!o.error.empty()) fmt::print("  NOT RUN: {}\n", o.error);
  if (!o.rows.empty())
    fmt::print("  {:<42} {:>12}  {:>21}  {}\n", "", o.contest->unit, "least to most", ratio_heads(o));
  for (std::size_t i = 0; i < o.rows.size(); ++i) {
    const Row& row = o.rows[i];
    fmt::print("  {:<42} {:>12}  {:>21}  {}\n", row.name + (row.yardstick ? " (yardstick)" : ""),
               number(o.shown(row, row.median())), spread(o, row), ratios(o, i));
  }
  for (const std::string& why : o.absent) fmt::print("  not run: {}\n", why);
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

std::vector<Series> series(const std::vector<Outcome>& outcomes) {
  std::vector<Series> out;
  for (const Outcome& o : outcomes) {
    if (o.contest->size <= 0) continue;
    const std::string name = fmt::format("{} [{}]", o.contest->name.substr(0, o.contest->name.rfind('/')), o.threads);
    auto at = std::find_if(out.begin(), out.end(), [&](const Series& s) { return s.name == name; });
    if (at == out.end()) at = out.insert(out.end(), Series{name, o.contest->unit, {}});
    for (const Row& row : o.rows) {
      auto curve =
          std::find_if(at->curves.begin(), at->curves.end(), [&](const Curve& c) { return c.name == row.name; });
      if (curve == at->curves.end()) curve = at->curves.insert(curve, Curve{row.name, {}, {}});
      curve->x.push_back(o.contest->size);
      curve->y.push_back(o.shown(row, row.median()));
    }
  }
  return out;
}

void print(const Series& s) {
  const auto is_curve = [](const Curve& c) { return c.x.size() > 1; };
  if (std::none_of(s.curves.begin(), s.curves.end(), is_curve)) return;
  fmt::print("{}, {}: slope of the fitted power law, over all sizes and over the upper half\n", s.name, s.unit);
  for (const Curve& c : s.curves) {
    if (!is_curve(c)) continue;
    const auto half = static_cast<std::ptrdiff_t>(c.x.size() / 2);
    const std::vector<double> x(c.x.begin() + half, c.x.end()), y(c.y.begin() + half, c.y.end());
    fmt::print("  {:<34} {:.2f}  {:.2f}\n", c.name, fitted_slope(c.x, c.y), x.size() < 2 ? 0 : fitted_slope(x, y));
  }
}

std::string json(const std::vector<Outcome>& outcomes, const Machine& m, const std::string& commit) {
  nlohmann::json out{{"date", utc()},          {"commit", commit}, {"processor", m.processor}, {"cores", m.cores},
                     {"compiler", m.compiler}, {"onednn", m.dnnl}, {"torch", m.torch},         {"blas", m.blas}};
  out["contests"] = nlohmann::json::array();
  for (const Outcome& o : outcomes) out["contests"].push_back(json_of(o));
  return out.dump(1);
}

}  // namespace rw::bench
