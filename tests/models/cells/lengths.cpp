// Plans of lengths that follow from those of others, beside plans that are compiled anew: the same bits, for every
// cell.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/threads.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/sequence/bidirectional.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/ops.h>

#include "../../effort.h"

using namespace rw;

namespace {

int lengths_tried() { return test::full() ? 15 : test::sanitized ? 5 : 6; }

struct Sizes {
  Index batch, in, hidden;
};

/// A loss of x [T, N, in] that adds gradients to parameters of `module`, compiled with lengths that follow and without:
/// gives how many followed.
template <class F>
int followers(const Module& module, const F& f, const Sizes& s, DType dtype) {
  const auto sequence = [&](Index T) {
    Rng rng(static_cast<std::uint64_t>(T));
    return uniform(rng, {T, s.batch, s.in}, -1, 1).to(dtype);
  };
  const CompileOptions with{.dtype = dtype};  // which checks the first that follows
  const CompileOptions without{.dtype = dtype, .passes = Passes::all() - Pass::loops, .check = SelfCheck::off};
  auto loops = compile(f, with, sequence(9));
  auto anew = compile(f, without, sequence(9));
  Rng lengths(static_cast<std::uint64_t>(s.hidden));
  int count = 0;
  for (int i = 0; i < lengths_tried(); ++i) {
    const Index T = i == 0 ? 9 : i == 1 ? 33 : i == 2 ? 65 : 9 + lengths.below(57);
    CAPTURE(T);
    const Array x = sequence(T);
    std::vector<Array> found[2];
    const auto run = [&](auto& compiled, std::vector<Array>& to) {
      for (const NamedParameter& p : module.parameters()) p.parameter->zero_grad();
      compiled.set_step(7);
      to.push_back(compiled(x).array());
      for (const NamedParameter& p : module.parameters()) to.push_back(p.parameter->grad());
    };
    run(loops, found[0]);
    run(anew, found[1]);
    for (std::size_t k = 0; k < found[0].size(); ++k) {
      CAPTURE(k);
      CHECK(found[0][k] == found[1][k]);
    }
    count += loops.explain().find("no pass ran for it") != std::string::npos ? 1 : 0;
  }
  return count;
}

template <class C>
int followers_of(const C& cell, const Sizes& s, DType dtype) {
  cell.to(dtype);
  const auto f = [&](Tape& tape, Tensor x) {
    const auto states = unroll(cell, x, cell.zero_state(tape, x.size(1)));
    const Tensor loss = mean(square(outputs(cell, states))) + mean(tanh(output(cell, states.back())));
    backward(loss);
    return loss;
  };
  return followers(cell, f, s, dtype);
}

const std::vector<Sizes> sizes{{1, 3, 4}, {5, 2, 33}, {16, 8, 64}, {3, 1, 2}};

}  // namespace

TEST_CASE("lengths that follow have the bits of plans of their own: every cell") {
  const int before = threads();
  for (const int n : {1, 2}) {
    if (test::sanitized && n == 1) continue;
    set_threads(n);
    std::size_t which = 0;
    for (const std::string_view name : cell_names()) {
      const std::string text(name);
      CAPTURE(text);
      for (const Sizes& s : sizes) {
        if (!test::full() && ++which % sizes.size() != (n == 1 ? 0U : 1U)) continue;
        if (text == "clockwork" && s.hidden == 33) continue;  // 33 units have groups of other periods
        const Sizes used = text == "mlstm" || text == "fast-weights" ? Sizes{2, 3, 5} : s;
        CAPTURE(used.hidden);
        Rng rng(1);
        const AnyCell cell = make_cell(name, used.in, used.hidden, rng, {.bias = Bias::two});
        followers_of(cell, used, which % 3 == 0 ? DType::f64 : DType::f32);
      }
    }
  }
  set_threads(before);
}

TEST_CASE("lengths that follow: options, wrappers, stacks and both directions") {
  Rng rng(1);
  for (const Sizes& s : sizes) {
    if (!test::full() && s.hidden != 64 && (s.hidden != 4 || test::sanitized)) continue;
    CAPTURE(s.hidden);
    for (const char* name : {"lstm+peepholes+norm", "lstm+heads=2+coupled", "gru+before+learned", "gru+act=2",
                             "rnn+zoneout=0.1", "lstm+drop-x=0.2+drop-h=0.1"}) {
      if (s.hidden % 2 != 0) continue;
      CAPTURE(std::string(name));
      followers_of(make_cell(name, s.in, s.hidden, rng), s, DType::f32);
    }
    std::vector<AnyCell> layers;
    layers.push_back(make_cell("lstm", s.in, s.hidden, rng));
    layers.push_back(make_cell("gru", s.hidden, s.hidden, rng));
    const Stack<AnyCell> stack(std::move(layers));
    followers_of(stack, s, DType::f32);
    const Bidirectional<AnyCell> both(make_cell("lstm", s.in, s.hidden, rng), make_cell("lstm", s.in, s.hidden, rng));
    const auto f = [&](Tape& tape, Tensor x) {
      const Tensor loss = mean(square(outputs(both, unroll(both, x, both.zero_state(tape, x.size(1))))));
      backward(loss);
      return loss;
    };
    followers(both, f, s, DType::f32);
  }
}

// Its parameters come in another order than those of the plans that it follows from.
TEST_CASE("the check of a plan that follows: a network that reads symbols") {
  Rng rng(1);
  const LstmCell cell(5, 4, rng);
  const Linear head(4, 2, rng);
  const auto f = [&](Tape& tape, Tensor x) {
    const auto states = unroll(cell, x, cell.zero_state(tape, x.size(1)));
    const Tensor loss = mean(square(head(states.back().h)));
    backward(loss);
    return loss;
  };
  const auto symbols = [&](Index T) {
    Array x({T, 3}, DType::i32);
    for (std::int32_t& s : x.span<std::int32_t>()) s = static_cast<std::int32_t>(rng.below(5));
    return x;
  };
  auto loops = compile(f, CompileOptions{}, symbols(30));
  auto anew = compile(f, {.passes = Passes::all() - Pass::loops}, symbols(30));
  for (const Index T : {30, 31, 33, 32, 32}) {
    CAPTURE(T);
    const Array x = symbols(T);
    std::vector<Array> found[2];
    const auto run = [&](auto& compiled, std::vector<Array>& to) {
      for (const Module* module : {static_cast<const Module*>(&cell), static_cast<const Module*>(&head)})
        for (const NamedParameter& p : module->parameters()) p.parameter->zero_grad();
      compiled(x);
      for (const Module* module : {static_cast<const Module*>(&cell), static_cast<const Module*>(&head)})
        for (const NamedParameter& p : module->parameters()) to.push_back(p.parameter->grad());
    };
    run(loops, found[0]);
    run(anew, found[1]);
    CHECK(found[0] == found[1]);
  }
  CHECK(loops.explain().find("no pass ran for it") != std::string::npos);
}

TEST_CASE("most lengths of a plain cell follow") {
  Rng rng(1);
  const int before = threads();
  set_threads(1);
  const AnyCell lstm = make_cell("lstm", 3, 4, rng);
  CHECK(followers_of(lstm, {2, 3, 4}, DType::f32) >=
        (test::full() ? 9 : lengths_tried() - 3));  // the first three are compiled
  set_threads(before);
}
