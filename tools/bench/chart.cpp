#include "chart.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace rw::bench {

namespace {

// Readable on white and on black, as the paper stays transparent.
constexpr const char* ink = "#767676";
constexpr const char* colours[] = {"#3b82d6", "#2f9e62", "#d9730d", "#b8479e", "#c9352b", "#8a6fd1",
                                   "#8c7a2b", "#2a9aa8", "#e0a100", "#6b8f2f", "#a65a3a", "#5c6f9c"};

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  return out;
}

std::string words(double x, double y, const std::string& text, const char* anchor = "start", const char* colour = ink,
                  int size = 12) {
  return fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='{}' fill='{}' font-size='{}'>{}</text>\n", x, y, anchor,
                     colour, size, escaped(text));
}
std::string line(double x0, double y0, double x1, double y1, const char* colour, double width) {
  return fmt::format("<line x1='{:.1f}' y1='{:.1f}' x2='{:.1f}' y2='{:.1f}' stroke='{}' stroke-width='{}'/>\n", x0, y0,
                     x1, y1, colour, width);
}
std::string dashed(double x0, double y0, double x1, double y1) {
  return fmt::format("<line x1='{:.1f}' y1='{:.1f}' x2='{:.1f}' y2='{:.1f}' stroke='{}' stroke-dasharray='5 4'/>\n", x0,
                     y0, x1, y1, ink);
}
std::string dot(double x, double y, const char* colour) {
  return fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='3.5' fill='{}'/>\n", x, y, colour);
}
std::string bar(double x0, double x1, double y, double height, const char* colour, bool faint = false) {
  return fmt::format("<rect x='{:.1f}' y='{:.1f}' width='{:.1f}' height='{:.1f}' fill='{}' opacity='{}'/>\n",
                     std::min(x0, x1), y, std::max(std::abs(x1 - x0), 1.0), height, colour, faint ? 0.45 : 1);
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
  // In columns below one another, `across` pixels wide. Gives where it ends.
  double legend(double x, double y, double across, std::string& out) {
    constexpr double width = 240;
    const auto columns = std::max<std::size_t>(1, static_cast<std::size_t>(across / width));
    for (std::size_t i = 0; i < names_.size(); ++i) {
      const double left = x + width * static_cast<double>(i % columns), at = y + 17 * static_cast<double>(i / columns);
      out += bar(left, left + 12, at - 9, 9, colour(names_[i])) + words(left + 17, at, names_[i]);
    }
    return y + 17 * static_cast<double>((names_.size() + columns - 1) / columns);
  }

 private:
  std::vector<std::string> names_;
};

const Row* ours(const Outcome& o) {
  const Row* found = nullptr;
  for (const Row& row : o.rows)
    if (row.name.starts_with("Rewind") && (found == nullptr || row.name.starts_with("Rewind compiled"))) found = &row;
  return found;
}

struct Mark {
  std::string contender;
  double times;
  bool yardstick;
};
struct Line {
  std::string group, label;
  std::vector<Mark> marks;
};

std::vector<Line> lines(const std::vector<Outcome>& outcomes) {
  std::vector<Line> out;
  for (const Outcome& o : outcomes) {
    const Row* base = ours(o);
    if (base == nullptr || o.rows.size() < 2 || o.comparison->size > 0 || o.comparison->pairs) continue;
    const std::string& name = o.comparison->name;
    const std::size_t slash = name.find('/');
    Line l{fmt::format("{}, {} thread{}{}{}", name.substr(0, slash), o.threads, o.threads == 1 ? "" : "s",
                       o.comparison->note.empty() ? "" : ": ", o.comparison->note),
           name.substr(slash + 1),
           {}};
    for (const Row& row : o.rows)
      if (&row != base) l.marks.push_back({row.name, row.median() / base->median(), row.yardstick});
    out.push_back(std::move(l));
  }
  // Groups stay together, in the order of their first.
  std::vector<std::string> groups;
  for (const Line& l : out)
    if (std::find(groups.begin(), groups.end(), l.group) == groups.end()) groups.push_back(l.group);
  std::stable_sort(out.begin(), out.end(), [&](const Line& a, const Line& b) {
    return std::find(groups.begin(), groups.end(), a.group) < std::find(groups.begin(), groups.end(), b.group);
  });
  return out;
}

// Grid, and a dashed line of slope 1 through the first curve's last point.
std::string grid(const Axis& x, const Axis& y, const Series& s) {
  std::string out;
  for (double v : ticks(x))
    out +=
        line(x.at(v), y.from, x.at(v), y.to, ink, 0.2) + words(x.at(v), y.from + 16, fmt::format("{:g}", v), "middle");
  for (double v : ticks(y))
    out +=
        line(x.from, y.at(v), x.to, y.at(v), ink, 0.2) + words(x.from - 6, y.at(v) + 4, fmt::format("{:g}", v), "end");
  if (s.curves.empty() || s.curves[0].x.size() < 2) return out;
  const double end_x = s.curves[0].x.back(), end_y = s.curves[0].y.back();
  const double start_x = std::max(x.low, end_x * y.low / end_y);
  return out + dashed(x.at(start_x), y.at(end_y * start_x / end_x), x.at(end_x), y.at(end_y));
}

constexpr double panel_width = 560, plot_height = 270;

double panel_height(const Series& s) { return plot_height + 66 + 16 * static_cast<double>((s.curves.size() + 1) / 2); }

std::string panel(const Series& s, double left, double top) {
  Axis x{1e300, 0, left + 60, left + panel_width - 20}, y{1e300, 0, top + plot_height, top + 30};
  for (const Curve& c : s.curves) {
    for (double v : c.x) x.low = std::min(x.low, v), x.high = std::max(x.high, v);
    for (double v : c.y) y.low = std::min(y.low, v / 1.1), y.high = std::max(y.high, v * 1.1);
  }
  std::string out = words(left + 60, top + 16, s.title(), "start", ink, 13) + grid(x, y, s);
  for (std::size_t i = 0; i < s.curves.size(); ++i) {
    const Curve& c = s.curves[i];
    const char* paint = colours[i % std::size(colours)];
    std::string points;
    for (std::size_t k = 0; k < c.x.size(); ++k) {
      points += fmt::format("{:.1f},{:.1f} ", x.at(c.x[k]), y.at(c.y[k]));
      out += dot(x.at(c.x[k]), y.at(c.y[k]), paint);
    }
    out += fmt::format("<polyline points='{}' fill='none' stroke='{}' stroke-width='1.5'/>\n", points, paint);
    out += words(
        x.from + 280 * static_cast<double>(i % 2), y.from + 38 + 16 * static_cast<double>(i / 2),
        c.x.size() < 3 ? c.name : fmt::format("{}: {:.2f}, {:.2f}", c.name, fitted_slope(c.x, c.y), upper_slope(c)),
        "start", paint);
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
    for (const Mark& m : l.marks) low = std::min(low, m.times / 1.1), high = std::max(high, m.times * 1.6);
  }
  constexpr double pitch = 11;
  const double left = std::max(210.0, 7.0 * static_cast<double>(longest) + 20), right = left + 520;
  Names names;
  for (const Line& l : all)
    for (const Mark& m : l.marks) names.colour(m.contender);
  std::string head =
      words(10, 18, "Time as a multiple of Rewind's (compiled, where it is compiled); right of 1 is slower than Rewind",
            "start", ink, 13);
  const double top = names.legend(10, 42, right - 10, head) + 20;
  const Axis axis{low, high, left, right};
  std::string body, group;
  double y = top;
  for (const Line& l : all) {
    if (l.group != group) body += words(10, y + 18, group = l.group, "start", ink, 13), y += 26;
    const double height = pitch * static_cast<double>(l.marks.size());
    body += words(left - 10, y + height / 2 + 4, l.label, "end");
    for (const Mark& m : l.marks) {
      const double end = axis.at(m.times), number_at = std::max(end, axis.at(1)) + 4;
      body += bar(axis.at(1), end, y + 1, pitch - 2, names.colour(m.contender), m.yardstick) +
              words(number_at, y + pitch - 2,
                    m.times < 10 ? fmt::format("{:.2f}", m.times) : fmt::format("{:.0f}", m.times), "start", ink, 9);
      y += pitch;
    }
    y += 7;
  }
  for (double v : ticks(axis))
    head += line(axis.at(v), top, axis.at(v), y, ink, v == 1 ? 1.5 : 0.3) +
            words(axis.at(v), top - 5, fmt::format("{:g}", v), "middle");
  return page(right + 20, y + 10, head + body);
}

std::string growth_chart(const std::vector<Series>& all) {
  std::vector<Series> series;
  for (const Series& s : all)
    if (!s.curves.empty()) series.push_back(s);
  if (series.empty()) return {};
  std::string body = words(60, 18, "Slopes over all sizes, and over the upper half; dashed: slope 1", "start", ink, 13);
  double y = 30;
  for (std::size_t i = 0; i < series.size(); i += 2) {
    double height = 0;
    for (std::size_t k = i; k < std::min(i + 2, series.size()); ++k) {
      body += panel(series[k], panel_width * static_cast<double>(k - i), y);
      height = std::max(height, panel_height(series[k]));
    }
    y += height;
  }
  return page(2 * panel_width, y, body);
}

}  // namespace rw::bench
