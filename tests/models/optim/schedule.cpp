#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/optim/schedule.h>

#include "../golden_text.h"

using namespace rw;

namespace {

// tests/golden/schedules.py
const std::vector<double> losses = {5,   4, 4.2, 4.1, 3.99999, 3,   3.1, 3.2, 3.3, 3.4, 3.5, 3.6,
                                    3.7, 2, 2.1, 2.2, 2.3,     2.4, 2.5, 2.6, 2.7, 2.8, 2.9, 3};

std::vector<double> rates(const Schedule& schedule) {
  std::vector<double> all;
  for (Index done = 0; done < 24; ++done) all.push_back(schedule(done));
  return all;
}

std::vector<double> rates(Plateau plateau) {
  std::vector<double> all;
  for (const double loss : losses) {
    all.push_back(0.5 * plateau.scale());
    plateau.observe(loss);
  }
  return all;
}

}  // namespace

TEST_CASE("schedules are PyTorch's where it has the kind") {
  const std::map<std::string, std::vector<double>> ours = {
      {"step", rates(StepDecay{.rate = 0.5, .factor = 0.3, .after = 4, .every = 4})},
      {"exponential", rates(ExponentialDecay{.rate = 0.5, .factor = 0.9})},
      {"cosine", rates(CosineDecay{.rate = 0.5, .steps = 23, .floor = 0.05})},
      {"restarts", rates(CosineDecay{.rate = 0.5, .steps = 5, .floor = 0.05, .restarts = true})},
      {"growing", rates(CosineDecay{.rate = 0.5, .steps = 3, .floor = 0.05, .restarts = true, .growth = 2})},
      {"warm_up", rates(warm_up(CosineDecay{.rate = 0.5, .steps = 18, .floor = 0.05}, 5, 0.1))},
      {"plateau", rates(Plateau({.factor = 0.5, .patience = 2}))},
      {"plateau_cooldown", rates(Plateau({.factor = 0.3, .patience = 1, .cooldown = 2, .floor = 0.04}))}};
  const auto expected = test::golden_text("schedules.txt");
  REQUIRE(expected.size() == ours.size());
  for (const auto& golden : expected) {
    CAPTURE(golden.first);
    const std::vector<double>& got = ours.at(golden.first);
    REQUIRE(golden.second.size() == got.size());
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(golden.second[i]).epsilon(1e-12));
  }
}

TEST_CASE("StepDecay") {
  const StepDecay recipe{.rate = 2e-3, .factor = 0.97, .after = 10};
  CHECK(recipe(0) == 2e-3);
  CHECK(recipe(9) == 2e-3);
  CHECK(recipe(10) == doctest::Approx(2e-3 * 0.97));
  CHECK(recipe(12) == doctest::Approx(2e-3 * 0.97 * 0.97 * 0.97));
  const StepDecay slow{.rate = 1, .factor = 0.5, .after = 100, .every = 100};
  CHECK(slow(99) == 1);
  CHECK(slow(199) == 0.5);
  CHECK(slow(200) == 0.25);
  CHECK(StepDecay{.rate = 3}(1000) == 3);
}

TEST_CASE("ExponentialDecay counts in its own unit, CosineDecay stays down") {
  const ExponentialDecay halves{.rate = 8, .factor = 0.5, .every = 10};
  CHECK(halves(20) == 2);
  CHECK(halves(5) == doctest::Approx(8 * std::sqrt(0.5)));
  const CosineDecay cosine{.rate = 1, .steps = 10, .floor = 0.25};
  CHECK(cosine(5) == doctest::Approx(0.625));
  CHECK(cosine(10) == 0.25);
  CHECK(cosine(1000) == 0.25);
  CHECK(CosineDecay{.rate = 1, .steps = 7, .restarts = true}(7'000'000'000'000) == 1);
}

TEST_CASE("schedules are put together") {
  const Schedule once = in_turn(StepDecay{.rate = 1}, 3, ExponentialDecay{.rate = 8, .factor = 0.5});
  CHECK(rates(once)[2] == 1);
  CHECK(rates(once)[3] == 8);
  CHECK(rates(once)[4] == 4);
  const Schedule both = product(once, [](Index done) { return static_cast<double>(done); });
  CHECK(both(4) == 16);
  const Schedule warm = warm_up(both, 2, 0.5);
  CHECK(warm(0) == 0);
  CHECK(warm(6) == 16);
  CHECK(warm_up(StepDecay{.rate = 3}, 0)(0) == 3);
}

TEST_CASE("a saved plateau goes on to the same bits, and a state that does not fit changes nothing") {
  const PlateauOptions options{.factor = 0.7, .patience = 1, .cooldown = 1};
  Plateau a(options), b(options);
  for (std::size_t i = 0; i < 9; ++i) a.observe(losses[i]);
  b.set_state(a.state());
  CHECK(b.scale() < 1);
  for (std::size_t i = 9; i < losses.size(); ++i) CHECK(a.observe(losses[i]) == b.observe(losses[i]));

  auto state = a.state();
  const double scale = a.scale();
  state.pop_back();
  state.push_back({"cold", full({}, 0, DType::f64)});
  CHECK_THROWS_WITH_AS(a.set_state(state), "the saved state is not of a plateau: missing: cooling; not expected: cold",
                       Error);
  state = a.state();
  state[2].array.fill(0.5);
  CHECK_THROWS_WITH_AS(a.set_state(state), "the saved state is not of a plateau: 0.500000 is no count", Error);
  CHECK(a.scale() == scale);
  CHECK(Plateau().state()[0].array.item() == std::numeric_limits<double>::infinity());
}

TEST_CASE("a plateau takes nan as no better, and losses below 0") {
  Plateau plateau({.factor = 0.5, .patience = 0});
  CHECK(plateau.observe(-1) == 1);
  CHECK(plateau.observe(-2) == 1);
  CHECK(plateau.observe(std::numeric_limits<double>::quiet_NaN()) == 0.5);
  CHECK(plateau.observe(-1.9) == 0.25);
  CHECK(plateau.observe(-3) == 0.25);
}

TEST_CASE("numbers that make no sense are refused") {
  CHECK_THROWS_WITH_AS((StepDecay{.every = 0}(1)), "step decay: 'every' must be at least 1", Error);
  CHECK_THROWS_WITH_AS((ExponentialDecay{.every = 0}(1)), "exponential decay: 'every' must be at least 1", Error);
  CHECK_THROWS_WITH_AS((CosineDecay{.steps = 0}(1)), "cosine decay: 'steps' must be at least 1", Error);
  CHECK_THROWS_WITH_AS((CosineDecay{.growth = 0}(1)), "cosine decay: 'growth' must be at least 1", Error);
  CHECK_THROWS_WITH_AS(warm_up(StepDecay{}, 5, 2), "warm_up: it grows from a part of the rate, in [0, 1]", Error);
  CHECK_THROWS_WITH_AS(warm_up(StepDecay{}, -5), "warm_up: the steps must not be negative", Error);
  CHECK_THROWS_WITH_AS(in_turn(StepDecay{}, -1, StepDecay{}), "in_turn: the steps must not be negative", Error);
  CHECK_THROWS_WITH_AS(Plateau({.factor = 1}), "plateau: the factor must be in (0, 1)", Error);
  CHECK_THROWS_WITH_AS(Plateau({.patience = -1}), "plateau: patience and cooldown must not be negative", Error);
  CHECK_THROWS_WITH_AS(Plateau({.floor = -1}), "plateau: threshold and floor must not be negative", Error);
}
