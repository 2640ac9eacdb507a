// Every cell of the library, by name and with options, works with everything that takes a cell.
#include <cmath>
#include <sstream>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/flow/flow.h>
#include <rewind/tools/gradcheck/gradcheck.h>
#include <rewind/tools/graph/dot.h>

using namespace rw;

namespace {

constexpr Index T = 4, N = 2, I = 3, H = 4;

std::vector<std::string> all_names() {
  std::vector<std::string> all;
  for (const std::string_view name : cell_names()) all.emplace_back(name);
  for (const char* name : {"lstm+1997", "lstm+coupled+peepholes", "lstm+all-peepholes+norm+projection=2", "gru+takes",
                           "lstm+zoneout=0.1/0.3", "gru+drop-x=0.2+drop-h=0.3", "mgu+learned+zoneout=0.2",
                           "jordan+tanh", "context+decay=0.5+nobias"})
    all.emplace_back(name);
  return all;
}

Array sequence(Index steps = T) {
  Array x({steps, N, I}, DType::f64);
  Rng rng(7);
  for (double& v : x.span<double>()) v = rng.normal();
  return x;
}

void randomise(const Module& module) {
  Rng rng(3);
  module.to(DType::f64);
  for (const NamedParameter& p : module.parameters())
    for (Index i = 0; i < p.parameter->size(); ++i) p.parameter->edit().as<double>()[i] = rng.uniform(-0.6, 0.6);
}

AnyCell made(const std::string& name, Index in = I) {
  Rng rng(1);
  AnyCell cell = make_cell(name, in, H, rng);
  randomise(cell);
  return cell;
}

Stack<AnyCell> two_layers(const std::string& name) {
  Rng rng(1);
  std::vector<AnyCell> layers;
  layers.push_back(make_cell(name, I, H, rng, {.key = 0}));
  layers.push_back(make_cell(name, output_width(layers[0]), H, rng, {.key = 1}));
  Stack<AnyCell> stack(std::move(layers));
  randomise(stack);
  return stack;
}

// A scalar in which every element has another weight.
Tensor weighted(Tensor x) {
  Array weights(x.shape(), DType::f64);
  double k = 0;
  for (double& w : weights.span<double>()) w = std::sin(1 + 0.7 * k++) + 0.3;
  return sum(x * x.tape().constant(weights));
}

template <class C>
Tensor loss_of(Tape& tape, const C& cell, Index steps = T) {
  const auto states = unroll(cell, tape.constant(sequence(steps)), cell.zero_state(tape, N));
  return weighted(outputs(cell, states));
}

template <class F>
void for_all_cells(F&& f) {
  const std::vector<std::string> names = all_names();
  for (const std::string& name : names) {
    CAPTURE(name);
    f(name);
  }
}

}  // namespace

TEST_CASE("every cell, in two layers: gradcheck of both orders") {
  for_all_cells([](const std::string& name) {
    const auto stack = two_layers(name);
    const GradReport report = gradcheck([&](Tape& tape) { return loss_of(tape, stack, 2); }, stack.parameters(),
                                        {.order = 2, .elements = 40, .directions = 1});
    CAPTURE(report);
    CHECK(report.verdict == Verdict::right);
  });
}

TEST_CASE("every cell: its graph is written, and folds in time") {
  for_all_cells([](const std::string& name) {
    AnyCell cell = made(name);
    cell.eval();  // a draw is another op at each step
    NodeId recorded = 0;
    const auto drawn = [&](Index steps) {
      Tape tape(DType::f64);
      loss_of(tape, cell, steps);
      std::ostringstream text;
      write_dot(text, tape, {.fold_time = true});
      CHECK(text.str().find("digraph") != std::string::npos);
      recorded = tape.size();
      return dot_view(tape, {.fold_time = true}).nodes.size();
    };
    const std::size_t folded = drawn(20);
    CHECK(folded < recorded / 4);
    CHECK(folded == drawn(12));
  });
}

TEST_CASE("every cell: how gradients flow through it") {
  for_all_cells([](const std::string& name) {
    AnyCell cell = made(name);
    cell.eval();
    const FlowReport report = flow(cell, sequence(6));
    CHECK(report.carried.back() == doctest::Approx(1));
    for (const double norm : report.carried) CHECK(std::isfinite(norm));
    CHECK(report.carried.front() > 0);
    CHECK_FALSE(report.recurrent.empty());
  });
}

TEST_CASE("every cell, in two layers: compiled, it computes the same, draws and all") {
  for_all_cells([](const std::string& name) {
    const auto stack = two_layers(name);
    const auto f = [&](Tape& tape, Tensor x) {
      const auto states = unroll(stack, x, stack.zero_state(tape, N));
      const Tensor loss = weighted(outputs(stack, states));
      std::vector<Operand> parameters;
      const std::vector<NamedParameter> all = stack.parameters();
      for (const NamedParameter& p : all) parameters.emplace_back(*p.parameter);
      return std::pair(loss, grad(loss, parameters));
    };
    auto plan = compile(f, CompileOptions{.dtype = DType::f64, .seed = 5}, sequence());
    plan.set_step(2);
    Tape tape(TapeOptions{.dtype = DType::f64, .seed = 5});
    tape.set_step(2);
    const auto eager = f(tape, tape.constant(sequence()));
    const auto compiled = plan(sequence());
    CHECK(compiled.first.item() == doctest::Approx(eager.first.item()).epsilon(1e-12));
    REQUIRE(compiled.second.size() == eager.second.size());
    for (std::size_t i = 0; i < eager.second.size(); ++i) {
      const auto a = eager.second[i].array().to_vector<double>(), b = compiled.second[i].array().to_vector<double>();
      for (std::size_t k = 0; k < a.size(); ++k) CHECK(a[k] == doctest::Approx(b[k]).epsilon(1e-11));
    }
  });
}

TEST_CASE("every cell: backward in time, and to each sequence's own length") {
  for_all_cells([](const std::string& name) {
    AnyCell cell = made(name);
    cell.eval();
    Tape tape(DType::f64);
    const Tensor x = tape.constant(sequence()), lengths = tape.constant(Array({2, 4}, {N}));
    const auto plain = unroll(cell, x, cell.zero_state(tape, N));
    const auto padded = unroll(cell, x, cell.zero_state(tape, N), {.lengths = lengths});
    const auto turned = unroll(cell, flip(x, 0), cell.zero_state(tape, N), {.reverse = true});
    const auto row = [&](const AnyCell::State& s, Index n) {
      return select(cell.output(s), 0, n).array().to_vector<double>();
    };
    for (std::size_t k = 0; k < row(plain[1], 0).size(); ++k) {
      CHECK(row(padded[3], 0)[k] == doctest::Approx(row(plain[1], 0)[k]).epsilon(1e-12));
      CHECK(row(padded[3], 1)[k] == doctest::Approx(row(plain[3], 1)[k]).epsilon(1e-12));
      CHECK(row(turned[0], 0)[k] == doctest::Approx(row(plain[3], 0)[k]).epsilon(1e-12));
    }
  });
}

TEST_CASE("every cell: its clone, in the same mode, computes the same") {
  for_all_cells([](const std::string& name) {
    AnyCell cell = made(name);
    cell.eval();
    const AnyCell copy = cell.clone();
    CHECK_FALSE(copy.training());
    Tape tape(DType::f64);
    CHECK(loss_of(tape, copy).item() == loss_of(tape, cell).item());
  });
}
