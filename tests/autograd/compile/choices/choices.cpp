#include <doctest/doctest.h>

#include <rewind/autograd/compile/choices/choices.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/ops/ops.h>

#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index T = 9, N = 6, I = 20, H = 32;

/// An LSTM's states and gradients, compiled with these options, and called twice.
std::vector<Array> outcome(const CompileOptions& options, std::string* chosen = nullptr, std::string* said = nullptr) {
  HandLstm cell(I, H);
  const Array x = random_array(Shape{T, N, I}, 7);
  auto step = compile(
      [&](Tape& tape, Tensor in) {
        const Tensor zero = tape.constant(0, Shape{N, H});
        const auto states = cell.unroll(in, {zero, zero});
        const Tensor loss = total(states.back().h * states[2].c);
        backward(loss);
        return std::pair(loss, states.back().h);
      },
      options, x);
  std::vector<Array> out;
  for (int call = 0; call < 2; ++call) {
    const auto [loss, h] = step(x);
    out = {loss.array(), h.array(), cell.W.grad(), cell.R.grad(), cell.b.grad()};
  }
  if (chosen != nullptr) *chosen = step.choices();
  if (said != nullptr) *said = step.explain();
  return out;
}

TEST_CASE("choices are written down, and a function is made from them again") {
  std::string first, again, said;
  const std::vector<Array> expected = outcome({}, &first);
  CHECK(outcome({.choices = first}, &again, &said) == expected);
  CHECK(again == first);
  CHECK(said.find("choices: as CompileOptions::choices says\n") != std::string::npos);
  const ir::Choices c = ir::choices_of({.choices = "branch_from=7 pack_from=9 | element=0.125"});
  CHECK(c.branch_from == 7);
  CHECK(c.pack_from == 9);
  CHECK(c.costs.element == 0.125);
  CHECK(ir::choices_text(ir::choices_of({.choices = ir::choices_text(c)})) == ir::choices_text(c));
}

TEST_CASE("without a file of this machine the choices are those that are built in") {
  const ir::Choices c = ir::choices_of({}), builtin;
  CHECK(ir::choices_text(c) == ir::choices_text(builtin));
  CHECK(ir::choices_of({.branch_from = 3}).branch_from == 3);
  CHECK(ir::choices_of({.branch_from = 3}).chunk_from == 3);
}

TEST_CASE("choices that keep bits keep them, whatever they are") {
  const int before = threads();
  set_threads(2);
  const std::vector<Array> expected = outcome({});
  for (const ir::NumberField<ir::Choices>& f : ir::choice_fields())
    for (const double number : {f.least, std::min(f.most, ir::never)}) {
      if (!f.keeps_bits) continue;
      const std::string text = std::string(f.name) + "=" + std::to_string(number);
      CAPTURE(text);
      CHECK(outcome({.choices = text}) == expected);
    }
  // Costs choose lanes alone.
  CHECK(outcome({.choices = "branch_from=0 | multiplication=1 hand_over=0.001"}) == expected);
  set_threads(before);
}

TEST_CASE("plans of other lengths follow from those that the choices made, with the bits of one made as a whole") {
  HandLstm cell(I, H);
  const auto f = [&](Tape& tape, Tensor in) {
    const Tensor zero = tape.constant(0, Shape{N, H});
    return cell.unroll(in, {zero, zero}).back().h;
  };
  for (const char* rows : {"10", "84", "1000"}) {  // of T N there are 60 to 96
    CAPTURE(rows);
    const CompileOptions options{.choices = std::string("pack_from=1 one_thread=1 packed_rows=") + rows};
    auto step = compile(f, options, random_array(Shape{10, N, I}, 1));
    for (const Index length : {10, 16, 12, 13, 15}) {
      const Array x = random_array(Shape{length, N, I}, 2);
      auto whole = compile(f, options, x);
      CHECK(step(x).array() == whole(x).array());
    }
    if (std::string(rows) == "1000")
      CHECK(step.explain().find("follows from those of other lengths") != std::string::npos);
  }
}

TEST_CASE("bad choices are a clear error, before anything is traced") {
  const auto refused = [](const std::string& text, const std::string& why) {
    int traced = 0;
    CAPTURE(text);
    const auto f = [&](Tape&, Tensor x) { return ++traced, tanh(x); };
    CHECK_THROWS_WITH_AS(
        compile(f, CompileOptions{.choices = text}, Array(Shape{2})),
        ("compile: CompileOptions::choices: " + why + ": give what choices() of a compiled function wrote").c_str(),
        Error);
    CHECK(traced == 0);
  };
  refused("unknown=3", "'unknown=3' is none of the names that this version knows");
  refused("one_thread", "'one_thread' is not name=number");
  refused("one_thread=", "'one_thread=' is not name=number");
  refused("one_thread=1x", "'one_thread=1x' is not name=number");
  refused("one_thread=0.5", "'one_thread=0.5' is not a whole number");
  refused("one_thread=2", "'one_thread=2' is not from 0 to 1");
  refused("branch_from=nan", "'branch_from=nan' is not from 0 to 1000000000000");
  refused("branch_from=-inf", "'branch_from=-inf' is not from 0 to 1000000000000");
  refused("branch_from=1 branch_from=1", "'branch_from=1' is there twice");
  refused("| element=0", "'element=0' is not from 1e-07 to 1");
  refused("element=1", "'element=1' is none of the names that this version knows");
  refused("\n\x1b[31m=", "'\\x0a\\x1b[31m=' is none of the names that this version knows");
  refused("| |", "'|' is none of the names that this version knows");
}

}  // namespace
}  // namespace rw
