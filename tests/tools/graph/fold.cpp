#include <algorithm>
#include <functional>
#include <set>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/structural.h>
#include <rewind/core/error.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>
#include <rewind/tools/graph/dot.h>
#include <rewind/tools/graph/fold.h>

namespace {

using namespace rw;

constexpr Index batch = 2, width = 4;

std::size_t delays(const GraphView& view) {
  std::size_t n = 0;
  for (const GraphNode& node : view.nodes)
    for (const GraphEdge& e : node.in) n += e.delay > 0 ? 1 : 0;
  return n;
}

/// Repetition counts of the boxes.
std::multiset<Index> boxes(const GraphView& view) {
  std::multiset<Index> out;
  for (const GraphScope& s : view.scopes)
    if (s.times > 1) out.insert(s.times);
  return out;
}

std::size_t count_op(const GraphView& view, const std::string& op) {
  return static_cast<std::size_t>(
      std::count_if(view.nodes.begin(), view.nodes.end(), [&](const GraphNode& n) { return n.op == op; }));
}

/// The same graph as if no scope had been opened.
GraphView stripped(GraphView view) {
  view.scopes.resize(1);
  for (GraphNode& n : view.nodes) n.scope = 0;
  return view;
}

Tensor sequence(Tape& tape, Index steps, Index in = width) { return tape.constant(full({steps, batch, in}, 0.1)); }

/// A cell of somebody else: two products that depend on each other, as the minimal gated unit has it.
struct OwnCell {
  struct State {
    Tensor memory;
  };
  mutable Parameter U{"U", full({width, width}, 0.1)}, V{"V", full({width, width}, 0.2)};
  State zero_state(Tape& tape, Index n) const { return {tape.constant(zeros(n, width))}; }
  State step(Tensor x, const State& s) const {
    const Tensor f = sigmoid(x + matmul(s.memory, U));
    return {s.memory + f * (tanh(x + matmul(f * s.memory, V)) - s.memory)};
  }
  Tensor output(const State& s) const { return s.memory; }
};
static_assert(Cell<OwnCell>);

}  // namespace

TEST_CASE("a hand-written loop folds to one step") {
  Tape tape;
  Parameter W("W", full({width, width}, 0.1)), R("R", full({width, width}, 0.2)), b("b", zeros(width));
  const auto record = [&](int steps) {
    tape.clear();
    Tensor h = tape.constant(zeros(batch, width));
    for (int t = 0; t < steps; ++t) h = tanh(matmul(tape.constant(full({batch, width}, t)), W) + matmul(h, R) + b);
    return graph_view(tape);
  };
  for (int steps : {2, 3, 50}) {
    const GraphView folded = fold_time(record(steps));
    CHECK(folded.nodes.size() == 10);  // W R b x h0, two products, two sums, tanh
    CHECK(boxes(folded) == std::multiset<Index>{steps});
    CHECK(delays(folded) == 1);
  }
  const GraphView one = record(1);
  CHECK(fold_time(one).nodes.size() == one.nodes.size());
}

TEST_CASE("the library's cells fold, with scopes and without") {
  Rng rng(1);
  const auto check = [](const auto& cell, std::size_t carried_uses) {
    Tape tape;
    const auto states = unroll(cell, sequence(tape, 30), cell.zero_state(tape, batch));
    const GraphView view = graph_view(tape);
    const std::vector<GraphLoop> loops = find_loops(view);
    REQUIRE(loops.size() == 1);
    CHECK(loops[0].steps == 30);
    CHECK(loops[0].carries);
    for (const GraphView& v : {view, stripped(view)}) {
      const GraphView folded = fold_time(v);
      CHECK(folded.nodes.size() < 30);
      CHECK(boxes(folded) == std::multiset<Index>{30});
      CHECK(delays(folded) == carried_uses);
      CHECK(count_op(folded, "parameter") == count_op(view, "parameter"));
    }
    const GraphView folded = fold_time(view);
    CHECK(folded.scopes.back().name == "t");
  };
  check(RnnCell(width, width, rng), 1);
  check(LstmCell(width, width, rng), 2);
  check(GruCell(width, width, rng), 2);
  check(OwnCell(), 4);
}

TEST_CASE("stacks: layer after layer, and all layers within a step") {
  Rng rng(1);
  const LstmCell first(width, width, rng), second(width, width, rng), third(width, width, rng);
  Tape tape;
  Tensor x = sequence(tape, 20);
  for (const LstmCell* cell : {&first, &second, &third}) x = outputs(unroll(*cell, x, cell->zero_state(tape, batch)));
  GraphView folded = fold_time(stripped(graph_view(tape)));
  CHECK(boxes(folded).count(20) >= 3);
  CHECK(boxes(folded).count(20) == boxes(folded).size());
  CHECK(delays(folded) == 6);
  CHECK(folded.nodes.size() < 100);

  tape.clear();
  Tensor in = sequence(tape, 20);
  LstmCell::State a = first.zero_state(tape, batch), b = second.zero_state(tape, batch);
  for (Index t = 0; t < 20; ++t) {
    a = first.step(at_step(in, t), a);
    b = second.step(a.h, b);
  }
  folded = fold_time(graph_view(tape));
  CHECK(boxes(folded) == std::multiset<Index>{20});
  CHECK(delays(folded) == 4);
}

TEST_CASE("both directions") {
  Parameter W("W", full({width, width}, 0.1)), V("V", full({width, width}, 0.1));
  Tape tape;
  const Tensor x = sequence(tape, 12);
  std::vector<Tensor> there(12), back(12);
  Tensor h = tape.constant(zeros(batch, width));
  for (Index t = 0; t < 12; ++t) there[static_cast<std::size_t>(t)] = h = tanh(at_step(x, t) + matmul(h, W));
  h = tape.constant(zeros(batch, width));
  for (Index t = 12; t-- > 0;) back[static_cast<std::size_t>(t)] = h = tanh(at_step(x, t) + matmul(h, V));
  Tensor sum = tape.constant(zeros(batch, width));
  for (std::size_t t = 0; t < 12; ++t) sum = sum + there[t] * back[t];
  const GraphView folded = fold_time(graph_view(tape));
  CHECK(boxes(folded) == std::multiset<Index>{12, 12, 12});
  CHECK(delays(folded) == 3);
  const GraphNode& product =
      *std::find_if(folded.nodes.begin(), folded.nodes.end(), [](auto& n) { return n.op == "mul"; });
  CHECK(product.in[0].label.empty());
  CHECK(product.in[1].label == "reversed");
}

TEST_CASE("what is no loop stays as it is") {
  Rng rng(1);
  const LstmCell cell(width, width, rng);
  Tape tape;
  cell.step(tape.constant(zeros(batch, width)), cell.zero_state(tape, batch));  // four gates are not four steps
  GraphView view = graph_view(tape);
  CHECK(find_loops(view).empty());
  CHECK(fold_time(view).nodes.size() == view.nodes.size());

  tape.clear();
  std::vector<Parameter> layers;
  Parameter a("a", zeros(width, width)), b("b", zeros(width, width)), c("c", zeros(width, width));
  Tensor x = tape.constant(zeros(batch, width));
  for (Parameter* p : {&a, &b, &c}) x = tanh(matmul(x, *p));  // other weights: layers, not steps
  CHECK(find_loops(graph_view(tape)).empty());
}

TEST_CASE("a first step of its own, and a state of two steps before") {
  Parameter W("W", full({width, width}, 0.1));
  Tape tape;
  const Tensor x = sequence(tape, 10);
  Tensor h = tanh(at_step(x, 0));
  for (Index t = 1; t < 10; ++t) h = tanh(at_step(x, t) + matmul(h, W));
  CHECK(boxes(fold_time(graph_view(tape))) == std::multiset<Index>{9});

  tape.clear();
  Tensor before = tape.constant(zeros(batch, width)), now = tape.constant(zeros(batch, width));
  for (int t = 0; t < 10; ++t) {
    const Tensor next = tanh(matmul(now, W) + before);
    before = now;
    now = next;
  }
  const GraphView folded = fold_time(graph_view(tape));
  CHECK(boxes(folded) == std::multiset<Index>{10});
  std::multiset<int> z;
  for (const GraphNode& n : folded.nodes)
    for (const GraphEdge& e : n.in) z.insert(e.delay);
  CHECK(z.count(1) == 1);
  CHECK(z.count(2) == 1);
}

TEST_CASE("the recorded gradient folds too") {
  Rng rng(1);
  const RnnCell cell(width, width, rng);
  Tape tape;
  const auto states = unroll(cell, sequence(tape, 40), cell.zero_state(tape, batch));
  const Tensor loss = record(SumTo{Shape{}}, {states.back().h});
  grad(loss, cell.parameter("R"));
  const GraphView folded = fold_time(graph_view(tape));
  CHECK(folded.nodes.size() < 70);
  CHECK(std::any_of(folded.nodes.begin(), folded.nodes.end(), [](auto& n) {
    return n.backward && std::any_of(n.in.begin(), n.in.end(), [](auto& e) { return e.delay > 0; });
  }));
}

TEST_CASE("a gradient folds in which the first step has a sum of its own, as long as those of the others") {
  for (const char* name : {"lstm+peepholes", "lstm+norm"}) {
    CAPTURE(name);
    const auto folded = [&](Index steps) {
      Rng rng(1);
      const AnyCell cell = make_cell(name, width, width, rng);
      Tape tape;
      const auto states = unroll(cell, sequence(tape, steps), cell.zero_state(tape, batch));
      const auto named = cell.parameters();
      grad(record(SumTo{Shape{}}, {output(cell, states.back())}), std::vector<Operand>(named.begin(), named.end()));
      return fold_time(graph_view(tape)).nodes.size();
    };
    CHECK(folded(12) == folded(24));
  }
}

TEST_CASE("folding adds up bytes and numbers, and keeps the series") {
  Parameter W("W", full({width, width}, 0.1));
  Tape tape;
  Tensor h = tape.constant(full({batch, width}, 1));
  for (int t = 0; t < 10; ++t) h = tanh(matmul(h, W));
  const GraphView folded = fold_time(graph_view(tape, GraphViewOptions{.statistics = true}));
  const GraphNode& last = folded.nodes.back();
  CHECK(last.bytes == 10 * batch * width * 4);
  REQUIRE(last.value_norms.size() == 10);
  CHECK(last.value_norms[0] > last.value_norms[9]);
  CHECK(last.value.norm == last.value_norms[0]);
}

TEST_CASE("a window shows the first steps and the last") {
  Parameter W("W", full({width, width}, 0.1));
  Tape tape;
  Tensor h = tape.constant(zeros(batch, width));
  for (int t = 0; t < 100; ++t) {
    const Scope s(tape, "t", t);
    h = tanh(matmul(h, W));
  }
  const GraphView view = graph_view(tape), window = window_time(view, 3);
  CHECK(count_op(window, "tanh") == 4);
  CHECK(count_op(window, "...") == 1);
  CHECK(window.nodes.back().id == view.nodes.back().id);
  const auto more = std::find_if(window.nodes.begin(), window.nodes.end(), [](auto& n) { return n.op == "..."; });
  CHECK(more->attributes == "96 steps");
  CHECK(more->in.size() == 1);
  CHECK(window_time(view, 200).nodes.size() == view.nodes.size());
  CHECK_THROWS_WITH_AS(window_time(view, 0), doctest::Contains("at least 1"), Error);
}

TEST_CASE("four layers of 500 steps fold to fewer than 100 nodes") {
  Rng rng(1);
  Tape tape;
  Tensor x = sequence(tape, 500);
  for (int layer = 0; layer < 4; ++layer) {
    const LstmCell cell(width, width, rng);
    x = outputs(unroll(cell, x, cell.zero_state(tape, batch)));
  }
  const GraphView folded = fold_time(stripped(graph_view(tape)));
  MESSAGE("nodes: " << tape.size() << " folded to " << folded.nodes.size());
  CHECK(folded.nodes.size() < 100);
}

TEST_CASE("a compiled gradient folds, however the compiler has put the steps' parts in order") {
  for (const std::string name : {"indrnn", "sru", "qrnn", "min-gru", "min-lstm", "lru", "clockwork", "mlstm"}) {
    CAPTURE(name);
    Rng rng(1);
    const AnyCell cell = make_cell(name, 16, 32, rng);
    const auto drawn = [&](Index steps) {
      const auto last_state = [&](Tape& tape, Tensor x) {
        const Tensor loss = sum(square(cell.output(unroll(cell, x, cell.zero_state(tape, 4)).back())));
        backward(loss);
        return loss;
      };
      const auto compiled = compile(last_state, full({steps, 4, 16}, 0.1));
      return fold_time(graph_view(compiled.graph())).nodes.size();
    };
    const std::size_t few = drawn(20), twice = drawn(40);
    CHECK(few < 230);
    CHECK(twice < few + 10);
  }
}
