#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>

#include <doctest/doctest.h>

#include <rewind/core/random.h>
#include <rewind/core/threads.h>
#include <rewind/models/optimizer.h>
#include <rewind/models/schedule.h>

using namespace rw;

namespace {

class Weights : public Module {
 public:
  explicit Weights(Array init) : w(param("w", std::move(init))) {}
  Parameter& w;
};

Weights three() { return Weights(Array({0.3, -0.7, 1.9}, {3})); }

// The gradient of tests/golden/optimizers.py.
template <class T>
void set_gradient(Parameter& w, Index t) {
  for (std::size_t i = 0; i < w.grad().span<T>().size(); ++i)
    w.grad().span<T>()[i] =
        static_cast<T>(std::sin(3 * static_cast<double>(w.value().span<T>()[i]) + static_cast<double>(t)));
}

std::map<std::string, std::vector<double>> golden() {
  std::map<std::string, std::vector<double>> all;
  std::ifstream file(REWIND_SOURCE_DIR "/tests/golden/optimizers.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    for (double x = 0; words >> x;) all[name].push_back(x);
  }
  return all;
}

std::unique_ptr<Optimizer> make(const std::string& name, std::vector<NamedParameter> p) {
  if (name == "sgd") return std::make_unique<Sgd>(std::move(p), SgdOptions{.rate = 0.1});
  if (name == "momentum") return std::make_unique<Sgd>(std::move(p), SgdOptions{.rate = 0.05, .momentum = 0.9});
  if (name == "nesterov")
    return std::make_unique<Sgd>(std::move(p), SgdOptions{.rate = 0.05, .momentum = 0.8, .nesterov = true});
  if (name == "rmsprop")
    return std::make_unique<RmsProp>(std::move(p), RmsPropOptions{.rate = 0.02, .decay = 0.95, .epsilon = 1e-8});
  if (name == "adam")
    return std::make_unique<Adam>(std::move(p),
                                  AdamOptions{.rate = 0.03, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6});
  return std::make_unique<AdamW>(std::move(p), AdamOptions{.rate = 0.03, .decay = 0.1});
}

const char* const names[] = {"sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"};

}  // namespace

TEST_CASE("optimizers follow PyTorch's to rounding, in f64 and f32") {
  const auto expected = golden();
  REQUIRE(expected.size() == 6);
  for (const std::string name : names) {
    CAPTURE(name);
    Weights m = three();
    const auto optimizer = make(name, m.parameters());
    Weights single = three();
    single.to(DType::f32);
    const auto single_optimizer = make(name, single.parameters());
    for (Index t = 0; t < 6; ++t) {
      set_gradient<double>(m.w, t);
      optimizer->step();
      set_gradient<float>(single.w, t);
      single_optimizer->step();
    }
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(m.w.value().span<double>()[i] == doctest::Approx(expected.at(name)[i]).epsilon(1e-13));
      CHECK(single.w.value().span<float>()[i] == doctest::Approx(expected.at(name)[i]).epsilon(1e-5));
    }
  }
}

TEST_CASE("one step by hand") {
  Weights m(Array({2.0}, {1}));
  const auto step = [&](Optimizer& optimizer) {
    m.w.set(Array({2.0}, {1}));
    m.w.grad().fill(4);
    optimizer.step();
    return m.w.value().item();
  };
  Sgd sgd(m.parameters(), {.rate = 0.25});
  CHECK(step(sgd) == 1.0);
  Adam adam(m.parameters(), {.rate = 0.5});  // the first step of Adam is the rate, whatever the gradient
  CHECK(step(adam) == doctest::Approx(1.5).epsilon(1e-8));
  RmsProp rms(m.parameters(), {.rate = 0.5, .decay = 0.75});  // v = 4, so 0.5 * 4 / 2
  CHECK(step(rms) == doctest::Approx(1.0).epsilon(1e-8));
}

TEST_CASE("step consumes the gradients, leaves frozen parameters, and invalidates what was recorded") {
  Weights m = three();
  Sgd sgd(m.parameters(), {.rate = 1});
  m.w.grad().fill(1);
  const std::uint64_t version = m.w.data()->version;
  sgd.step();
  CHECK(m.w.data()->version > version);
  CHECK(m.w.grad() == Array(Shape{3}, DType::f64));
  CHECK(m.w.value().at({0}) == doctest::Approx(-0.7));
  m.freeze();
  m.w.grad().fill(1);
  sgd.step();
  CHECK(m.w.value().at({0}) == doctest::Approx(-0.7));
  CHECK(m.w.grad() == Array(Shape{3}, DType::f64));
  CHECK(sgd.steps() == 2);
}

TEST_CASE("an optimizer outlives a moved module") {
  auto m = std::make_unique<Weights>(Array({1.0}, {1}));
  Sgd sgd(m->parameters(), {.rate = 1});
  m->w.grad().fill(1);
  const Weights moved(std::move(*m));
  m.reset();
  sgd.step();
  CHECK(moved.w.value().item() == 0);
}

TEST_CASE("a parameter given twice moves once, and parameters of one name are told apart") {
  Weights a = three(), b = three();
  std::vector<NamedParameter> all = a.parameters();
  for (const Weights* m : {&a, &b}) all.push_back(m->parameters()[0]);
  Sgd sgd(all, {.rate = 1, .momentum = 0.5});
  a.w.grad().fill(1);
  b.w.grad().fill(3);
  sgd.step();
  CHECK(a.w.value().at({0}) == doctest::Approx(-0.7));
  const auto state = sgd.state();
  REQUIRE(state.size() == 4);
  CHECK(state[0].name == "w.momentum");
  CHECK(state[1].name == "w#2.momentum");
  CHECK(state[1].array.at({0}) == 3);
}

TEST_CASE("a saved optimizer goes on to the same bits") {
  for (const std::string name : names) {
    Weights a = three(), b = three();
    const auto first = make(name, a.parameters());
    for (Index t = 0; t < 3; ++t) {
      set_gradient<double>(a.w, t);
      first->step();
    }
    first->set_rate(0.01);
    const auto second = make(name, b.parameters());
    copy_parameters(a, b);
    second->set_state(first->state());
    CHECK(second->rate() == 0.01);
    CHECK(second->steps() == 3);
    for (Index t = 3; t < 6; ++t) {
      set_gradient<double>(a.w, t);
      set_gradient<double>(b.w, t);
      first->step();
      second->step();
    }
    CHECK(a.w.value() == b.w.value());
  }
}

TEST_CASE("a state that does not fit is refused whole") {
  Weights m = three();
  Adam adam(m.parameters());
  auto state = adam.state();
  state[0].array = Array(Shape{4}, DType::f64);
  state[1].name = "w.other";
  CHECK_THROWS_WITH_AS(
      adam.set_state(state),
      "the saved state is not of this optimizer: missing: w.variance; not expected: w.other; of another "
      "shape: w.mean (f64 (4), not f64 (3))",
      Error);
  CHECK_THROWS_AS(Sgd(m.parameters()).set_state(adam.state()), Error);
  auto nowhere = adam.state();
  nowhere[2].array.fill(std::numeric_limits<double>::quiet_NaN());
  CHECK_THROWS_AS(adam.set_state(nowhere), Error);
  auto no_rate = adam.state();
  no_rate[0].array.fill(1);
  no_rate[3].array.fill(-1);
  CHECK_THROWS_AS(adam.set_state(no_rate), Error);
  CHECK(adam.state()[0].array.at({0}) == 0);
}

TEST_CASE("options that make no sense are refused") {
  Weights m = three();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH_AS(Sgd(m.parameters(), {.rate = nan}),
                       "the learning rate must be a finite number of 0 or more, not nan", Error);
  CHECK_THROWS_AS(Sgd(m.parameters(), {.rate = -1}), Error);
  CHECK_THROWS_AS(Sgd(m.parameters(), {.momentum = 1}), Error);
  CHECK_THROWS_AS(Sgd(m.parameters(), {.nesterov = true}), Error);
  CHECK_THROWS_AS(RmsProp(m.parameters(), {.decay = 1.5}), Error);
  CHECK_THROWS_AS(Adam(m.parameters(), {.beta1 = nan}), Error);
  CHECK_THROWS_AS(Adam(m.parameters(), {.epsilon = 0}), Error);
  CHECK_THROWS_AS(AdamW(m.parameters(), {.decay = -0.1}), Error);
  Sgd sgd(m.parameters());
  CHECK_THROWS_AS(sgd.set_rate(std::numeric_limits<double>::infinity()), Error);
  CHECK(sgd.rate() == 1e-2);
  CHECK_THROWS_WITH_AS(make_optimizer("adagrad", m.parameters(), 1),
                       "no optimizer 'adagrad'; there are: sgd, momentum, rmsprop, adam, adamw", Error);
  for (const char* name : {"sgd", "momentum", "rmsprop", "adam", "adamw"})
    CHECK(make_optimizer(name, m.parameters(), 0.5)->rate() == 0.5);
}

TEST_CASE("large parameters: the same bits for any number of threads") {
  const Shape shape{300, 401};
  const auto run = [&](int n) {
    const int before = threads();
    set_threads(n);
    Rng rng(1);
    Weights m(zeros(shape));
    Adam adam(m.parameters());
    for (int t = 0; t < 3; ++t) {
      for (float& g : m.w.grad().span<float>()) g = static_cast<float>(rng.normal());
      adam.step();
    }
    set_threads(before);
    return m.w.value();
  };
  const Array one = run(1);
  CHECK(one == run(3));
  CHECK(one.at({299, 400}) != 0);
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
