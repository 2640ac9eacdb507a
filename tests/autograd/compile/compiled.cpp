#include <algorithm>
#include <cstdio>
#include <set>
#include <string>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/weights/serialize.h>
#include <rewind/ops/ops.h>

#include "agree.h"
#include "hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

TEST_CASE("a throw while a new shape is compiled leaves plans, results, gradients and state as they were") {
  HandLstm lstm(3, 4);
  const auto f = [&](Tape& tape, Tensor x) {
    const Tensor zero = tape.constant(0, Shape{x.size(1), 4});
    const auto states = lstm.unroll(x, {zero, zero});
    const Tensor loss = sum_of_h(states);
    backward(loss);
    if (x.size(0) == 3) throw Error("no three steps");
    if (x.size(0) == 4) return std::pair(loss, tape.constant(loss.item(), Shape{1}));
    return std::pair(loss, states.back().h);
  };
  const Array two = random_array(Shape{2, 2, 3}, 5);
  auto step = compile(f, two);
  const auto [loss, h] = step(two);
  const Array expected = h.array(), gradient = lstm.W.grad();
  const std::string said = step.explain();

  CHECK_THROWS_WITH_AS(step(random_array(Shape{3, 2, 3}, 5)), "no three steps", Error);
  CHECK_THROWS_WITH_AS(step(random_array(Shape{4, 2, 3}, 5)), doctest::Contains("while compile traces"), Error);
  CHECK_THROWS_AS(step(random_array(Shape{2, 2, 5}, 5)), Error);  // does not fit the weights

  CHECK(step.plans() == 1);
  CHECK(step.explain() == said);
  CHECK(h.array() == expected);
  CHECK(lstm.W.grad() == gradient);
  lstm.W.zero_grad();
  CHECK(step(two).second.array() == expected);
  CHECK(lstm.W.grad() == gradient);
}

TEST_CASE("weights that are loaded again are seen") {
  const std::string path = "compiled_weights_" + std::to_string(getpid()) + ".safetensors";
  Rng rng(1);
  const Linear layer(3, 2, rng);
  save_model(path, layer);
  const Array x = random_array(Shape{4, 3}, 2);
  auto f = compile([&](Tape&, Tensor in) { return layer(in); }, x);
  const Array before = f(x).array();
  for (const NamedParameter& p : layer.parameters()) p.parameter->set(random_array(p.parameter->shape(), 7));
  CHECK(difference(f(x).array(), before) > 0.1);
  load_model(path, layer);
  CHECK(f(x).array() == before);
  CHECK(f.plans() == 1);
  std::remove(path.c_str());
}

// What `f` writes to the standard error.
template <class F>
std::string complaints(F f) {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  std::fflush(stderr);
  const int kept = dup(2);
  dup2(fileno(file), 2);
  f();
  std::fflush(stderr);
  dup2(kept, 2);
  close(kept);
  std::rewind(file);
  std::string text(2000, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

TEST_CASE("a seventeenth shape is a warning, once, that names the way out; buckets avoid it") {
  const auto steps = [](auto shape_of) {
    auto f = compile([](Tape&, Tensor x) { return sum(x); }, Array(Shape{1}));
    for (Index n = 1; n <= 32; ++n) f.prepare(Array(shape_of(n)));
    return f.plans();
  };
  std::size_t plans = 0;
  // Extents that are no line, so that no plan follows from others.
  const std::string said = complaints([&] { plans = steps([](Index n) { return Shape{n, n * n}; }); });
  CHECK(plans == 16);
  CHECK(said.find("rw::bucket") != std::string::npos);
  CHECK(std::count(said.begin(), said.end(), '\n') == 1);
  CHECK(complaints([&] { plans = steps([](Index n) { return Shape{bucket(n)}; }); }).empty());
  std::set<Index> buckets;
  for (Index n = 1; n <= 32; ++n) buckets.insert(bucket(n));
  CHECK(plans == buckets.size());
  CHECK(plans < 32);
}

std::vector<double> numbers(const Array& a) {
  const Array all = a.to(DType::f64);
  return {all.span<double>().begin(), all.span<double>().end()};
}

TEST_CASE("an eager function has the bits and the steps of a tape; its results go into the next call") {
  Parameter w("w", random_array(Shape{4}, 3));
  const auto f = [&](Tape&, Tensor x, Tensor h) {
    const Tensor next = dropout(x * w + h, 0.5);
    backward(sum(square(next)));
    return std::pair(next, next.value().size());  // a value can be looked at
  };
  const Array x = random_array(Shape{2, 4}, 4), zero(Shape{2, 4});
  auto step = compile(f, {.seed = 7, .eager = true}, x, zero);
  CHECK(step.plans() == 0);
  Tensor h = step(x, zero).first;
  h = step(x, h).first;
  h = step(x, h).first;
  CHECK(step.next_step() == 3);
  const Array found = h.array(), gradient = w.grad();

  w.zero_grad();
  Array by_hand = zero;
  Tape tape(TapeOptions{.dtype = x.dtype(), .seed = 7});
  for (std::uint64_t i = 0; i < 3; ++i) {
    tape.clear();
    tape.set_step(i);
    by_hand = f(tape, tape.constant(x), tape.constant(by_hand)).first.array();
  }
  CHECK(numbers(found) == numbers(by_hand));
  CHECK(numbers(gradient) == numbers(w.grad()));

  // A call that fails leaves the last results as they were; one that does not makes them stale.
  CHECK_THROWS_AS(step(x, Array(Shape{3, 5})), Error);
  CHECK(step.next_step() == 3);
  CHECK(numbers(h.array()) == numbers(found));
  step(x, h);
  CHECK_THROWS_WITH_AS(step(x, h), doctest::Contains("stale"), Error);
  CHECK_THROWS_WITH_AS(step.explain(), "compile: nothing is compiled yet", Error);
}

}  // namespace
}  // namespace rw
