// The most memory that a training step takes, over what the process had before: each contender in a process of its own.

#include <algorithm>
#include <iterator>
#include <stdexcept>

#include <fmt/format.h>

#include "comparisons.h"
#include "peak.h"
#include "peers.h"

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

Problem problem_of(Index T) { return {.T = T, .N = 16, .I = 128, .H = 128}; }

}  // namespace

double memory_peak(const std::string& contender, Index T) {
  const auto* maker =
      std::find_if(std::begin(makers), std::end(makers), [&](const Maker& m) { return m.name == contender; });
  if (maker == std::end(makers)) throw std::runtime_error("there is no contender " + contender);
  for (int i = 0; i < 2; ++i) {  // loads code and starts pools
    const Problem small{.T = 2, .N = 1, .I = 4, .H = 4};
    const Inputs inputs(small);
    maker->make(small, inputs)->run();
  }
  const Problem p = problem_of(T);
  const Inputs inputs(p);
  std::unique_ptr<Network> network;
  return peak_of([&] {
    network = maker->make(p, inputs);
    for (int i = 0; i < 2; ++i) network->run();
  });
}

std::vector<Comparison> memory_comparisons() {
  std::vector<Comparison> all;
  for (Index T : {10, 30, 100, 300, 1000, 3000}) {
    Comparison c;
    c.name = fmt::format("memory/T/{}", T);
    c.note = "LSTM training step, " + problem_of(T).shape() + ": the most memory beyond the inputs";
    c.unit = "MB", c.size = static_cast<double>(T), c.quick = T == 10;
    c.series = "MB that an LSTM's training step takes against T (N16 I128 H128)";
    c.work = 1.5 * problem_of(T).work(), c.seconds = 3;
    c.make = [T](const Setting& setting) {
      Field field;
      for (const Maker& m : makers) {
        if (torch_version().empty() && std::string(m.name).starts_with("libtorch")) continue;
        Contender one{m.name, {}};
        one.measure = [program = setting.program, name = m.name, T] {
          return peak_in_a_process(program, "train", name, T);
        };
        field.contenders.push_back(std::move(one));
      }
      return field;
    };
    all.push_back(std::move(c));
  }
  return all;
}

}  // namespace rw::bench
