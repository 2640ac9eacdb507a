#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/ops/ops.h>

#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index T = 12, N = 6, I = 20, H = 32;

/// Two layers over time, one forward and one backward, whose states meet at each step, and the gradients.
struct BothWays {
  HandLstm forward{I, H, 1}, backward_{I, H, 11};
  bool same_weights = false;

  std::vector<Tensor> operator()(Tape& tape, Tensor x) {
    HandLstm& other = same_weights ? forward : backward_;
    const Tensor zero = tape.constant(0, Shape{N, H});
    const auto states = forward.unroll(x, {zero, zero});
    LstmState s{zero, zero};
    std::vector<Tensor> met(T);
    for (Index t = T; t-- > 0;) {
      s = other.step(record(Reshape{Shape{N, I}}, {record(Slice{0, t, 1}, {x})}), s);
      met[static_cast<std::size_t>(t)] = states[static_cast<std::size_t>(t)].h * s.h;
    }
    const Tensor loss = total(stack(met));
    backward(loss);
    return {loss, stack(met), s.c};
  }
  std::vector<Parameter*> parameters() {
    return {&forward.W, &forward.R, &forward.b, &backward_.W, &backward_.R, &backward_.b};
  }
};

std::vector<Array> run(BothWays& model, const Array& x, int threads_wanted, bool& side_by_side) {
  set_threads(threads_wanted);
  auto step = compile([&](Tape& tape, Tensor in) { return model(tape, in); },
                      CompileOptions{.verify = true, .branch_from = 1}, x);
  side_by_side = step.explain().find("side by side: ") != std::string::npos;
  std::vector<Array> out;
  for (int replay = 0; replay < 3; ++replay) {
    out.clear();
    for (Parameter* p : model.parameters()) p->zero_grad();
    for (const Tensor& t : step(x)) out.push_back(t.array());
    for (Parameter* p : model.parameters()) out.push_back(p->grad());
  }
  return out;
}

}  // namespace

TEST_CASE("two directions run side by side, with the bits of one thread") {
  const int before = threads();
  const Array x = random_array(Shape{T, N, I}, 7);
  for (const bool same_weights : {false, true}) {
    CAPTURE(same_weights);
    BothWays model;
    model.same_weights = same_weights;
    bool side_by_side = false;
    const auto one = run(model, x, 1, side_by_side);
    CHECK(!side_by_side);
    for (const int n : {2, 3}) {
      const auto many = run(model, x, n, side_by_side);
      CHECK(side_by_side);
      REQUIRE(many.size() == one.size());
      for (std::size_t i = 0; i < one.size(); ++i) CHECK(many[i] == one[i]);
    }
  }
  set_threads(before);
}

TEST_CASE("a plan made for two threads runs on one") {
  const int before = threads();
  const Array x = random_array(Shape{T, N, I}, 7);
  BothWays model;
  set_threads(2);
  auto step = compile([&](Tape& tape, Tensor in) { return model(tape, in); }, CompileOptions{.branch_from = 1}, x);
  const Array two = step(x)[1].array();
  set_threads(1);
  CHECK(step(x)[1].array() == two);
  set_threads(before);
}

TEST_CASE("an error in one lane ends all of them, and the next replay is right") {
  const int before = threads();
  set_threads(2);
  BothWays model;
  Parameter table("table", random_array(Shape{5, I}, 3));
  const auto f = [&](Tape& tape, Tensor x, Tensor index) {
    const Tensor row = lookup(table, index);  // [N, I]
    return model(tape, x * reshape(row, {1, N, I}));
  };
  const Array x = random_array(Shape{T, N, I}, 7), good(std::vector<std::int32_t>{0, 1, 2, 3, 4, 0}),
              bad(std::vector<std::int32_t>{0, 1, 2, 3, 9, 0});
  auto step = compile(f, CompileOptions{.branch_from = 0}, x, good);
  const Array right = step(x, good)[1].array();
  CHECK_THROWS_AS(step(x, bad), Error);
  CHECK(step(x, good)[1].array() == right);
  set_threads(before);
}

TEST_CASE("values stand in each other's place in lanes too") {
  const int before = threads();
  set_threads(2);
  BothWays model;
  const auto memory = [&](Passes passes) {
    const Array x = random_array(Shape{T, N, I}, 7);
    auto step = compile([&](Tape& tape, Tensor in) { return model(tape, in); },
                        CompileOptions{.passes = passes, .branch_from = 0}, x);
    CHECK(step.explain().find("side by side: ") != std::string::npos);
    return step.memory();
  };
  CHECK(memory(Passes::all()) < 0.8 * static_cast<double>(memory(Passes::all() - Pass::reuse)));
  set_threads(before);
}

TEST_CASE("one chain of steps stays as it is") {
  const int before = threads();
  set_threads(2);
  HandLstm lstm(I, H);
  const Array x = random_array(Shape{T, N, I}, 7), zero(Shape{N, H});
  auto step = compile(
      [&](Tape&, Tensor in, Tensor h, Tensor c) {
        return lstm.unroll(in, {h, c}).back();
      },
      x, zero, zero);
  CHECK(step.explain().find("side by side") == std::string::npos);
  CHECK(step.explain().find("one kernel at a time, shared among threads, about") != std::string::npos);
  set_threads(before);
}

}  // namespace rw
