// Loops are found, and unfolding gives the same graph back: of random programs, of everything that runs over time.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/program/program.h>
#include <rewind/autograd/program/repeats.h>
#include <rewind/autograd/program/text.h>
#include <rewind/core/random.h>
#include <rewind/models/bptt/checkpointed.h>
#include <rewind/models/bptt/truncated.h>
#include <rewind/models/models.h>
#include <rewind/ops/ops.h>

#include "../../tools/gradcheck/random_graph.h"
#include "../compile/fuzz/generate.h"
#include "../support.h"

namespace rw {
namespace {

using ir::Graph, ir::Program, ir::ProgramItem;

// Whether unfolding gives the graph back, to the text.
bool comes_back(const Graph& g) { return ir::dump(ir::unfold(ir::fold(g))) == ir::dump(g); }

/// What a function of sequences [T, N, in] records, with its gradient.
Graph traced(const std::function<Tensor(Tape&, Tensor)>& f, const Shape& shape) {
  Tape tape(TapeOptions{.trace = true});
  const Tensor x = tape.input(shape, DType::f32), y = f(tape, x);
  backward(mean(square(y)));
  return ir::from_tape(tape, {{y}}, {{x}});
}

/// The trip counts of the loops, inner ones in parentheses: "50(4) 49".
std::string loops(const Program& p, std::size_t at, std::size_t end) {
  std::string out;
  for (; at < end; at += p.items[at].size + 1) {
    if (p.items[at].steps == 0) continue;
    const std::string inner = loops(p, at + 1, at + 1 + p.items[at].size);
    out += (out.empty() ? "" : " ") + std::to_string(p.items[at].steps) + (inner.empty() ? "" : "(" + inner + ")");
  }
  return out;
}
std::string loops(const Program& p) { return loops(p, 0, p.items.size()); }
std::string loops(const Graph& g) { return loops(ir::fold(g)); }

// Ops outside of loops.
std::size_t list_size(const Program& p) {
  std::size_t n = 0;
  for (std::size_t at = 0; at < p.items.size(); at += p.items[at].size + 1) n += p.items[at].steps == 0 ? 1 : 0;
  return n;
}

Tensor last_of(const LstmCell& cell, Tape& tape, Tensor x) {
  return unroll(cell, x, cell.zero_state(tape, x.size(1))).back().h;
}

constexpr Index N = 2, I = 4, H = 4;

}  // namespace

TEST_CASE("an LSTM is two loops, whatever its length: the forward half and the backward half") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  const auto f = [&](Tape& tape, Tensor x) { return last_of(cell, tape, x); };
  std::size_t list = 0, ops = 0, reads = 0;
  for (const Index steps : {4, 5, 50, 51, 200}) {
    const Graph g = traced(f, {steps, N, I});
    const Program p = ir::fold(g);
    CHECK(comes_back(g));
    CHECK(loops(p) == std::to_string(steps) + " " + std::to_string(steps - 1));
    if (list == 0) list = list_size(p), ops = p.ops.size(), reads = p.reads.size();
    CHECK(list_size(p) == list);  // it does not grow
    CHECK(p.ops.size() == ops);
    CHECK(p.reads.size() == reads);
    CHECK(p.nodes == g.size());
    for (const ProgramItem& item : p.items) CHECK(item.carries == (item.steps > 0));
  }
  CHECK(loops(traced(f, {2, N, I})).empty());
  CHECK(comes_back(traced(f, {1, N, I})));
}

TEST_CASE("loops within loops: substeps of a step, and layers of equal shape") {
  Parameter A("A", full({H, H}, 0.1));
  const Graph euler = traced(
      [&](Tape& tape, Tensor x) {
        Tensor h = tape.constant(0, {N, H});
        for (Index t = 0; t < 20; ++t) {
          const Tensor u = select(x, 0, t);
          for (int k = 0; k < 5; ++k) h = h + 0.1 * tanh(matmul(h, A) + u);
          h = h * u;
        }
        return h;
      },
      {20, N, H});
  CHECK(loops(euler) == "20(5) 4 19(4)");  // of the way back's last substep, the first on the way, less is known
  CHECK(comes_back(euler));
  for (const ProgramItem& item : ir::fold(euler).items) CHECK(item.carries == (item.steps > 0));

  Rng rng(1);
  const Stack<LstmCell> stack({LstmCell(H, H, rng), LstmCell(H, H, rng), LstmCell(H, H, rng), LstmCell(H, H, rng)});
  const Graph layers = traced(
      [&](Tape& tape, Tensor x) { return outputs(stack, unroll(stack, x, stack.zero_state(tape, N))); }, {30, N, H});
  const std::string found = loops(layers);
  CHECK_MESSAGE(found.find("4(30)") == 0, found);
  CHECK(comes_back(layers));

  const Graph in_turn = traced(
      [&](Tape& tape, Tensor x) {
        std::vector<LstmCell::State> s(4, stack.layer(0).zero_state(tape, N));
        for (Index t = 0; t < 30; ++t) {
          Tensor h = select(x, 0, t);
          for (std::size_t i = 0; i < 4; ++i) h = (s[i] = stack.layer(i).step(h, s[i])).h;
        }
        return s[3].h;
      },
      {30, N, H});
  CHECK_MESSAGE(loops(in_turn).find("30(4)") != std::string::npos, loops(in_turn));
  CHECK(comes_back(in_turn));
}

TEST_CASE("equal ops that are no loop within the substeps do not part the first step from the others") {
  const Graph g = traced(
      [](Tape& t, Tensor x) {
        Tensor h = t.constant(Array(Shape{2, 4}, DType::f32));
        for (Index i = 0; i < x.size(0); ++i) {
          const Tensor now = select(x, 0, i);
          for (int k = 0; k < 4; ++k) {
            const Tensor gates = sigmoid(slice(now, -1, 0, 8) + concat({h, h}, -1));
            const Tensor a = slice(gates, -1, 0, 4), b = slice(gates, -1, 4, 4), c = slice(now, -1, 8, 4);
            h = h + 0.25 * a * tanh(b * h + c);
          }
        }
        return h;
      },
      {5, 2, 12});
  const Program p = ir::fold(g);
  CAPTURE(ir::dump(p));
  CHECK(loops(p).substr(0, 4) == "5(4)");
  CHECK(comes_back(g));
}

TEST_CASE("two layers that take turns, whose weights differ, are one loop") {
  Rng rng(1);
  const LstmCell a(H, H, rng), b(H, H, rng);
  const Graph g = traced(
      [&](Tape& tape, Tensor x) {
        LstmCell::State s = a.zero_state(tape, N), r = s;
        for (Index t = 0; t < 30; ++t) s = a.step(select(x, 0, t), s), r = b.step(s.h, r);
        return r.h;
      },
      {30, N, H});
  CHECK_MESSAGE(loops(g).find("30 ") == 0, loops(g));
  CHECK(comes_back(g));
}

TEST_CASE("every cell comes back, both ways, padded, in stacks, with a head at each step") {
  for (const std::string_view name : cell_names()) {
    CAPTURE(name);
    Rng rng(1);
    const AnyCell cell = make_cell(name, I, H, rng);
    for (const bool reverse : {false, true}) {
      const Graph g = traced(
          [&](Tape& tape, Tensor x) {
            return outputs(cell, unroll(cell, x, cell.zero_state(tape, N), {.reverse = reverse}));
          },
          {9, N, I});
      CHECK(comes_back(g));
      CHECK_MESSAGE(loops(g).find('9') != std::string::npos, loops(g));
    }
    Parameter head("head", full({H, 3}, 0.1));
    const Graph with_head = traced(
        [&](Tape& tape, Tensor x) {
          const Tensor lengths = tape.constant(Array({3, 8}, {2}).to(DType::i32));
          Tensor loss = tape.constant(0);
          for (const auto& s : unroll(cell, x, cell.zero_state(tape, N), {.lengths = lengths}))
            loss = loss + sum(square(matmul(output(cell, s), head)));
          return loss;
        },
        {8, N, I});
    CHECK(comes_back(with_head));
  }
  for (const std::string_view name :
       {"lstm+peepholes+norm", "gru+zoneout=0.1", "lstm+drop-x=0.2+drop-h=0.3", "rnn+learned"}) {
    CAPTURE(name);
    Rng rng(1);
    const AnyCell cell = make_cell(name, I, H, rng);
    const Graph g = traced(
        [&](Tape& tape, Tensor x) { return outputs(cell, unroll(cell, x, cell.zero_state(tape, N))); }, {7, N, I});
    CHECK(comes_back(g));
  }
}

TEST_CASE("both directions, attention, decoders that feed back, and second derivatives come back") {
  Rng rng(1);
  const Bidirectional both(GruCell(I, H, rng), GruCell(I, H, rng));
  const auto two_ways = [&](Tape& tape, Tensor x) {
    return outputs(both, unroll(both, x, both.zero_state(tape, x.size(1))));
  };
  const Graph g = traced(two_ways, {10, N, I});
  CHECK(comes_back(g));
  CHECK_MESSAGE(loops(g).find("10 10") == 0, loops(g));

  const AttentionCell decoder(LstmCell(I + 2 * H, H, rng), AdditiveAttention(H, 2 * H, 3, rng));
  const Linear head(H + 2 * H, I, rng);
  const auto decode = [&](Tape& tape, Tensor x) {
    const Tensor encoded = two_ways(tape, x), lengths = tape.constant(Array({10, 7}, {2}).to(DType::i32));
    const auto start =
        decoder.start(decoder.cell().zero_state(tape, N), decoder.attention().remember(encoded, lengths));
    const auto states = feed_back(decoder, select(x, 0, 0), start, 6, [&](Tensor y) { return tanh(head(y)); });
    return outputs(decoder, states);
  };
  const Graph attending = traced(decode, {10, N, I});
  CHECK(comes_back(attending));
  CHECK_MESSAGE(loops(attending).find("10 10 ") == 0, loops(attending));

  const LstmCell cell(I, H, rng);
  const Graph twice =
      traced([&](Tape& tape, Tensor x) { return grad(sum(square(last_of(cell, tape, x))), x); }, {12, N, I});
  CHECK(comes_back(twice));
}

TEST_CASE("what truncated and checkpointed runs leave on their tapes comes back") {
  Rng rng(1);
  const LstmCell cell(I, H, rng);
  TruncatedBptt bptt(cell, N, {.k1 = 6, .k2 = 15});
  for (int chunk = 0; chunk < 3; ++chunk) {
    const auto& states = bptt.unroll(::test::numbers({6, N, I}, 1));
    const Tensor loss = sum(states.back().h), g = grad(loss, *cell.parameters()[0].parameter);
    const Graph recorded = ir::from_tape(bptt.tape(), {{g}}, {});
    CHECK(comes_back(recorded));
    CHECK(!loops(recorded).empty());
  }
  CheckpointedBptt checkpointed(cell, N, {.block = 5});
  checkpointed.backward(::test::numbers({20, N, I}, 2), [](const auto& s) { return sum(s.h); });
  CHECK(comes_back(ir::from_tape(checkpointed.tape(), {}, {})));
}

TEST_CASE("random programs come back, with loops and without") {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    CAPTURE(seed);
    const fuzz::Program program = fuzz::random_program(seed);
    Tape tape(TapeOptions{.dtype = DType::f32, .trace = true});
    std::vector<std::unique_ptr<Parameter>> parameters;
    std::vector<Tensor> inputs, leaves;
    for (std::size_t i = 0; i < program.leaves.size(); ++i) {
      const Array value = fuzz::random_leaf(program.leaves[i], i, DType::f32);
      if (program.leaves[i].is_parameter)
        leaves.push_back(
            tape.leaf(*parameters.emplace_back(std::make_unique<Parameter>("p" + std::to_string(i), value))));
      else
        leaves.push_back(inputs.emplace_back(tape.input(value.shape(), DType::f32)));
    }
    const std::vector<Tensor> results = fuzz::Run(program, tape)(leaves);
    CHECK(comes_back(ir::from_tape(tape, results, inputs)));
  }
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    const test::RandomGraph graph(seed, 40);
    Tape tape(DType::f64);
    const Tensor y = graph(tape);
    CHECK(comes_back(ir::from_tape(tape, {{y}}, {})));
  }
}

TEST_CASE("steps before and after that differ stay outside; what does not fold says where and why") {
  Parameter W("W", full({H, H}, 0.1)), V("V", full({H, H}, 0.1));
  const auto chain = [&](auto&& weight) {
    return traced(
        [&](Tape&, Tensor x) {
          Tensor h = x;
          for (Index t = 0; t < 12; ++t) {
            const Scope scope(x.tape(), "t", t);
            h = tanh(matmul(h, weight(t)) + x);
          }
          return h;
        },
        {N, H});
  };
  CHECK(ir::explain(ir::fold(chain([&](Index) -> Parameter& { return W; }))).empty());
  const Graph other_last = chain([&](Index t) -> Parameter& { return t == 11 ? V : W; });
  CHECK(comes_back(other_last));
  CHECK_MESSAGE(loops(other_last).find("11") == 0, loops(other_last));
  const Graph odd = chain([&](Index t) -> Parameter& { return t * t % 5 == 1 ? V : W; });
  CHECK(comes_back(odd));
  const std::string why = ir::explain(ir::fold(odd));
  CHECK_MESSAGE(why.find("[matmul] (2, 4) in t=") != std::string::npos, why);
  CHECK_MESSAGE(why.find("reads something else as input 1") != std::string::npos, why);

  // Every second step has another form: two steps are one.
  const Graph clockwork = traced(
      [&](Tape&, Tensor x) {
        Tensor h = x;
        for (Index t = 0; t < 20; ++t) h = t % 2 == 0 ? tanh(matmul(h, W)) : sigmoid(h + x);
        return h;
      },
      {N, H});
  CHECK_MESSAGE(loops(clockwork).find("10") == 0, loops(clockwork));
  CHECK(comes_back(clockwork));
}

TEST_CASE("a chain of many steps folds; so does a graph without ops") {
  Tape tape(TapeOptions{.trace = true});
  const Tensor x = tape.input({2}, DType::f32);
  Tensor y = x;
  for (int i = 0; i < 100000; ++i) y = tanh(y * x);
  const Graph g = ir::from_tape(tape, {{y}}, {{x}});
  const Program p = ir::fold(g);
  CHECK(loops(p) == "100000");
  CHECK(p.ops.size() == 2);
  CHECK(ir::unfold(p).size() == g.size());
  CHECK(comes_back(Graph()));
}

TEST_CASE("runs of labels: as many periods as asked for, as long as they can be, one that was planted among them") {
  using Labels = std::vector<std::uint64_t>;
  using ir::Repeat;
  CHECK(ir::label_repeats(Labels()).empty());
  CHECK(ir::label_repeats(Labels{1, 2, 1, 2}).empty());
  CHECK(ir::label_repeats(Labels{1, 2, 1, 2}, 2) == std::vector<Repeat>{{0, 4, 2}});
  CHECK(ir::label_repeats(Labels{7, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 9}) == std::vector<Repeat>{{1, 11, 3}});
  CHECK(ir::label_repeats(Labels(10, 5)) == std::vector<Repeat>{{0, 10, 1}});
  CHECK(ir::label_repeats(Labels{1, 2, 3, 4, 5, 6, 7, 8, 9}).empty());
  Rng rng(1);
  for (int round = 0; round < 300; ++round) {
    const auto length = static_cast<std::size_t>(1 + rng.below(40)), times = static_cast<std::size_t>(3 + rng.below(5));
    const Index kinds = 2 + rng.below(30);
    Labels labels, period;
    const auto add = [&](Labels& to, std::size_t n) {
      for (std::size_t i = 0; i < n; ++i) to.push_back(static_cast<std::uint64_t>(rng.below(kinds)));
    };
    add(labels, static_cast<std::size_t>(rng.below(30)));
    add(period, length);
    period[0] = 1000;  // it has no shorter period
    const std::size_t begin = labels.size();
    for (std::size_t k = 0; k < times; ++k) labels.insert(labels.end(), period.begin(), period.end());
    add(labels, static_cast<std::size_t>(rng.below(30)));
    bool planted = false;
    for (const Repeat& r : ir::label_repeats(labels)) {
      bool repeats = r.end - r.begin >= 3 * r.period && r.end <= labels.size();
      for (std::size_t i = r.begin; i + r.period < r.end; ++i) repeats = repeats && labels[i] == labels[i + r.period];
      CHECK(repeats);
      CHECK((r.end == labels.size() || labels[r.end] != labels[r.end - r.period]));
      planted = planted || (r.period == length && r.begin <= begin && r.end >= begin + times * length);
    }
    CHECK(planted);
  }
}

}  // namespace rw
