// Numbers of five lectures on recurrent networks: values of activations, clipping, convolution, programs. Where a slide
// errs, what it says is shown to be wrong. Lectures: A a survey with LSTM blocks, B sequence models, C a course for
// beginners, D what recurrent networks compute, E signal processing (docs/lectures.md).
#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/classic/hmm.h>
#include <rewind/models/init.h>
#include <rewind/models/metrics.h>
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

// A picture and a kernel of one channel: [rows - 2, cols - 2].
Array convolved(const Array& input, const Array& kernel) {
  Tape tape;
  const Index rows = input.shape()[0], cols = input.shape()[1];
  return conv2d(tape.constant(input.reshaped({1, 1, rows, cols})), tape.constant(kernel.reshaped({1, 1, 3, 3})))
      .array()
      .reshaped({rows - 2, cols - 2});
}

}  // namespace

TEST_CASE("C: a convolution; the slide's input has a column too many") {
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

TEST_CASE("D: the two programs that show learning to execute, and what they print") {
  // j=8584; for x in range(8): j+=920; b=(1500+j); print((b+7567))
  Index j = 8584;
  for (int x = 0; x < 8; ++x) j += 920;
  const Index b = 1500 + j;
  CHECK(b + 7567 == 25011);
  // i=8827; c=(i-5347); print((c+8704) if 2641<8500 else ...)
  const Index i = 8827, c = i - 5347;
  CHECK(2641 < 8500);
  CHECK(c + 8704 == 12184);
  CHECK(std::to_string(c + 8704).substr(0, 4) == "1218");  // what the slide shows: a digit is cut off
}

namespace {

// The part of a number's digits that a prediction has right, as such networks are scored.
double right_digits(Index predicted, Index target) {
  const std::string p = std::to_string(predicted), t = std::to_string(target);
  const Index n = static_cast<Index>(t.size());
  REQUIRE(p.size() == t.size());
  Array logits({n, 10}), digits({n}, DType::i32);
  for (Index i = 0; i < n; ++i) {
    logits.set({i, p[static_cast<std::size_t>(i)] - '0'}, 1);
    digits.set({i}, t[static_cast<std::size_t>(i)] - '0');
  }
  Score score;
  score.add(logits, digits);
  return score.accuracy();
}

}  // namespace

TEST_CASE("D: what four programs print, and what baseline, naive, mix and combined curriculum predict") {
  const Index difference = 5997 - 738;  // print((5997-738))
  CHECK(difference == 5259);
  CHECK(right_digits(5101, difference) == 0.25);  // baseline and naive
  CHECK(right_digits(5249, difference) == 0.75);  // mix
  CHECK(right_digits(5229, difference) == 0.75);  // combined
  const Index sum = (1090 - 3305) + 9466;         // print(((1090-3305)+9466))
  CHECK(sum == 7251);
  CHECK(right_digits(7111, sum) == 0.5);   // baseline
  CHECK(right_digits(7099, sum) == 0.25);  // naive
  CHECK(right_digits(7595, sum) == 0.25);  // mix
  CHECK(right_digits(7699, sum) == 0.25);  // combined: no curriculum has it, and the best is the one without
  // print(6652): all have it. So they have
  // d=5446; for x in range(8): d+=(... if 4803<2829 else 9848); print((d if 5935<4845 else 3043))
  CHECK_FALSE(4803 < 2829);
  Index d = 5446;
  for (int x = 0; x < 8; ++x) d += 9848;
  const Index printed = 5935 < 4845 ? d : 3043;
  CHECK(d == 84230);
  CHECK(printed == 3043);  // the loop's work is for nothing
  for (const Index all_right : {Index{6652}, printed}) CHECK(right_digits(all_right, all_right) == 1);
}

TEST_CASE("D: a hidden Markov model of N states remembers log2 N bits") {
  // A state stays, and says what it is or, as often, nothing. What is known after "3, nothing, nothing, ..." beside
  // "nothing, nothing, ..." is what the model remembers.
  const Index N = 8;
  const Array start = full({N}, 1.0 / static_cast<double>(N), DType::f64);
  Array emission({N, N + 1}, DType::f64);
  for (Index s = 0; s < N; ++s) emission.set({s, s}, 0.5), emission.set({s, N}, 0.5);
  const DiscreteHmm hmm(start, identity(N), emission);
  const auto entropy = [&](Index first) {  // of the last state, in bits
    Tape tape(DType::f64);
    Array x = full({20, 1}, static_cast<double>(N), DType::i32);
    x.set({0, 0}, static_cast<double>(first));
    double sum = 0;
    for (const double p : select(hmm_posterior(hmm.scores(tape.constant(x))).states, 0, -1).array().to_vector<double>())
      sum -= p > 0 ? p * std::log2(p) : 0;
    return sum;
  };
  CHECK(entropy(N) == doctest::Approx(std::log2(N)).epsilon(1e-12));
  CHECK(entropy(3) == doctest::Approx(0));
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
