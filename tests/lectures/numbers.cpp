// Numbers of five lectures on recurrent networks: values of activations, clipping, convolution, programs. Where a slide
// errs, what it says is shown to be wrong. Lectures: A a survey with LSTM blocks, B sequence models, C a course for
// beginners, D what recurrent networks compute, E signal processing (docs/lectures.md).
#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/init.h>
#include <rewind/models/module.h>
#include <rewind/models/optim/clip.h>
#include <rewind/ops/ops.h>

using namespace rw;

namespace {

double sigmoid_of(double x) {
  Tape tape(DType::f64);
  return sigmoid(tape.constant(x)).item();
}

// Two decimals, as on a slide.
double rounded(double x) { return std::round(100 * x) / 100; }

}  // namespace

TEST_CASE("A: sigmoid(5) is 0.99, sigmoid(0.1) is 0.52; what the slide calls sigmoid(-0.5) is sigmoid(-5)") {
  CHECK(sigmoid_of(5) == doctest::Approx(0.9933).epsilon(1e-4));
  CHECK(rounded(sigmoid_of(5)) == 0.99);
  CHECK(sigmoid_of(0.1) == doctest::Approx(0.5250).epsilon(1e-4));
  CHECK(rounded(sigmoid_of(0.1) - 0.005) == 0.52);  // shown cut, not rounded
  CHECK(sigmoid_of(-0.5) == doctest::Approx(0.3775).epsilon(1e-4));
  CHECK(sigmoid_of(-5) == doctest::Approx(0.0067).epsilon(1e-2));
  // The figure is headed tanh, of which neither is a value.
  Tape tape(DType::f64);
  CHECK(tanh(tape.constant(5)).item() > 0.999);
  CHECK(tanh(tape.constant(-0.5)).item() == doctest::Approx(-0.4621).epsilon(1e-4));
}

TEST_CASE("A: clipping by the norm, and the slide's code, whose norm lacks its square root") {
  // if norm >= threshold: grad *= threshold / norm, with norm = sum(grad * grad).
  const auto slide = [](double x, double y, double threshold) {
    const double norm = x * x + y * y, factor = norm >= threshold ? threshold / norm : 1;
    return factor * std::sqrt(x * x + y * y);
  };
  const auto clipped = [](double x, double y, double threshold) {
    Parameter p("w", Array({0.0, 0.0}, {2}));
    Tape tape(DType::f64);
    backward(sum(tape.leaf(p) * tape.constant(Array({x, y}, {2}))));
    const NamedParameter all[] = {{"w", &p}};
    clip_grad_norm(all, threshold);
    return std::hypot(p.grad().at({0}), p.grad().at({1}));
  };
  CHECK(clipped(2, 0, 3) == doctest::Approx(2));  // within bounds
  CHECK(slide(2, 0, 3) == doctest::Approx(1.5));  // scaled by 3/4 all the same
  CHECK(clipped(3, 4, 5) == doctest::Approx(5));
  CHECK(slide(3, 4, 5) == doctest::Approx(1));
}

namespace {

// The kernel laid on every place of the input: [rows - 2, cols - 2].
Array convolved(const Array& input, const Array& kernel) {
  Tape tape;
  const Tensor x = tape.constant(input), k = tape.constant(kernel);
  const Index rows = x.size(0) - 2, cols = x.size(1) - 2;
  Tensor y = tape.constant(0, Shape{rows, cols});
  for (Index i = 0; i < 3; ++i)
    for (Index j = 0; j < 3; ++j) y += slice(slice(x, 0, i, rows), 1, j, cols) * slice(slice(k, 0, i, 1), 1, j, 1);
  return y.array();
}

}  // namespace

TEST_CASE("C: a convolution by hand; the slide's input has a column too many") {
  const Array kernel({1.f, 0.f, 1.f, 0.f, 1.f, 0.f, 1.f, 0.f, 1.f}, {3, 3});
  const Array input({0.f, 1.f, 1.f, 1.f, 0.f, 0.f, 0.f, 0.f, 0.f, 1.f, 1.f, 1.f, 0.f, 0.f, 0.f, 0.f, 0.f,
                     1.f, 1.f, 1.f, 0.f, 0.f, 0.f, 0.f, 1.f, 1.f, 0.f, 0.f, 0.f, 0.f, 1.f, 1.f, 0.f, 0.f,
                     0.f, 0.f, 1.f, 1.f, 0.f, 0.f, 0.f, 0.f, 1.f, 1.f, 0.f, 0.f, 0.f, 0.f, 0.f},
                    {7, 7});
  const Array result({1.f, 4.f, 3.f, 4.f, 1.f, 1.f, 2.f, 4.f, 3.f, 3.f, 1.f, 2.f, 3.f,
                      4.f, 1.f, 1.f, 3.f, 3.f, 1.f, 1.f, 3.f, 3.f, 1.f, 1.f, 0.f},
                     {5, 5});
  CHECK(convolved(input, kernel) == result);
  // As printed: eight columns, and a seventh 1 in the third row.
  Tape tape;
  Array printed = concat({tape.constant(input), tape.constant(0, Shape{7, 1})}, 1).array();
  printed.set({2, 6}, 1);
  const Array other = convolved(printed, kernel);
  CHECK(other.shape() == Shape{5, 6});
  int differ = 0;
  for (Index i = 0; i < 5; ++i)
    for (Index j = 0; j < 5; ++j)
      if (other.at({i, j}) != result.at({i, j})) {
        CHECK(result.at({i, j}) == 1);
        CHECK(other.at({i, j}) == 2);
        ++differ;
      }
  CHECK(differ == 2);
  const double sixth[] = {1, 1, 1, 0, 0};
  for (Index i = 0; i < 5; ++i) CHECK(other.at({i, 5}) == sixth[i]);
}

TEST_CASE("D: the programs of learning to execute, and what they print") {
  Index j = 8584;
  for (int x = 0; x < 8; ++x) j += 920;
  const Index b = 1500 + j;
  CHECK(b + 7567 == 25011);
  const Index i = 8827, c = i - 5347;
  const Index printed = 2641 < 8500 ? c + 8704 : 5308;
  CHECK(printed == 12184);
  CHECK(std::to_string(printed) == "1218" + std::string("4"));  // the slide shows 1218, a digit too few
  CHECK(5997 - 738 == 5259);
  CHECK((1090 - 3305) + 9466 == 7251);
  Index d = 5446;
  for (int x = 0; x < 8; ++x) d += 9848;
  CHECK_FALSE(4803 < 2829);
  CHECK((4803 < 2829 ? d : 3043) == 3043);
  CHECK_FALSE(5935 < 4845);
}

TEST_CASE("C, D: the log-loss of a generator is the sum of -log Pr(x_t | what came before)") {
  Tape tape(DType::f64);
  Rng rng(1);
  const Tensor logits = tape.constant(uniform(rng, {4, 1, 3}, -1, 1));
  const Array symbols({2, 0, 1, 1}, {4, 1});
  const Array probabilities = softmax(logits).array();
  double expected = 0, likelihood = 1;
  for (Index t = 0; t < 4; ++t) {
    const double p = probabilities.at({t, 0, static_cast<Index>(symbols.at({t, 0}))});
    expected -= std::log(p);
    likelihood *= p;
  }
  CHECK(expected == doctest::Approx(-std::log(likelihood)));
  CHECK(cross_entropy(logits, tape.constant(symbols), {.reduction = Reduction::sum}).item() ==
        doctest::Approx(expected).epsilon(1e-14));
}
