// The eval REWIND_EVAL on one input: the program that GradBench's harness drives, as it drives the C++ tools.
// usage: PROGRAM FILE FUNCTION     (Rewind compiled; FUNCTION:eager and FUNCTION:plain for the others)

#include <chrono>
#include <exception>
#include <fstream>
#include <iostream>
#include <optional>

#include "evals.h"

namespace {

using namespace rw::bench::gradbench;

template <class F>
long nanoseconds(F&& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return static_cast<long>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count());
}

void say(const char* name, long time) {
  std::cout << "{\"name\": \"" << name << "\", \"nanoseconds\": " << time << "}\n";
}

Engine engine_of(std::string& function) {
  const std::size_t colon = function.find(':');
  if (colon == function.npos) return Engine::compiled;
  const std::string name = function.substr(colon + 1);
  function.resize(colon);
  if (name == "eager") return Engine::eager;
  if (name == "plain") return Engine::plain;
  throw std::runtime_error("no engine '" + name + "': eager or plain");
}

void run(const char* path, std::string function) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(std::string("cannot read ") + path);
  const json input = json::parse(file);
  const Engine engine = engine_of(function);
  const int min_runs = input.is_object() ? input.value("min_runs", 1) : 1;
  const double min_seconds = input.is_object() ? input.value("min_seconds", 0.0) : 0.0;
  std::optional<Work> work;
  const long prepare = nanoseconds([&] { work = eval(REWIND_EVAL).make(function, input, engine); });
  std::vector<long> times;
  double seconds = 0;
  while (static_cast<int>(times.size()) < min_runs || seconds < min_seconds) {
    times.push_back(nanoseconds(work->run));
    seconds += static_cast<double>(times.back()) / 1e9;
  }
  std::cout << work->output() << '\n';
  say("prepare", prepare);
  for (const long t : times) say("evaluate", t);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " FILE FUNCTION\n";
    return 2;
  }
  try {
    run(argv[1], argv[2]);
  } catch (const std::exception& e) {
    std::cerr << argv[0] << ": " << e.what() << '\n';
    return 1;
  }
  return 0;
}
