#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/optim/weight_average.h>

using namespace rw;

namespace {

Linear small(DType dtype = DType::f64) {
  Rng rng(1);
  Linear linear(2, 3, rng);
  linear.to(dtype);
  return linear;
}

double first(const Module& m) { return m.parameter("W").value().at({0, 0}); }

void set_all(const Module& m, double value) {
  for (const NamedParameter& p : m.parameters()) p.parameter->set(full(p.parameter->shape(), value));
}

}  // namespace

TEST_CASE("the average follows its formula, with and without a warm start") {
  for (const bool warm_up : {false, true}) {
    const Linear m = small();
    double expected = first(m);
    WeightAverage average(m.parameters(), {.decay = 0.6, .warm_up = warm_up});
    for (int n = 0; n < 20; ++n) {
      set_all(m, n * n);
      average.update();
      const double decay = warm_up ? std::min(0.6, (1.0 + n) / (10.0 + n)) : 0.6;
      expected = decay * expected + (1 - decay) * (n * n);
    }
    CHECK(first(m) == 361);
    {
      const Averaged averaged(average);
      CHECK(first(m) == doctest::Approx(expected).epsilon(1e-14));
      CHECK_THROWS_WITH_AS(average.update(),
                           "weight average: update() while the averages are in the model: swap them out first", Error);
      CHECK_THROWS_AS(average.state(), Error);
    }
    CHECK(first(m) == 361);
    CHECK(average.updates() == 20);
  }
}

TEST_CASE("f32 weights have f32 averages, a recorded value is seen to change, and modules may end first") {
  auto m = std::make_unique<Linear>(small(DType::f32));
  WeightAverage average(m->parameters());
  set_all(*m, 1);
  const std::uint64_t version = m->parameter("W").data()->version;
  average.update();
  CHECK(m->parameter("W").data()->version == version);
  average.swap();
  CHECK(m->parameter("W").data()->version > version);
  CHECK(m->parameter("W").dtype() == DType::f32);
  average.swap();
  m.reset();
  average.update();
  CHECK(average.updates() == 2);
}

TEST_CASE("a saved average goes on to the same bits; another's is refused whole") {
  const Linear m = small(), n = small();
  WeightAverage a(m.parameters(), {.decay = 0.9}), b(n.parameters(), {.decay = 0.9});
  for (int i = 0; i < 3; ++i) {
    set_all(m, 0.1 * i);
    a.update();
  }
  b.set_state(a.state());
  copy_parameters(m, n);
  for (int i = 3; i < 30; ++i) {
    set_all(m, 0.1 * i);
    set_all(n, 0.1 * i);
    a.update();
    b.update();
  }
  for (std::size_t i = 0; i < a.state().size(); ++i) CHECK(a.state()[i].array == b.state()[i].array);

  auto state = a.state();
  const Array before = state[1].array;
  state[0].name = "V.average";
  state[1].array = Array(Shape{3}, DType::f32);
  CHECK_THROWS_WITH_AS(a.set_state(state),
                       "the saved state is not of this weight average: missing: W.average; not expected: V.average; of "
                       "another shape: b.average (f32 (3), not f64 (3))",
                       Error);
  CHECK(a.state()[1].array == before);
  CHECK_THROWS_WITH_AS(WeightAverage(m.parameters(), {.decay = 1}), "weight average: decay must be in [0, 1), not 1",
                       Error);
}

TEST_CASE("a tied weight under two names is averaged once") {
  const Linear m = small();
  Parameter other("other", zeros(2, 3));
  other.tie(m.parameter("W"));
  std::vector<NamedParameter> listed = m.parameters();
  listed.push_back({"tied", &other});
  WeightAverage average(listed, {.decay = 0.5, .warm_up = false});
  const double start = first(m);
  set_all(m, 8);
  average.update();
  average.swap();
  CHECK(first(m) == doctest::Approx(0.5 * start + 4).epsilon(1e-14));
  average.swap();
  CHECK(first(m) == 8);
  CHECK(average.state().size() == 3);  // W, b, and the number of updates
}
