// Arguments that are memory a replay writes, and gradients that were replaced.
#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/models/module.h>
#include <rewind/models/optim/clip.h>
#include <rewind/models/optim/optimizer.h>
#include <rewind/models/optim/weight_average.h>
#include <rewind/ops/ops.h>

#include "agree.h"
#include "hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

TEST_CASE("an argument may be the gradient that the step adds to, a part of it, or a parameter's value") {
  for (const Index n : {1, 4, 64}) {
    CAPTURE(n);
    Parameter w("w", random_array(Shape{n, n}, 1)), v("v", random_array(Shape{n, n}, 2));
    const auto f = [&](Tape&, Tensor x, Tensor part) {
      const Tensor y = mean(tanh(matmul(matmul(x, w), v))) + mean(matmul(part, w));
      backward(y);
      return y;
    };
    const Array start = random_array(Shape{n, n}, 3);
    const auto begin = [&] {
      w.grad() = start;
      v.grad() = random_array(Shape{n, n}, 4);
    };
    // The last rows of the other gradient.
    const auto part_of = [&](const Array& a) {
      ConstView part = a.view();
      part.shape = Shape{1, n};
      part.data = part.as<float>() + (n - 1) * n;
      return part;
    };
    for (const bool value : {false, true}) {
      begin();
      Tape tape;
      const Tensor loss =
          f(tape, tape.constant(value ? w.value() : w.grad()), tape.constant(part_of(value ? v.value() : v.grad())));
      const Array gw = w.grad(), gv = v.grad();
      begin();
      auto step = compile(f, start, Array(Shape{1, n}));
      for (int again = 0; again < 2; ++again) {
        begin();
        const Array& a = value ? w.value() : w.grad();
        const Tensor y = step(a, part_of(value ? v.value() : v.grad()));
        CHECK(y.item() == doctest::Approx(loss.item()).epsilon(1e-5));
        CHECK(difference(w.grad(), gw) < 1e-5);
        CHECK(difference(v.grad(), gv) < 1e-5);
      }
    }
  }
}

class Two : public Module {
 public:
  Parameter &a = param("a", random_array(Shape{8, 8}, 1)), &b = param("b", random_array(Shape{8, 8}, 2));
};

TEST_CASE(
    "a gradient that was moved out or replaced is refused by everybody who adds or reads, before anything moves") {
  Two model;
  const Array x = random_array(Shape{8, 8}, 3);
  auto step = compile(
      [&](Tape&, Tensor in) {
        const Tensor y = mean(matmul(matmul(in, model.a), model.b));
        backward(y);
        return y;
      },
      x);
  const double expected = step(x).item();
  model.zero_grad();
  Sgd sgd(model.parameters(), {.rate = 0.1, .momentum = 0.5});
  RmsProp rms(model.parameters());
  Adam adam(model.parameters());
  AdamW adamw(model.parameters());
  const Array a = model.a.value(), ga = random_array(Shape{8, 8}, 4);
  const auto spoil = [&](int how) {
    model.a.grad() = ga;
    model.b.grad() = zeros(8, 8);
    if (how == 0) [[maybe_unused]]
      const Array taken = std::move(model.b.grad());
    if (how == 1) model.b.grad() = zeros(2, 2);
    if (how == 2) model.b.grad() = zeros(Shape{8, 8}, DType::f64);
    if (how == 3) model.b.grad() = zeros(64);
  };
  const char* said[] = {"replaced by f32 (0)", "replaced by f32 (2, 2)", "replaced by f64 (8, 8)",
                        "replaced by f32 (64)"};
  for (int how = 0; how < 4; ++how) {
    CAPTURE(how);
    spoil(how);
    CHECK_THROWS_WITH_AS(step(x), doctest::Contains(said[how]), Error);
    for (Optimizer* optimizer : std::initializer_list<Optimizer*>{&sgd, &rms, &adam, &adamw}) {
      CHECK_THROWS_WITH_AS(optimizer->step(), doctest::Contains(said[how]), Error);
      CHECK(optimizer->steps() == 0);
    }
    CHECK_THROWS_WITH_AS(grad_norm(model.parameters()), doctest::Contains(said[how]), Error);
    CHECK_THROWS_WITH_AS(clip_grad_norm(model.parameters(), 1e-6), doctest::Contains(said[how]), Error);
    CHECK_THROWS_WITH_AS(clip_grad_value(model.parameters(), 1e-6), doctest::Contains(said[how]), Error);
    CHECK_THROWS_WITH_AS(mean_over_uses(model.parameters(), 5), doctest::Contains(said[how]), Error);
    CHECK(model.a.value() == a);
    CHECK(model.a.grad() == ga);
  }
  spoil(4);
  CHECK(step(x).item() == expected);
}

TEST_CASE("what keeps arrays beside parameters says so when they were converted, before anything moves") {
  Two model;
  Adam adam(model.parameters());
  WeightAverage average(model.parameters(), {});
  model.b.convert(DType::f64);
  model.a.grad().fill(1);
  const Array a = model.a.value();
  CHECK_THROWS_WITH_AS(adam.step(), doctest::Contains("converted to f64 after the optimizer was made"), Error);
  CHECK_THROWS_WITH_AS(average.update(), doctest::Contains("converted to f64"), Error);
  CHECK(model.a.value() == a);
  CHECK(adam.steps() == 0);
}

}  // namespace
}  // namespace rw
