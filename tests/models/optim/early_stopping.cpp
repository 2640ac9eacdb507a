#include <limits>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/optim/early_stopping.h>

using namespace rw;

namespace {

Linear small() {
  Rng rng(1);
  return Linear(2, 3, rng);
}

// One look, with weights that say which it was.
bool look(EarlyStopping& stopping, const Module& m, float number, double loss) {
  m.parameter("b").set(full({3}, number));
  return stopping.observe(loss);
}

double number(const Module& m) { return m.parameter("b").value().at({2}); }

}  // namespace

TEST_CASE("it stops after `patience` looks that are not better, and the best weights come back") {
  const Linear m = small();
  EarlyStopping stopping(m.parameters(), {.patience = 3, .margin = 0.1});
  CHECK_FALSE(look(stopping, m, 1, 2.0));
  CHECK_FALSE(look(stopping, m, 2, 1.0));
  CHECK_FALSE(look(stopping, m, 3, 0.95));  // not by more than the margin
  CHECK_FALSE(look(stopping, m, 4, std::numeric_limits<double>::quiet_NaN()));
  CHECK_FALSE(look(stopping, m, 5, 0.5));
  CHECK_FALSE(look(stopping, m, 6, 0.6));
  CHECK_FALSE(look(stopping, m, 7, 0.6));
  CHECK(look(stopping, m, 8, 0.6));
  CHECK(stopping.stopped());
  CHECK(stopping.best() == 0.5);
  CHECK(stopping.since_best() == 3);
  CHECK(number(m) == 8);
  stopping.restore();
  CHECK(number(m) == 5);
}

TEST_CASE("a saved one goes on, with the best weights so far") {
  const Linear m = small(), n = small();
  EarlyStopping a(m.parameters(), {.patience = 2}), b(n.parameters(), {.patience = 2});
  CHECK(a.state().back().array.item() == 0);
  look(a, m, 1, 1.0);
  look(a, m, 2, 3.0);
  b.set_state(a.state());
  CHECK(look(b, n, 9, 2.0));
  b.restore();
  CHECK(number(n) == 1);
  auto state = a.state();
  state.erase(state.begin());
  CHECK_THROWS_WITH_AS(b.set_state(state), "the saved state is not of this early stopping: missing: W.best", Error);
  CHECK(b.since_best() == 2);
}

TEST_CASE("options that make no sense are refused") {
  const Linear m = small();
  CHECK_THROWS_WITH_AS(EarlyStopping(m.parameters(), {.patience = 0}),
                       "early stopping: patience must be at least 1, not 0", Error);
  CHECK_THROWS_WITH_AS(EarlyStopping(m.parameters(), {.margin = -1}),
                       "early stopping: the margin must not be negative, but is -1.000000", Error);
}
