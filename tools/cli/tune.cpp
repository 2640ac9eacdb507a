#include <filesystem>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <rewind/autograd/compile/choices/costs.h>
#include <rewind/core/error.h>
#include <rewind/core/processor.h>
#include <rewind/models/weights/file.h>
#include <rewind/tools/cli/commands.h>
#include <rewind/tools/cli/machine_costs.h>

namespace rw::cli {
namespace {

bool is_result(const std::string& path) {
  try {
    return ir::is_costs_text(read_file(path, 1 << 16));
  } catch (const Error&) {
    return false;
  }
}

// The place for the result, made if need be; nothing of another kind is replaced.
std::string place() {
  const std::string path = ir::costs_path();
  if (path.empty()) throw Error("tune: no place to keep the result: set REWIND_TUNE_FILE, XDG_CACHE_HOME or HOME");
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) throw Error(folder.string() + ": cannot make this folder: " + error.message());
  if (std::filesystem::exists(path, error) && !std::filesystem::is_empty(path, error) && !is_result(path))
    throw Error(path + ": is no result of rewind tune, and is not replaced");
  check_writable(path);
  return path;
}

void tune(double seconds) {
  if (!(seconds >= 0 && seconds <= 60)) throw Error(fmt::format("--seconds is {}: it must be from 0 to 60", seconds));
  const std::string path = place();
  const Processor& processor = this_processor();
  const MeasuredMachine found = measure_machine(seconds);
  std::string text = fmt::format("{}\ncaches of {} and {} KB; {} rounds\n", processor.name, processor.first_cache >> 10,
                                 processor.second_cache >> 10, found.rounds);
  for (const Rate& r : found.rates) text += fmt::format("{:<54} {:>9.3g} {}\n", r.what, r.value, r.unit);
  write_file(path, ir::costs_text(found.costs, processor));
  std::cout << text << "kept in " << path << "; compiled functions read it when they begin\n" << std::flush;
  if (!std::cout) throw Error("cannot write the report: standard output is closed or full");
}

}  // namespace

void add_tune(CLI::App& rewind) {
  CLI::App* app = rewind.add_subcommand(
      "tune", "Measure this machine, so that compiled functions share their work as suits it. Results stay the same.");
  app->footer(
      "What was measured is kept in REWIND_TUNE_FILE, or rewind/tune.txt in XDG_CACHE_HOME or ~/.cache, and used by\n"
      "this version of Rewind on this processor; remove the file to be without it. explain() of a compiled function\n"
      "names it.");
  const auto seconds = std::make_shared<double>(20);
  app->add_option("--seconds", *seconds, "How long to measure, up to a minute: longer is better on a busy machine")
      ->capture_default_str();
  app->callback([seconds] { tune(*seconds); });
}

}  // namespace rw::cli
