#include <cmath>
#include <ostream>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/tools/flow/flow.h>

namespace rw {
namespace {

/// A field of a CSV line: in quotes where it needs them.
std::string field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

/// Inside a gnuplot string of single quotes, shown as it is.
std::string plain(const std::string& text) {
  std::string out;
  for (char c : text)
    out += c == '\'' ? std::string("''") : static_cast<unsigned char>(c) < 0x20 ? " " : std::string(1, c);
  return out;
}

}  // namespace

void write_flow_csv(std::ostream& out, std::span<const FlowReport> reports) {
  out << "cell,quantity,name,t,value\n";
  for (const FlowReport& r : reports) {
    const auto series = [&](const char* quantity, const std::string& name, const std::vector<double>& values,
                            std::size_t first) {
      for (std::size_t i = 0; i < values.size(); ++i)
        out << fmt::format("{},{},{},{},{:.9g}\n", field(r.cell), quantity, field(name), i + first, values[i]);
    };
    series("loss_gradient", "", r.loss_gradient, 0);
    series("carried", "", r.carried, 0);
    series("step_jacobian", "", r.step_jacobian, 1);
    for (const auto& [name, s] : r.saturation) {
      series("saturated_low", name, s.low, 1);
      series("saturated_high", name, s.high, 1);
    }
    for (const auto& [name, values] : r.contributions) series("contribution", name, values, 1);
    for (const auto& [name, sigma] : r.recurrent)
      out << fmt::format("{},singular_value,{},,{:.9g}\n", field(r.cell), field(name), sigma);
  }
  if (!out) throw Error("write_flow_csv: the stream cannot be written");
}

std::string flow_plot_script(std::span<const FlowReport> reports, const std::string& svg_path) {
  if (reports.empty()) throw Error("flow: there is nothing to draw");
  // #767676 has a contrast of 4.5 on white and of 4.6 on black; the paper stays transparent.
  std::string out = fmt::format(
      "set terminal svg size 800,500 font 'sans-serif,14'\n"
      "set output '{}'\n"
      "set title 'How much of step t is left in the last state' textcolor '#767676'\n"
      "set xlabel 'time step t' textcolor '#767676'\n"
      "set ylabel '|| dh_T / dh_t ||' noenhanced textcolor '#767676'\n"
      "set logscale y\n"
      "set format y '10^{{%T}}'\n"
      "set border 3 linecolor '#767676'\n"
      "set xtics nomirror textcolor '#767676'\n"
      "set ytics nomirror textcolor '#767676'\n"
      "set grid ytics linecolor '#767676' linewidth 0.3\n"
      "set key outside below center Left reverse horizontal maxcols 2 samplen 2 height 0.6 noenhanced "
      "textcolor '#767676'\n"
      "unset mytics\n"
      "set offsets 0, 0, graph 0.05, graph 0.05\n"
      "set datafile missing '?'\n",
      plain(svg_path));
  constexpr const char* colours[] = {"#3b82d6", "#d9730d", "#2da44e", "#a371f7", "#d6336c", "#8a8f00"};
  std::string plots;
  for (std::size_t i = 0; i < reports.size(); ++i) {
    out += fmt::format("$data{} << EOD\n", i);
    for (std::size_t t = 0; t < reports[i].carried.size(); ++t) {
      const double v = reports[i].carried[t];
      out += v > 0 && std::isfinite(v) ? fmt::format("{} {:.9g}\n", t, v) : fmt::format("{} ?\n", t);
    }
    out += "EOD\n";
    plots += fmt::format("{}$data{} using 1:2 with lines linewidth 2 linecolor '{}' title '{}: {}, x {:.3g} a step'",
                         i == 0 ? "plot " : ", ", i, colours[i % std::size(colours)], plain(reports[i].cell),
                         reports[i].verdict(), reports[i].rate());
  }
  return out + plots + "\n";
}

}  // namespace rw
