// Plans of programs as they stand, with the order, kernels and lanes that are given: what passes seldom make of a
// function, but may.
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/check/check.h>
#include <rewind/autograd/compile/plan/lane_needs.h>
#include <rewind/autograd/compile/plan/lowering.h>
#include <rewind/autograd/program/text.h>
#include <rewind/ops/ops.h>

#include "../agree.h"
#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

/// The program that a text describes, with numbers for its parameters.
ir::Graph program(std::string_view text) {
  ir::Graph g = ir::parse(text);
  for (std::size_t i = 0; i < g.store->parameters.size(); ++i) {
    Array& value = g.store->parameters[i]->value;
    value = random_array(value.shape(), i + 1, 0.3, value.dtype());
  }
  return g;
}

/// Checks that a plan gives what the ops give one by one.
void check_plan(std::string_view text, Passes passes = Passes::all()) {
  const ir::Graph g = program(text);
  std::vector<Array> inputs;
  for (const ir::Node& n : g.nodes)
    if (n.role == Role::input) inputs.push_back(random_array(n.shape, 10 + inputs.size(), 1, n.dtype));
  const std::vector<ConstView> views(inputs.begin(), inputs.end());
  const ir::Call call{views};
  const ir::Outcome expected = ir::Reference(g, g.real, call).outcome();
  const CompileOptions options{.passes = passes};
  ir::Executor plan(ir::lower(g, options), options);
  for (int replay = 0; replay < 2; ++replay) {
    const ir::Outcome found = ir::replay_apart(plan, call);
    REQUIRE(found.results.size() == expected.results.size());
    REQUIRE(found.gradients.size() == expected.gradients.size());
    for (std::size_t i = 0; i < expected.results.size(); ++i)
      CHECK(difference(found.results[i], expected.results[i]) < 1e-13);
    for (std::size_t i = 0; i < expected.gradients.size(); ++i)
      CHECK(difference(found.gradients[i], expected.gradients[i]) < 1e-13);
  }
}

TEST_CASE("a value does not stand where another one is written while it is needed") {
  // dz lies over z, and y could stand over p until then; but it is read once more.
  constexpr std::string_view text = R"(program f64
parameter 0 "V" : (16, 128)
parameter 1 "W" : (64, 64)
x = input 0 : (4, 16)
V = parameter 0
W = parameter 1
z = matmul x V
p = slice(axis=1, length=64) z
q = slice(axis=1, start=64, length=64) z
y = tanh p kernel=0
h = mul y q kernel=0
g = matmul h W
dq = mul g y kernel=1
dp = mul g q kernel=1
dz = concat(axis=1) dp dq
e = matmul y W
dV = matmul(ta=true) x dz
return e dV
)";
  check_plan(text);
  check_plan(text, Passes::all() - Pass::reuse);
}

TEST_CASE("the gradient of two parameters is one product, and so is one that is a result") {
  constexpr std::string_view text = R"(program f64
parameter 0 "A" : (3, 4)
parameter 1 "B" : (3, 4)
parameter 2 "C" : (5, 2)
x = input 0 : (5, 3)
y = input 1 : (5, 4)
z = input 2 : (6, 5)
u = input 3 : (6, 2)
g = matmul(ta=true) x y backward
c = matmul(ta=true) z u backward
d = tanh c backward
return c d
gradient 0 += g
gradient 1 += g
gradient 2 += c
)";
  check_plan(text);
  check_plan(text, Passes::all() - Pass::accumulate);
}

/// By unit and lane, the number, from 1, of the last unit there that it needs; units are steps.
std::vector<std::uint32_t> needs_of(const ir::Graph& g, std::vector<ir::LaneUnit>& units) {
  const ir::Layout layout = ir::layout(g, Passes::all());
  for (NodeId i = 0; i < g.size();) {
    NodeId end = i + 1;
    const std::uint32_t kernel = g.nodes[i].kernel, lane = g.nodes[i].lane.number;
    while (kernel != ir::no_kernel && end < g.size() && g.nodes[end].kernel == kernel) ++end;
    const auto step = static_cast<std::uint32_t>(units.size());
    if (lane > 0 && (kernel != ir::no_kernel || layout.computed[i]))
      units.push_back({i, end, lane - 1, step, step + 1});
    i = end;
  }
  return ir::lane_needs(g, layout, units, {});
}

TEST_CASE("what is written over waits for those who read it in other lanes") {
  // b stands where p stood, which a reads; z is needed until the end, for q.
  const ir::Graph g = program(R"(program f64
parameter 0 "V" : (16, 128)
parameter 1 "W" : (64, 64)
x = input 0 : (4, 16)
V = parameter 0
W = parameter 1
z = matmul x V lane=1/1
p = slice(axis=1, length=64) z lane=1/1
q = slice(axis=1, start=64, length=64) z lane=1/1
a = tanh p kernel=0 lane=1/2
b = sigmoid p kernel=1 lane=1/1
u = matmul a W lane=1/2
v = matmul b W lane=1/1
w = add u v kernel=2 lane=1/1
r = mul w q kernel=2 lane=1/1
return r
)");
  std::vector<ir::LaneUnit> units;
  const std::vector<std::uint32_t> needs = needs_of(g, units);
  REQUIRE(units.size() == 6);  // z, a, b, u, v, and the last kernel
  const auto need = [&](std::size_t unit, std::size_t lane) { return needs[unit * 2 + lane]; };
  CHECK(need(1, 0) == 1);  // a reads z
  CHECK(need(2, 1) == 2);  // b is written over what a reads
  CHECK(need(4, 1) == 0);
  CHECK(need(5, 1) == 4);  // w reads u
}

}  // namespace
}  // namespace rw
