// The most memory that a training step takes, over what the process had before: each contender in a process of its own.

#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>

#include "contests.h"
#include "peers.h"
#include "settings.h"

namespace rw::bench {

namespace {

struct Maker {
  const char* name;
  NetworkMaker make;
};
constexpr Maker makers[] = {{"Rewind eager", rewind_eager},
                            {"Rewind compiled", rewind_compiled},
                            {"libtorch nn", torch_layer},
                            {"libtorch composed", torch_composed}};

Problem problem(Index T) { return {.T = T, .N = 16, .I = 128, .H = 128}; }

// A line of /proc/self/status, in MB.
double status(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key + ":")) return std::stod(line.substr(key.size() + 1)) / 1024;
  throw std::runtime_error("/proc/self/status has no " + key);
}

double peak(const Maker& maker, Index T) {
  use_threads(1);
  for (int i = 0; i < 2; ++i) {  // loads code and starts pools
    const Problem small{.T = 2, .N = 1, .I = 4, .H = 4};
    const Inputs inputs(small);
    maker.make(small, inputs)->run();
  }
  const Problem p = problem(T);
  const Inputs inputs(p);
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak is now what there is
  const double before = status("VmRSS");
  const auto network = maker.make(p, inputs);
  for (int i = 0; i < 2; ++i) network->run();
  return status("VmHWM") - before;
}

double peak_in_a_process(const std::string& program, const std::string& contender, Index T) {
  const std::string command = fmt::format("'{}' --peak-of '{}' {}", program, contender, T);
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot start " + program);
  double out = 0;
  const int read = std::fscanf(pipe, "%lf", &out);
  if (pclose(pipe) != 0 || read != 1) throw std::runtime_error(contender + " failed in a process of its own");
  return out;
}

}  // namespace

std::optional<int> measure_peak(int argc, char** argv) {
  if (argc != 4 || std::strcmp(argv[1], "--peak-of") != 0) return std::nullopt;
  for (const Maker& m : makers)
    if (argv[2] == std::string(m.name)) {
      fmt::print("{:.3f}\n", peak(m, std::stol(argv[3])));
      return 0;
    }
  return 1;
}

std::vector<Contest> memory_contests() {
  std::vector<Contest> all;
  for (Index T : {10, 30, 100, 300, 1000, 3000}) {
    Contest c;
    c.name = fmt::format("memory/T/{}", T);
    c.note = "LSTM training step, " + problem(T).shape() + ": the most memory beyond the inputs";
    c.unit = "MB", c.size = static_cast<double>(T), c.quick = T == 10;
    c.series = "MB that an LSTM's training step takes against T (N16 I128 H128)";
    c.work = 1.5 * problem(T).work(), c.seconds = 3;
    c.make = [T](const Setting& setting) {
      Field field;
      for (const Maker& m : makers) {
        if (torch_version().empty() && std::string(m.name).starts_with("libtorch")) continue;
        Contender one{m.name, {}};
        one.measure = [program = setting.program, name = m.name, T] { return peak_in_a_process(program, name, T); };
        field.contenders.push_back(std::move(one));
      }
      return field;
    };
    all.push_back(std::move(c));
  }
  return all;
}

}  // namespace rw::bench
