#include "peak.h"

#include <cstdio>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>

#include "settings.h"

namespace rw::bench {

namespace {

// A line of /proc/self/status, in MB.
double status(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key + ":")) return std::stod(line.substr(key.size() + 1)) / 1024;
  throw std::runtime_error("/proc/self/status has no " + key);
}

}  // namespace

double peak_of(const std::function<void()>& run) {
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak is now what there is
  const double before = status("VmRSS");
  run();
  return status("VmHWM") - before;
}

double peak_in_a_process(const std::string& program, const std::string& what, const std::string& contender,
                         Index size) {
  const std::string command = fmt::format("'{}' --peak-of {} '{}' {}", program, what, contender, size);
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot start " + program);
  double out = 0;
  const int read = std::fscanf(pipe, "%lf", &out);
  if (pclose(pipe) != 0 || read != 1) throw std::runtime_error(contender + " failed in a process of its own");
  return out;
}

std::optional<int> measure_peak(int argc, char** argv) {
  if (argc != 5 || argv[1] != std::string("--peak-of")) return std::nullopt;
  use_threads(1);
  const std::string what = argv[2], contender = argv[3];
  const Index size = std::stol(argv[4]);
  fmt::print("{:.3f}\n", what == "train" ? memory_peak(contender, size) : checkpoint_peak(contender, size));
  return 0;
}

}  // namespace rw::bench
