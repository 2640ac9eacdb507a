// Plans within a budget of memory: the same bits whatever the budget, and no more memory than that.
#include <functional>
#include <string>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/sequence/bidirectional.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/ops.h>

#include "../../../effort.h"
#include "../agree.h"
#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index T = 32, N = 32, I = 3, H = 4;  // blocks of four steps

using Function = std::function<std::vector<Tensor>(Tape&, const std::vector<Tensor>&)>;

/// A function of a sequence, and the parameters that it trains.
struct Kind {
  std::string name;
  Function f;
  std::vector<Parameter*> parameters;
  bool has_narrow_places = true;
};

std::vector<Parameter*> pointers(const Module& m) {
  std::vector<Parameter*> out;
  for (const auto& p : m.parameters()) out.push_back(p.parameter);
  return out;
}

Tensor last_loss(const std::vector<LstmCell::State>& states) { return mean(square(states.back().h)); }

/// What the tests run: all that holds a value for long in a way of its own.
struct Kinds {
  Rng rng{1};
  LstmCell lstm{I, H, rng}, decoder{I, H, rng};
  GruCell gru{I, H, rng};
  Stack<LstmCell> stack{{LstmCell(I, H, rng), LstmCell(H, H, rng)}};
  Bidirectional<LstmCell> both{LstmCell(I, H, rng), LstmCell(I, H, rng)};
  HandLstm hand{I, H, 3};

  Tensor of_hand(Tape& tape, Tensor x) {
    const Tensor zero = tape.constant(0, Shape{N, H});
    Tensor loss;
    LstmState s{zero, zero};
    for (Index t = 0; t < T; ++t) {
      s = hand.step(dropout(select(x, 0, t), 0.3), s);
      const Tensor term = mean(square(s.h - 0.1 * static_cast<double>(t)));
      loss = t == 0 ? term : loss + term;
    }
    return loss;
  }
  Tensor with_attention(Tape& tape, Tensor x) {
    std::vector<Tensor> keys;
    for (const auto& s : unroll(lstm, x, lstm.zero_state(tape, N))) keys.push_back(s.h);
    auto s = decoder.zero_state(tape, N);
    for (Index t = 0; t < T; ++t) {
      std::vector<Tensor> scores;
      for (Index k = 0; k < T; k += 8) scores.push_back(sum(keys[static_cast<std::size_t>(k)] * s.h, {-1}, true));
      const Tensor weights = softmax(concat(scores, 1));
      s = decoder.step(select(x, 0, t) * sum(weights, {-1}, true), s);
      s.h = s.h + slice(weights, 1, 0, 1) * keys[0];
    }
    return mean(square(s.h));
  }
  Tensor of_slope(Tape& tape, Tensor x) {
    const Tensor in = x * 1.0;
    const Tensor loss = last_loss(unroll(lstm, in, lstm.zero_state(tape, N)));
    return loss + sum(square(grad(loss, {in})[0]));
  }

  std::vector<Kind> all() {
    const auto trains = [](std::string name, const std::vector<Parameter*>& parameters, auto loss, bool narrow = true) {
      const Function f = [loss](Tape& tape, const std::vector<Tensor>& in) {
        const Tensor l = loss(tape, in[0]);
        backward(l);
        return std::vector{l};
      };
      return Kind{std::move(name), f, parameters, narrow};
    };
    return {
        trains("lstm", pointers(lstm),
               [&](Tape& tape, Tensor x) { return last_loss(unroll(lstm, x, lstm.zero_state(tape, N))); }),
        trains("gru, all states", pointers(gru),
               [&](Tape& tape, Tensor x) {
                 std::vector<Tensor> h;
                 for (const auto& s : unroll(gru, x, gru.zero_state(tape, N))) h.push_back(s.h);
                 return mean(square(concat(h, 0)));
               }),
        trains("stack", pointers(stack),
               [&](Tape& tape, Tensor x) {
                 return mean(square(unroll(stack, x, stack.zero_state(tape, N)).back().layers[1].h));
               }),
        trains("both directions", pointers(both),
               [&](Tape& tape, Tensor x) {
                 return mean(square(both.outputs(unroll(both, x, both.zero_state(tape, N)))));
               }),
        trains("steps with dropout, a loss at each", {&hand.W, &hand.R, &hand.b},
               [&](Tape& tape, Tensor x) { return of_hand(tape, x); }),
        trains(
            "attention",
            [&] {
              auto p = pointers(lstm);
              for (Parameter* q : pointers(decoder)) p.push_back(q);
              return p;
            }(),
            [&](Tape& tape, Tensor x) { return with_attention(tape, x); }),
        trains("second derivative", pointers(lstm), [&](Tape& tape, Tensor x) { return of_slope(tape, x); }),
        trains(
            "no loop", pointers(lstm),
            [&](Tape& tape, Tensor x) { return last_loss({lstm.step(select(x, 0, 0), lstm.zero_state(tape, N))}); },
            false),
    };
  }
};

CompileOptions within(std::size_t bytes, Passes passes = Passes::all()) {
  return {.passes = passes, .check = SelfCheck::off, .memory = bytes};
}

/// The number of bytes that the Error for a budget of nothing names.
std::size_t least_budget(const Kind& kind, const std::vector<Array>& x, Passes passes) {
  try {
    compile(kind.f, within(0, passes), x);
  } catch (const Error& e) {
    const std::string text = e.what(), before = "below the least for this function, ";
    const std::size_t at = text.find(before);
    REQUIRE(at != std::string::npos);
    return std::stoull(text.substr(at + before.size()));
  }
  FAIL("a budget of 0 bytes was met");
  return 0;
}

}  // namespace

TEST_CASE("results and gradients have the same bits whatever the budget, and the plan is within it") {
  Kinds kinds;
  const std::vector<Array> x{random_array(Shape{T, N, I}, 7)};
  for (const Kind& kind : kinds.all())
    for (const Passes passes : {Passes::all(), Passes::exact()}) {
      CAPTURE(kind.name);
      const bool exact = !passes.has(Pass::batch);
      CAPTURE(exact);
      auto whole = compile(kind.f, within(std::size_t{1} << 40, passes), x);
      const std::vector<Array> expected = compiled_call(whole, x, kind.parameters);
      CHECK(worst_difference(expected, on_a_tape(kind.f, x, kind.parameters, DType::f32)) < 2e-5);
      if (exact) {
        auto without = compile(kind.f, {.passes = passes, .check = SelfCheck::off}, x);
        CHECK(compiled_call(without, x, kind.parameters) == expected);
      }
      const std::size_t least = least_budget(kind, x, passes), most = whole.memory();
      CHECK((least < most) == kind.has_narrow_places);
      std::vector<std::size_t> budgets{least};
      if (full()) budgets = {least, (3 * least + most) / 4, (least + 3 * most) / 4};
      for (const std::size_t budget : budgets) {
        CompileOptions options = within(budget, passes);
        options.verify = exact && budget == least;  // each pass by itself
        auto step = compile(kind.f, options, x);
        CHECK(step.memory() <= budget);
        CHECK(compiled_call(step, x, kind.parameters) == expected);
        CHECK(compiled_call(step, x, kind.parameters) == expected);
      }
    }
}

namespace {

/// An LSTM over this many steps, and its loss.
struct Long {
  Rng rng{1};
  LstmCell lstm{I, H, rng};
  std::vector<Tensor> operator()(Tape& tape, const std::vector<Tensor>& in) const {
    const Tensor loss = last_loss(unroll(lstm, in[0], lstm.zero_state(tape, N)));
    backward(loss);
    return {loss};
  }
  Kind kind() const {
    return {"lstm", [this](Tape& tape, const std::vector<Tensor>& in) { return (*this)(tape, in); }, pointers(lstm)};
  }
};

std::string line_of(const std::string& text, const std::string& beginning) {
  const std::size_t at = text.find(beginning);
  return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at);
}

}  // namespace

TEST_CASE("of many segments few beginnings are stored, in little memory") {
  const Long model;
  const std::vector<Array> x{random_array(Shape{Index{3} * T, N, I}, 7)}, y{random_array(Shape{Index{8} * T, N, I}, 7)};
  const std::size_t short_least = least_budget(model.kind(), x, Passes::all());
  const std::size_t long_least = least_budget(model.kind(), y, Passes::all());
  CHECK(long_least < short_least * 5 / 4);  // of nearly three times the steps
  auto step = compile(model.kind().f, within(long_least), y), whole = compile(model.kind().f, within(1 << 30), y);
  CHECK(step.memory() * 12 < whole.memory());
  CHECK(compiled_call(step, y, model.kind().parameters) == compiled_call(whole, y, model.kind().parameters));
}

TEST_CASE("the report says what is kept, what is computed again and what that costs") {
  const Long model;
  const std::vector<Array> x{random_array(Shape{T, N, I}, 7)};
  const auto f = model.kind().f;
  const std::string much = compile(f, {.memory = 1 << 30}, x).explain(),
                    little = compile(f, {.memory = 70'000}, x).explain();
  CHECK(line_of(much, "memory: ").find("of 1073741824 bytes: all values are kept") != std::string::npos);
  CHECK(line_of(little, "memory: ").find("of 70000 bytes, where keeping all values takes ") != std::string::npos);
  CHECK(!line_of(little, "memory: the forward half is ").empty());
  CHECK(!line_of(little, "memory: kept of those: the beginnings of ").empty());
  CHECK(!line_of(little, "memory: estimated cost: ").empty());
  CHECK(line_of(little, "lengths: ").find("what fits the budget of memory is chosen for each length") !=
        std::string::npos);
  CHECK(compile(f, x).explain().find("memory: ") == std::string::npos);
}

TEST_CASE("a budget that is too small is an Error with the least one; a function without narrow places is told so") {
  Kinds kinds;
  const std::vector<Array> x{random_array(Shape{T, N, I}, 7)};
  const std::vector<Kind> all = kinds.all();
  CHECK_THROWS_WITH_AS(
      compile(all.front().f, {.memory = 1000}, x),
      doctest::Contains("compile: a memory budget of 1000 bytes is below the least for this function, "), Error);
  const auto one_op = [](Tape&, const std::vector<Tensor>& in) { return std::vector{tanh(in[0])}; };
  CHECK_THROWS_WITH_AS(compile(one_op, {.memory = 1000}, x), doctest::Contains("bytes: no place was found"), Error);
  const std::string told = compile(one_op, {.memory = 1 << 20}, x).explain();
  CHECK(line_of(told, "memory: ").find("all values are kept; no place was found") != std::string::npos);
}

TEST_CASE("with a budget, a call that is checked takes no more for its tape, unless it may") {
  const Long model;
  const std::vector<Array> x{random_array(Shape{T, N, I}, 7)};
  auto careful = compile(model.kind().f, {.memory = 70'000}, x);
  auto checked = compile(model.kind().f, {.check_bytes = std::size_t{1} << 30, .memory = 70'000}, x);
  careful(x), checked(x);
  CHECK(line_of(careful.explain(), "check: ").find("not checked: its tape would take") != std::string::npos);
  CHECK(line_of(checked.explain(), "check: ").find("checked: results and gradients") != std::string::npos);
}

TEST_CASE("other lengths within one budget, each with the bits that it has in any other") {
  const Long model;
  auto step = compile(model.kind().f, within(70'000), std::vector{random_array(Shape{T, N, I}, 7)});
  for (const Index length : {T, Index{9}, Index{1}, 2 * T, T + 1}) {
    CAPTURE(length);
    const std::vector<Array> x{random_array(Shape{length, N, I}, 7)};
    auto whole = compile(model.kind().f, within(1 << 30), x);
    CHECK(compiled_call(step, x, model.kind().parameters) == compiled_call(whole, x, model.kind().parameters));
  }
}

TEST_CASE("products in bf16 and other seeds, within a budget") {
  Kinds kinds;
  const std::vector<Array> x{random_array(Shape{T, N, I}, 7)};
  const Kind steps = kinds.all()[4];
  for (const Precision precision : {Precision::full, Precision::bf16}) {
    CompileOptions options = within(1 << 30);
    options.seed = 5;
    options.matmul = precision;
    options.force_bf16 = true;
    auto whole = compile(steps.f, options, x);
    options.memory = 70'000;
    auto step = compile(steps.f, options, x);
    for (const std::uint64_t seed : {5u, 6u}) {
      whole.set_seed(seed), step.set_seed(seed);
      CHECK(compiled_call(step, x, steps.parameters) == compiled_call(whole, x, steps.parameters));
    }
  }
}

}  // namespace rw
