#include <cmath>
#include <cstring>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/memory/guard.h>
#include <rewind/core/error.h>
#include <rewind/ops/ops.h>

#include "../agree.h"
#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

/// tanh(a) and its sum over rows, laid out for a replay, without the steps that would run it.
struct Watched {
  Watched() {
    Tape tape;
    const Tensor y = tanh(tape.constant(random_array(Shape{3, 20}, 1)));
    const std::vector<Tensor> results{y, sum(y, {0})};
    graph = ir::from_tape(tape, results, {});
    layout = ir::layout(graph, Passes::all());
    arena.resize(layout.arena);
  }
  std::byte* place(NodeId node) {
    const ir::Place& p = layout.places[node];
    return arena.data() + layout.buffers[p.id].address + static_cast<std::size_t>(p.offset) * sizeof(float);
  }
  NodeId first() const { return graph.outputs[0]; }
  NodeId second() const { return graph.outputs[1]; }

  ir::Graph graph;
  ir::Layout layout;
  std::vector<std::byte> arena;
};

TEST_CASE("what is not written yet is nan, from when its buffer begins to be used") {
  Watched w;
  ir::MemoryGuard guard(w.graph, w.layout, w.arena.data());
  std::memset(w.arena.data(), 0, w.arena.size());
  guard.before(w.first());
  float x = 0;
  std::memcpy(&x, w.place(w.first()), sizeof x);
  CHECK(std::isnan(x));
  std::memset(w.arena.data(), 0, w.arena.size());
  guard.begin();
  std::memcpy(&x, w.place(w.second()), sizeof x);
  CHECK(std::isnan(x));
}

TEST_CASE("a step that writes into another value's place is an error that names it") {
  Watched w;
  ir::MemoryGuard guard(w.graph, w.layout, w.arena.data());
  guard.begin();
  guard.before(w.first());
  std::memset(w.place(w.first()), 0, 3 * 20 * sizeof(float));
  CHECK_NOTHROW(guard.after(w.first(), false));
  guard.before(w.second());
  std::memset(w.place(w.second()), 0, 20 * sizeof(float));
  CHECK_NOTHROW(guard.after(w.second(), false));
  std::memset(w.place(w.first()) + 4, 1, 1);
  CHECK_THROWS_WITH_AS(guard.after(w.second(), false), doctest::Contains("[sum_to] (20) wrote outside of its place"),
                       Error);
}

TEST_CASE("a function that is watched does the same") {
  HandLstm lstm(8, 16);
  const auto f = [&](Tape&, const std::vector<Tensor>& in) {
    LstmState s{in[1], in[1]};
    for (Index t = 0; t < 3; ++t) s = lstm.step(select(in[0], 0, t), s);
    const Tensor loss = sum(s.h * s.h);
    backward(loss);
    return std::vector{loss, s.c};
  };
  const std::vector<Array> x{random_array(Shape{3, 2, 8}, 1), random_array(Shape{2, 16}, 2)};
  for (const Pass p : all_passes)
    CHECK(disagreement(f, x, {&lstm.W, &lstm.R, &lstm.b}, {.passes = Passes::all() - p, .watch_memory = true}) < 1e-5);
}

}  // namespace
}  // namespace rw
