// Every op and its gradient in both kinds of header, so that none is forgotten.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/program/graph.h>
#include <rewind/ops/ops.h>

#include "../../paths.h"
#include "exported.h"
#include "op_functions.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index T = 6;

/// A function of x at each step; `sequence_of`: of its mean over all.
RecordedStep step_of(const std::function<Tensor(Tensor)>& f, DType real) {
  return record_step(
      {{width}}, real, [](Tape& t) { return t.constant(0, {1}); }, [&](Tensor x, Tensor&) { return f(x); });
}

Array numbers(Index steps) {
  Rng rng(3);
  return uniform(rng, {steps, width}, -1, 1);
}

/// Functions as both kinds of header, beside the tape.
class Functions {
 public:
  void add(const std::string& name, const std::function<Tensor(Tensor)>& f, DType real) {
    const std::size_t step = exports_.add(step_of(f, real)), sequence = exports_.add(sequence_of(f, real));
    all_.push_back({name, f, real, step, sequence});
  }
  void check() {
    exports_.load();
    const Array x = numbers(T);
    for (const Trial& trial : all_) {
      const DType real = trial.real;
      CAPTURE(trial.name);
      const auto on_tape = [&](DType type, const auto& of) {
        Tape tape(type);
        return trial.f(of(tape.variable(x))).array();
      };
      const auto first = [](Tensor all) { return reshape(slice(all, 0, 0, 1), {width}); };
      const auto mean_of = [](Tensor all) { return mean(all, 0); };
      const Array steps = exports_.run(trial.step, x);
      near(slice_of(steps), on_tape(real, first), on_tape(DType::f64, first), real);
      near(exports_.run_sequence(trial.sequence, x).first, on_tape(real, mean_of), on_tape(DType::f64, mean_of), real);
    }
  }

 private:
  struct Trial {
    std::string name;
    std::function<Tensor(Tensor)> f;
    DType real;
    std::size_t step, sequence;
  };
  static Array slice_of(const Array& steps) {
    std::vector<double> all = steps.to_vector<double>();
    all.resize(static_cast<std::size_t>(steps.shape()[1]));
    return Array(all);
  }
  static void near(const Array& found, const Array& tape, const Array& exact, DType real) {
    const double most = std::max(largest(exact), 1e-3);
    CHECK(difference(found, tape) <= (real == DType::f64 ? 1e-12 : 2e-6) * most);
    if (real == DType::f32) CHECK(difference(found, exact) <= 2 * difference(tape, exact) + 4 * 6e-8 * most);
  }
  Exports exports_;
  std::vector<Trial> all_;
};

std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

/// The ops that a program is made of.
void add_ops(const RecordedStep& step, std::set<std::string>& names) {
  const std::vector<Tensor> y{step.y}, x{step.x, step.state[0]};
  for (const ir::Node& n : ir::from_tape(step.tape, y, x).nodes) names.emplace(n.info->name);
}

/// What the sources call ops, in the folders that have some.
std::set<std::string> ops_in_sources() {
  std::set<std::string> all;
  const std::string key = "static constexpr std::string_view name = \"";
  for (const char* room : {"ops", "autograd", "autograd/transform"})
    for (const auto& file : std::filesystem::directory_iterator(source_dir() + "/" + room)) {
      std::ifstream in(file.path());
      for (std::string line; file.is_regular_file() && std::getline(in, line);) {
        const std::size_t at = line.find(key);
        if (at == std::string::npos || line.find("//") < at) continue;
        all.insert(line.substr(at + key.size(), line.rfind('"') - at - key.size()));
      }
    }
  return all;
}

TEST_CASE("every op and its gradient has a form in both kinds of header, but for what draws random numbers") {
  std::set<std::string> tried;
  Functions functions;
  std::vector<Case> few;  // each with an op that those before it have not
  const std::vector<Case> all = cases();
  for (const Case& c : all) {
    CAPTURE(c.name);
    const std::size_t known = tried.size();
    const auto f = [&c](Tensor x) { return with_gradient(c, x); };
    const RecordedStep step = step_of(f, DType::f32);
    add_ops(step, tried);
    const std::string no_step = refusal([&] { make_header(step); });
    const std::string no_sequence = refusal([&] { make_header(sequence_of(f, DType::f32)); });
    for (const std::string& why : {no_step, no_sequence})
      CHECK_MESSAGE((c.draws ? why.find("call eval()") != why.npos : why.empty()), why);
    if (!c.draws && tried.size() > known) few.push_back(c);
    if (c.draws || !full()) continue;
    functions.add(c.name, f, DType::f32);
    functions.add(c.name, f, DType::f64);
  }
  const auto together = [&](Tensor x) {
    Tensors y;
    for (const Case& c : few) y.push_back(with_gradient(c, x));
    return concat(y, 0);
  };
  if (!full()) functions.add("together", together, DType::f64);
  functions.check();

  const std::set<std::string> leaves{"constant", "variable", "parameter", "input", "random_key"};
  const std::set<std::string> sources = ops_in_sources();
  CHECK(sources.size() > 70);
  for (const std::string& name : sources) CHECK_MESSAGE((tried.contains(name) || leaves.contains(name)), name);
}

}  // namespace
}  // namespace rw
