#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <rewind/core/random.h>
#include <rewind/core/threads.h>
#include <rewind/models/optim/optimizer.h>

#include "../golden_text.h"

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
  if (name == "momentum_l2")
    return std::make_unique<Sgd>(std::move(p), SgdOptions{.rate = 0.05, .momentum = 0.9, .l2 = 0.2});
  if (name == "rmsprop_l2")
    return std::make_unique<RmsProp>(std::move(p),
                                     RmsPropOptions{.rate = 0.02, .decay = 0.95, .epsilon = 1e-8, .l2 = 0.2});
  if (name == "adam_l2")
    return std::make_unique<Adam>(std::move(p),
                                  AdamOptions{.rate = 0.03, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .l2 = 0.2});
  return std::make_unique<AdamW>(std::move(p), AdamWOptions{.rate = 0.03, .weight_decay = 0.1});
}

const char* const names[] = {"sgd",   "momentum",    "nesterov",   "rmsprop", "adam",
                             "adamw", "momentum_l2", "rmsprop_l2", "adam_l2"};

}  // namespace

TEST_CASE("optimizers follow PyTorch's to rounding, in f64 and f32") {
  const auto expected = test::golden_text("optimizers.txt");
  REQUIRE(expected.size() == 9);
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
  CHECK_THROWS_AS(AdamW(m.parameters(), {.weight_decay = -0.1}), Error);
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

TEST_CASE("groups have rates, decays and clips of their own") {
  Weights a = three(), b = three(), c = three();
  const Array start = a.w.value();
  Sgd sgd({{.parameters = a.parameters(), .rate_factor = 0.5},
           {.parameters = b.parameters(), .weight_decay = 0.25, .l2 = 0},
           {.parameters = c.parameters(), .l2 = 0, .clip_norm = 2.5}},
          {.rate = 0.5, .l2 = 1});
  for (const Weights* m : {&a, &b}) m->w.grad().fill(1);
  c.w.grad() = Array({3.0, 0.0, -4.0}, {3});
  sgd.step();
  for (Index i = 0; i < 3; ++i) {
    CHECK(a.w.value().at({i}) == doctest::Approx(start.at({i}) - 0.25 * (1 + start.at({i}))).epsilon(1e-15));
    CHECK(b.w.value().at({i}) == doctest::Approx(start.at({i}) * (1 - 0.5 * 0.25) - 0.5).epsilon(1e-15));
  }
  CHECK(c.w.value().at({0}) == doctest::Approx(start.at({0}) - 0.5 * 1.5).epsilon(1e-15));
  CHECK(c.w.value().at({2}) == doctest::Approx(start.at({2}) + 0.5 * 2).epsilon(1e-15));
  REQUIRE(sgd.state().size() == 2);

  Weights mean = three();
  Sgd over_time({{.parameters = mean.parameters(), .time_uses = 4, .clip_norm = 2.5}}, {.rate = 1});
  mean.w.grad() = Array({0.0, 0.0, 8.0}, {3});  // 2 after the mean, which is not clipped
  over_time.step();
  CHECK(mean.w.value().at({2}) == doctest::Approx(start.at({2}) - 2).epsilon(1e-15));
  CHECK_THROWS_WITH_AS(Sgd({{.parameters = mean.parameters(), .time_uses = 0}}, {}),
                       "an optimizer's time uses must be at least 1, not 0", Error);
}

TEST_CASE("groups are one optimizer: its state has all of them, and a gradient that is no number changes nothing") {
  Weights a = three(), b = three();
  const auto make_groups = [&](Weights& x, Weights& y) {
    return std::vector<ParameterGroup>{{.parameters = x.parameters(), .rate_factor = 2},
                                       {.parameters = y.parameters(), .weight_decay = 0.1, .clip_norm = 1}};
  };
  Adam adam(make_groups(a, b), {.rate = 0.1});
  Weights a2 = three(), b2 = three();
  Adam other(make_groups(a2, b2), {.rate = 0.3});
  for (Index t = 0; t < 2; ++t) {
    for (Weights* m : {&a, &b}) set_gradient<double>(m->w, t);
    adam.step();
  }
  CHECK(adam.state()[2].name == "w#2.mean");
  CHECK(!(a.w.value() == b.w.value()));
  copy_parameters(a, a2);
  copy_parameters(b, b2);
  other.set_state(adam.state());
  for (Index t = 2; t < 4; ++t) {
    for (Weights* m : {&a, &b, &a2, &b2}) set_gradient<double>(m->w, t);
    adam.step();
    other.step();
  }
  CHECK(a.w.value() == a2.w.value());
  CHECK(b.w.value() == b2.w.value());

  const Array before = a.w.value();
  a.w.grad().fill(1);
  b.w.grad().fill(std::numeric_limits<double>::quiet_NaN());
  CHECK_THROWS_WITH_AS(adam.step(), "the gradient of 'w#2' is nan", Error);
  CHECK(a.w.value() == before);
  CHECK(adam.steps() == 4);
  CHECK_THROWS_WITH_AS(Sgd({{.parameters = a.parameters()}, {.parameters = a.parameters()}}, {}),
                       "parameter 'w' is in two groups of an optimizer", Error);
  CHECK_THROWS_WITH_AS(Sgd({{.parameters = a.parameters(), .clip_norm = -1}}, {}),
                       "an optimizer's clip norm must be a finite number of 0 or more, not -1", Error);
}

TEST_CASE("a tied weight under two names moves once, decays once and is clipped once") {
  Weights a = three(), tied = three(), alone = three();
  tied.w.tie(a.w);
  const auto both = [&] {
    std::vector<NamedParameter> all{{"a", &a.w}, {"tied", &tied.w}};
    return all;
  };
  Sgd listed({{.parameters = both(), .time_uses = 2, .clip_norm = 1}}, {.rate = 0.5, .weight_decay = 0.1, .l2 = 0.2});
  Sgd once({{.parameters = alone.parameters(), .time_uses = 2, .clip_norm = 1}},
           {.rate = 0.5, .weight_decay = 0.1, .l2 = 0.2});
  a.w.grad() = Array({3.0, 0.0, 4.0}, {3});
  alone.w.grad() = Array({3.0, 0.0, 4.0}, {3});
  listed.step();
  once.step();
  CHECK(a.w.value() == alone.w.value());
}

TEST_CASE("AdamW decays by 0.01 whatever else is asked for, and Adam does not") {
  Weights m = three();
  const auto moved = [&](Optimizer&& optimizer) {
    m.w.set(Array({1.0, 2.0, 4.0}, {3}));
    m.w.grad().fill(0);
    optimizer.step();
    return m.w.value().at({2});
  };
  CHECK(moved(AdamW(m.parameters(), {.rate = 0.1})) == doctest::Approx(4 * (1 - 0.1 * 0.01)).epsilon(1e-15));
  CHECK(moved(AdamW(m.parameters())) == doctest::Approx(4 * (1 - 1e-3 * 0.01)).epsilon(1e-15));
  CHECK(moved(AdamW(m.parameters(), {.rate = 0.1, .weight_decay = 0})) == 4);
  CHECK(moved(Adam(m.parameters(), {.rate = 0.1})) == 4);
}
