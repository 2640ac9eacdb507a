#include <algorithm>
#include <charconv>
#include <cmath>
#include <iostream>
#include <memory>
#include <sstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/weights/file.h>
#include <rewind/tools/cli/commands.h>
#include <rewind/tools/cli/messages.h>
#include <rewind/tools/cli/numbers.h>
#include <rewind/tools/cli/places.h>
#include <rewind/tools/flow/flow.h>
#include <rewind/tools/process.h>

namespace rw::cli {
namespace {

struct FlowCommand {
  std::vector<std::string> cells = {"rnn", "lstm", "gru"};
  Index steps = 100, in = 8, hidden = 32, batch = 4;
  double forget_bias = 1;
  std::uint64_t seed = 1;
  std::string csv = "flow.csv", svg = "flow.svg";
};

/// "rnn:1.5": a cell, and what its recurrent matrices are multiplied with at the start.
std::pair<std::string, double> parsed(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return {text, 1};
  double gain = 0;
  const char *const begin = text.data() + colon + 1, *const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, gain);
  if (error != std::errc() || stop != end || !(gain > 0 && gain < 1e6))
    throw Error("--cell " + shown(text) + ": what follows the colon is a gain above 0, as in rnn:1.5");
  return {text.substr(0, colon), gain};
}

void scale_recurrent(const AnyCell& cell, double gain) {
  bool found = false;
  for (const auto& all : {cell.parameters(), cell.buffers()})
    for (const NamedParameter& p : all) {
      if (p.parameter->name() != "R") continue;
      Array R = p.parameter->value();
      for (float& x : R.span<float>()) x *= static_cast<float>(gain);
      p.parameter->set(R);
      found = true;
    }
  if (!found) throw Error(fmt::format("--cell {}:{}: this cell has no recurrent matrix to scale", cell.name(), gain));
}

FlowReport measure(const FlowCommand& c, const std::string& text) {
  const auto [name, gain] = parsed(text);
  Rng rng(c.seed);
  AnyCell cell = make_cell(name, c.in, c.hidden, rng, {.forget_bias = c.forget_bias});
  cell.eval();  // the same step whenever it is measured
  if (gain != 1) scale_recurrent(cell, gain);
  Array x({c.steps, c.batch, c.in}, DType::f64);
  Rng input(c.seed + 1);
  for (double& v : x.span<double>()) v = input.normal();
  FlowReport report = flow(cell, x);
  report.cell = text;
  return report;
}

void draw(const FlowCommand& c, const std::vector<FlowReport>& reports) {
  const detail::ScratchFolder scratch;
  const std::string script = scratch.path() + "/flow.gnuplot", svg = scratch.path() + "/flow.svg";
  write_file(script, flow_plot_script(reports, svg));
  const int code = detail::run_program({"gnuplot", script});
  if (code != 0)
    throw Error(c.svg + " was not made: " +
                (code < 0 ? "gnuplot is not installed (apt-get install gnuplot-nox)" : "gnuplot failed") +
                "; the numbers are in " + c.csv);
  write_file(c.svg, read_file(svg));
}

double largest(const std::vector<double>& v) { return v.empty() ? 0 : *std::max_element(v.begin(), v.end()); }

void print(const std::vector<FlowReport>& reports) {
  std::size_t width = 14;
  for (const FlowReport& r : reports) width = std::max(width, r.cell.size() + 1);
  std::cout << fmt::format("{:<{}}{:>12}{:>14}{:>16}{:>14}  {}\n", "cell", width, "sigma(R)", "step's norm",
                           "||dh_T/dh_0||", "per step", "verdict");
  for (const FlowReport& r : reports) {
    double sigma = 0;
    for (const auto& [name, s] : r.recurrent) sigma = std::max(sigma, s);
    std::cout << fmt::format("{:<{}}{:>12.4g}{:>14.4g}{:>16.4g}{:>14.4g}  {}\n", r.cell, width, sigma,
                             largest(r.step_jacobian), r.carried.front(), r.rate(), r.verdict());
  }
}

void run(const FlowCommand& c) {
  need_count("--steps", c.steps, 1, 100000);
  for (const auto& [name, n] : {std::pair("--in", c.in), {"--hidden", c.hidden}, {"--batch", c.batch}})
    need_count(name, n, 1, 4096);
  if (!std::isfinite(c.forget_bias))
    throw Error(fmt::format("--forget-bias is {}: it must be a finite number", c.forget_bias));
  check_places({}, {{"--csv", c.csv, FileKind::csv}, {"--svg", c.svg, FileKind::svg}});
  ignore_broken_pipes();
  std::vector<FlowReport> reports;
  for (const std::string& cell : c.cells) reports.push_back(measure(c, cell));
  std::ostringstream csv;
  write_flow_csv(csv, reports);
  write_file(c.csv, csv.str());
  print(reports);
  draw(c, reports);
  std::cout << "in " << c.csv << " and " << c.svg << "\n" << std::flush;
}

}  // namespace

void add_flow(CLI::App& rewind) {
  CLI::App* app = rewind.add_subcommand("flow", "Measure how gradients flow through cells over time");
  const auto c = std::make_shared<FlowCommand>();
  app->add_option(
         "--cell", c->cells,
         "Cells to compare, by commas, of " + cells_with_options() + "; rnn:1.5 scales the recurrent matrix by 1.5")
      ->delimiter(',');
  app->add_option("--steps", c->steps, "Time steps")->capture_default_str();
  app->add_option("--in", c->in, "Features of the input, which is random")->capture_default_str();
  app->add_option("--hidden", c->hidden, "Features of the state")->capture_default_str();
  app->add_option("--batch", c->batch, "Sequences, over which norms are averaged")->capture_default_str();
  app->add_option("--forget-bias", c->forget_bias, "Start of an LSTM's forget bias")->capture_default_str();
  app->add_option("--seed", c->seed, "Seed of weights and input")->capture_default_str();
  app->add_option("--csv", c->csv, "Write all numbers here");
  app->add_option("--svg", c->svg, "Write the plot here (gnuplot)");
  app->callback([c] { run(*c); });
}

}  // namespace rw::cli
