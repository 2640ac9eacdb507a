#include "chart.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace rw::bench {

namespace {

// Readable on white and on black, as the paper stays transparent.
constexpr const char* ink = "#767676";
constexpr const char* colours[] = {"#3b82d6", "#d9730d", "#2f9e62", "#b8479e",
                                   "#c9352b", "#8a6fd1", "#8c7a2b", "#2a9aa8"};

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  return out;
}

std::string words(double x, double y, const std::string& text, const char* anchor = "start", const char* colour = ink) {
  return fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='{}' fill='{}'>{}</text>\n", x, y, anchor, colour,
                     escaped(text));
}
std::string line(double x0, double y0, double x1, double y1, const char* colour, double width) {
  return fmt::format("<line x1='{:.1f}' y1='{:.1f}' x2='{:.1f}' y2='{:.1f}' stroke='{}' stroke-width='{}'/>\n", x0, y0,
                     x1, y1, colour, width);
}
std::string dot(double x, double y, const char* colour) {
  return fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='4.5' fill='{}'/>\n", x, y, colour);
}
std::string page(double width, double height, const std::string& body) {
  return fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' width='{0:.0f}' height='{1:.0f}' viewBox='0 0 {0:.0f} {1:.0f}' "
      "font-family='sans-serif' font-size='12'>\n{2}</svg>\n",
      width, height, body);
}

/// A logarithmic axis.
struct Axis {
  double low, high, from, to;
  double at(double x) const {
    return from + (to - from) * (std::log(x) - std::log(low)) / (std::log(high) - std::log(low));
  }
};

// 1, 2 and 5 times powers of ten; powers of ten alone when there would be many.
std::vector<double> ticks(const Axis& axis) {
  std::vector<double> out;
  const bool many = axis.high / axis.low > 300;
  for (int p = -9; p <= 9; ++p)
    for (double m : {1.0, 2.0, 5.0}) {
      const double x = m * std::pow(10.0, p);
      if (x >= axis.low * 0.999 && x <= axis.high * 1.001 && (!many || m == 1)) out.push_back(x);
    }
  return out;
}

class Names {
 public:
  const char* colour(const std::string& name) {
    auto at = std::find(names_.begin(), names_.end(), name);
    if (at == names_.end()) at = names_.insert(at, name);
    return colours[static_cast<std::size_t>(at - names_.begin()) % std::size(colours)];
  }
  std::string legend(double x, double y) {
    std::string out;
    for (const std::string& name : names_) {
      out += dot(x, y - 4, colour(name)) + words(x + 9, y, name);
      y += 17;
    }
    return out;
  }
  std::size_t size() const { return names_.size(); }

 private:
  std::vector<std::string> names_;
};

const Row* ours(const Outcome& o) {
  const Row* found = nullptr;
  for (const Row& row : o.rows)
    if (row.name.starts_with("Rewind") && (found == nullptr || row.name == "Rewind compiled")) found = &row;
  return found;
}

struct Mark {
  std::string contender;
  double times;
};
struct Line {
  std::string label;
  std::vector<Mark> marks;
};

std::vector<Line> lines(const std::vector<Outcome>& outcomes) {
  std::vector<Line> out;
  for (const Outcome& o : outcomes) {
    const Row* base = ours(o);
    if (base == nullptr || o.rows.size() < 2 || o.contest->size > 0 || o.contest->pairs) continue;
    Line l{fmt::format("{} [{}]", o.contest->name, o.threads), {}};
    for (const Row& row : o.rows)
      if (!row.yardstick) l.marks.push_back({row.name, row.median() / base->median()});
    out.push_back(std::move(l));
  }
  return out;
}

std::string panel(const Series& s, double left, double top, double width, double height) {
  Axis x{1e300, 0, left + 60, left + width - 20}, y{1e300, 0, top + height - 40, top + 30};
  for (const Curve& c : s.curves) {
    for (double v : c.x) x.low = std::min(x.low, v), x.high = std::max(x.high, v);
    for (double v : c.y) y.low = std::min(y.low, v), y.high = std::max(y.high, v);
  }
  std::string out = words(left + 60, top + 16, fmt::format("{}, {}", s.name, s.unit));
  for (double v : ticks(x))
    out +=
        line(x.at(v), y.from, x.at(v), y.to, ink, 0.2) + words(x.at(v), y.from + 16, fmt::format("{:g}", v), "middle");
  for (double v : ticks(y))
    out +=
        line(x.from, y.at(v), x.to, y.at(v), ink, 0.2) + words(x.from - 6, y.at(v) + 4, fmt::format("{:g}", v), "end");
  double legend = y.to + 14;
  std::size_t colour = 0;
  for (const Curve& c : s.curves) {
    const char* paint = colours[colour++ % std::size(colours)];
    std::string points;
    for (std::size_t i = 0; i < c.x.size(); ++i) {
      points += fmt::format("{:.1f},{:.1f} ", x.at(c.x[i]), y.at(c.y[i]));
      out += dot(x.at(c.x[i]), y.at(c.y[i]), paint);
    }
    out += fmt::format("<polyline points='{}' fill='none' stroke='{}' stroke-width='1.5'/>\n", points, paint);
    out += words(x.from + 8, legend,
                 c.x.size() < 2 ? c.name : fmt::format("{}: slope {:.2f}", c.name, fitted_slope(c.x, c.y)), "start",
                 paint);
    legend += 15;
  }
  return out;
}

}  // namespace

std::string ratio_chart(const std::vector<Outcome>& outcomes) {
  const std::vector<Line> all = lines(outcomes);
  if (all.empty()) return {};
  double low = 0.5, high = 2;
  std::size_t longest = 0;
  for (const Line& l : all) {
    longest = std::max(longest, l.label.size());
    for (const Mark& m : l.marks) low = std::min(low, m.times / 1.1), high = std::max(high, m.times * 1.1);
  }
  constexpr double row = 20, top = 48;
  const double left = 7.0 * static_cast<double>(longest) + 20, bottom = top + row * static_cast<double>(all.size());
  const Axis axis{low, high, left, left + 460};
  std::string body = words(left, 16, "time as a multiple of Rewind's (compiled where it is); right of 1 is slower");
  for (double v : ticks(axis))
    body += line(axis.at(v), top - 8, axis.at(v), bottom, ink, v == 1 ? 1.5 : 0.3) +
            words(axis.at(v), top - 13, fmt::format("{:g}", v), "middle");
  Names names;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double y = top + row * (static_cast<double>(i) + 0.5);
    body += words(left - 10, y + 4, all[i].label, "end") + line(left, y, axis.to, y, ink, 0.2);
    for (const Mark& m : all[i].marks) body += dot(axis.at(m.times), y, names.colour(m.contender));
  }
  body += names.legend(axis.to + 20, top + 10);
  return page(axis.to + 260, std::max(bottom + 12, top + 20 + 17.0 * static_cast<double>(names.size())), body);
}

std::string growth_chart(const std::vector<Series>& series) {
  if (series.empty()) return {};
  constexpr double width = 460, height = 330;
  std::string body;
  for (std::size_t i = 0; i < series.size(); ++i)
    body += panel(series[i], width * static_cast<double>(i % 2), height * static_cast<double>(i / 2), width, height);
  return page(2 * width, height * static_cast<double>((series.size() + 1) / 2), body);
}

}  // namespace rw::bench
