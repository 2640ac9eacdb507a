#include <algorithm>
#include <ostream>

#include <fmt/format.h>

#include <rewind/tools/gradcheck/gradcheck.h>

namespace rw {
namespace {

constexpr Verdict all_verdicts[] = {Verdict::right,         Verdict::wrong,       Verdict::kink,
                                    Verdict::noise_limited, Verdict::not_reached, Verdict::not_deterministic};

/// Columns as wide as their widest cell; numbers to the right, the first column and text to the left.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back({std::move(header), {}}); }
  /// `colour`: an ANSI code for the whole row, or empty.
  void row(std::vector<std::string> cells, std::string_view colour = {}) {
    rows_.push_back({std::move(cells), colour});
  }
  std::string str() const {
    std::vector<std::size_t> width;
    for (const Row& r : rows_)
      for (std::size_t i = 0; i < r.cells.size(); ++i) {
        if (width.size() <= i) width.push_back(0);
        width[i] = std::max(width[i], r.cells[i].size());
      }
    std::string out;
    for (const Row& r : rows_) {
      std::string line = "  ";
      for (std::size_t i = 0; i < r.cells.size(); ++i) {
        const std::string pad(width[i] - r.cells[i].size(), ' ');
        line += i < 1 ? r.cells[i] + pad : "  " + pad + r.cells[i];
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += r.colour.empty() ? line + "\n" : fmt::format("\033[{}m{}\033[0m\n", r.colour, line);
    }
    return out;
  }

 private:
  struct Row {
    std::vector<std::string> cells;
    std::string_view colour;
  };
  std::vector<Row> rows_;
};

std::string_view colour_of(Verdict v) {
  switch (v) {
    case Verdict::right: return "32";
    case Verdict::wrong: return "1;31";
    case Verdict::not_deterministic: return "35";
    default: return "33";
  }
}

std::string painted(Verdict v, bool colour) {
  return colour ? fmt::format("\033[{}m{}\033[0m", colour_of(v), name_of(v)) : std::string(name_of(v));
}

Verdict worst_of(const GradParameter& p) {
  Verdict worst = Verdict::right;
  for (Verdict v : all_verdicts)
    if (p.count(v) > 0) worst = std::max(worst, v);
  return worst;
}

std::string parameter_table(const GradReport& report, bool colour) {
  const bool orders = std::any_of(report.parameters.begin(), report.parameters.end(),
                                  [](const GradParameter& p) { return p.order > 1; });
  std::vector<std::string> header = {"parameter", "shape"};
  if (orders) header.emplace_back("order");
  for (const char* column : {"elements", "checked", "directions"}) header.emplace_back(column);
  for (Verdict v : all_verdicts)
    if (v == Verdict::right || report.count(v) > 0) header.emplace_back(name_of(v));
  for (const char* column : {"max error", "max bound"}) header.emplace_back(column);
  Table table(std::move(header));
  for (const GradParameter& p : report.parameters) {
    std::vector<std::string> cells = {p.name, p.shape.str()};
    if (orders) cells.push_back(fmt::format("{}", p.order));
    for (Index n : {p.shape.size(), p.checked, p.directions}) cells.push_back(fmt::format("{}", n));
    for (Verdict v : all_verdicts)
      if (v == Verdict::right || report.count(v) > 0) cells.push_back(fmt::format("{}", p.count(v)));
    for (double x : {p.error, p.bound}) cells.push_back(p.checked > 0 ? fmt::format("{:.1e}", x) : "-");
    if (!p.remark.empty()) cells.push_back(p.remark);
    table.row(std::move(cells), colour && worst_of(p) != Verdict::right ? colour_of(worst_of(p)) : std::string_view());
  }
  return table.str();
}

std::string element_table(const GradReport& report, bool colour) {
  Table table({"worst elements", "order", "analytic", "numeric", "bound", "verdict"});
  for (const GradElement& e : report.worst)
    table.row({e.where(), fmt::format("{}", e.order), fmt::format("{:.12g}", e.analytic),
               fmt::format("{:.12g}", e.numeric), fmt::format("{:.1e}", e.bound), std::string(name_of(e.verdict))},
              colour && e.verdict != Verdict::right ? colour_of(e.verdict) : std::string_view());
  return table.str();
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::right: return "right";
    case Verdict::noise_limited: return "noise-limited";
    case Verdict::not_reached: return "not reached";
    case Verdict::kink: return "kink";
    case Verdict::wrong: return "WRONG";
    default: return "not deterministic";
  }
}

std::string GradElement::where() const {
  if (rows > 0)
    return rows == 1 ? fmt::format("{} row {}", parameter, position[0])
                     : fmt::format("{} rows {}..{}", parameter, position[0], position[0] + rows - 1);
  std::string index;
  for (Index p : position) index += fmt::format("{}{}", index.empty() ? "" : ", ", p);
  return fmt::format("{}[{}]", parameter, index);
}

std::string GradReport::str(bool colour) const {
  Index checked = 0, along = 0;
  for (const GradParameter& p : parameters) {
    checked += p.checked;
    along += p.directions;
  }
  std::string out =
      fmt::format("gradcheck: {}  ({} elements{} checked on {} nodes, {} evaluations)\n", painted(verdict, colour),
                  checked, along > 0 ? fmt::format(" and {} random directions", along) : "", nodes, evaluations);
  if (verdict == Verdict::not_deterministic)
    out += "  two evaluations of the function differ: it draws new random numbers, or makes new weights\n";
  out += "\n" + parameter_table(*this, colour);
  if (!worst.empty()) out += "\n" + element_table(*this, colour);
  for (std::size_t i = 0; i < faults.size(); ++i) out += (i == 0 ? "\n  where: " : "  also:  ") + faults[i].text + "\n";
  if (!kinks.empty()) out += "\n  not differentiable here: " + kinks[0] + "\n";
  if (kinks.size() > 1) out += fmt::format("  and {} more\n", kinks.size() - 1);
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    if (i == 4 && cuts.size() > 5) {
      out += fmt::format("  and {} more cuts\n", cuts.size() - 4);
      break;
    }
    out += (i == 0 ? "\n" : "") + ("  cut, held constant: " + cuts[i].text + "\n");
  }
  return out;
}

std::string RoundingReport::str(bool colour) const {
  const Verdict verdict = ok() ? Verdict::right : Verdict::wrong;
  std::string out =
      fmt::format("f32 replayed in f64: {}  ({} nodes; the largest deviation is {:.2g} rounding bounds)\n",
                  painted(verdict, colour), nodes, worst);
  if (ok() && !worst_node.empty()) out += "  nearest to its bound: " + worst_node + "\n";
  constexpr std::size_t shown = 10;
  for (std::size_t i = 0; i < std::min(faults.size(), shown); ++i)
    out += (i == 0 ? "  first: " : "  then:  ") + faults[i].text + "\n";
  if (faults.size() > shown) out += fmt::format("  and {} more\n", faults.size() - shown);
  return out;
}

std::ostream& operator<<(std::ostream& out, const GradReport& report) { return out << report.str(); }

}  // namespace rw
