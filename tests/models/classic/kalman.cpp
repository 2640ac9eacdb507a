#include <cmath>

#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/models/classic/kalman.h>
#include <rewind/models/init.h>
#include <rewind/models/module.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/gradcheck/gradcheck.h>

#include "support.h"

using namespace rw;
using rw::test::distance;
using rw::test::golden;

namespace {

// The system of tests/golden/classic.py, as parameters: F, H, Q, R, m0, P0.
struct System {
  Parameter F{"F", Array({0.9, 0.3, -0.2, 0.8}, {2, 2})}, H{"H", Array({1.0, 0.0, 0.5, 1.0}, {2, 2})},
      Q{"Q", Array({0.3, 0.1, 0.1, 0.2}, {2, 2})}, R{"R", Array({0.5, 0.2, 0.2, 0.4}, {2, 2})},
      m0{"m0", Array({0.5, -1.0}, {2})}, P0{"P0", Array({1.0, 0.3, 0.3, 2.0}, {2, 2})};

  LinearSystem on(Tape& tape) const {
    return {tape.leaf(F), tape.leaf(H), tape.leaf(Q), tape.leaf(R), tape.leaf(m0), tape.leaf(P0)};
  }
  // With covariances that stay symmetric when one of their numbers changes.
  LinearSystem symmetric_on(Tape& tape) const {
    const auto symmetric = [&](const Parameter& p) { return 0.5 * (tape.leaf(p) + transpose(tape.leaf(p))); };
    return {tape.leaf(F), tape.leaf(H), symmetric(Q), symmetric(R), tape.leaf(m0), symmetric(P0)};
  }
  std::vector<NamedParameter> all() { return {{"F", &F}, {"H", &H}, {"Q", &Q}, {"R", &R}, {"m0", &m0}, {"P0", &P0}}; }
};

const Array seen({1.0, -0.5, 0.2, 0.4, -0.3, 1.1, 0.8, 0.0, 1.5, -0.7}, {5, 1, 2});
const Array mask({1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0}, {5, 1, 2});

Array with_nan() {
  Array y = seen;
  for (Index i = 0; i < y.size(); ++i)
    if (mask.span<double>()[static_cast<std::size_t>(i)] == 0) y.span<double>()[static_cast<std::size_t>(i)] = NAN;
  return y;
}

void check_states(const std::string& name, const KalmanStates& s, double tolerance) {
  CAPTURE(name);
  CHECK(distance(s.mean.array(), golden(name + "_mean")) < tolerance);
  CHECK(distance(s.covariance.array(), golden(name + "_covariance")) < tolerance);
}

}  // namespace

TEST_CASE("filter and smoother give what conditioning one normal distribution of all steps gives") {
  const System system;
  for (const bool square_root : {false, true})
    for (const bool missing : {false, true})
      for (const DType dtype : {DType::f64, DType::f32}) {
        CAPTURE(square_root);
        CAPTURE(missing);
        Tape tape(dtype);
        const double tolerance = dtype == DType::f64 ? 1e-12 : 1e-5;
        KalmanOptions options{.observed = std::nullopt, .square_root = square_root};
        if (missing) options.observed = tape.constant(mask);
        const LinearSystem s = system.on(tape);
        const KalmanFiltered filtered = kalman_filter(s, tape.constant(missing ? with_nan() : seen), options);
        const std::string name = missing ? "kalman_missing_" : "kalman_all_";
        CHECK(distance(filtered.log_likelihood.array(), golden(name + "log_likelihood")) < 2 * tolerance);
        check_states(name + "filtered", filtered.filtered, tolerance);
        check_states(name + "predicted", filtered.predicted, tolerance);
        check_states(name + "smoothed", kalman_smoother(s, filtered), tolerance);
      }
}

TEST_CASE("the log-likelihood has gradients in all matrices, orders 1 and 2, in both forms, compiled too") {
  System system;
  for (const bool square_root : {false, true}) {
    CAPTURE(square_root);
    const auto loss_of = [&](Tape& tape, Index steps) {
      const auto part = [&](const Array& a) { return slice(tape.constant(a), 0, 0, steps); };
      const LinearSystem s = system.symmetric_on(tape);
      const KalmanFiltered f = kalman_filter(s, part(with_nan()), {.observed = part(mask), .square_root = square_root});
      const KalmanStates smoothed = kalman_smoother(s, f);
      return sum(f.log_likelihood) + sum(square(smoothed.mean)) + sum(square(smoothed.covariance));
    };
    const auto loss = [&](Tape& tape) { return loss_of(tape, 5); };
    CHECK(gradcheck(loss, system.all()).ok());
    CHECK(gradcheck([&](Tape& tape) { return loss_of(tape, 2); }, system.all(), {.order = 2}).ok());
    rw::test::check_plan(loss, system.all());
  }
}

TEST_CASE("filter, smoother and their gradient fold in time") {
  System system;
  for (const bool square_root : {false, true}) {
    CAPTURE(square_root);
    CHECK(rw::test::folds(
        [&](Tape& tape, Tensor y) {
          const LinearSystem s = system.on(tape);
          const KalmanFiltered f = kalman_filter(s, y, {.square_root = square_root});
          return sum(f.log_likelihood) + sum(kalman_smoother(s, f).mean);
        },
        {1, 2}));
  }
}

TEST_CASE("sequences of a batch do not see each other") {
  const System system;
  Rng rng(3);
  const Array y = uniform(rng, {4, 3, 2}, -1, 1);
  Tape tape(DType::f64);
  const LinearSystem s = system.on(tape);
  Array observed = full({4, 3}, 1);
  observed.set({2, 1}, 0);
  const KalmanFiltered all = kalman_filter(s, tape.constant(y), {.observed = tape.constant(observed)});
  for (Index n = 0; n < 3; ++n) {
    const KalmanFiltered one =
        kalman_filter(s, slice(tape.constant(y), 1, n, 1), {.observed = slice(tape.constant(observed), 1, n, 1)});
    CHECK(std::abs(all.log_likelihood.array().at({n}) - one.log_likelihood.item()) < 1e-13);
    CHECK(distance(select(all.filtered.covariance, 1, n).array(), one.filtered.covariance.array()) < 1e-14);
  }
}

TEST_CASE("in f32 the square-root form stays right where covariances lose their digits") {
  // A sensor far more precise than what is known before: 1e-5 beside 1e3.
  const auto last = [](DType dtype, bool square_root) {
    Tape tape(dtype);
    const LinearSystem s{.F = tape.constant(Array({1.0, 1.0, 0.0, 1.0}, {2, 2})),
                         .H = tape.constant(Array({1.0, 0.0}, {1, 2})),
                         .Q = tape.constant(Array({1e-6, 0.0, 0.0, 1e-6}, {2, 2})),
                         .R = tape.constant(Array({1e-5}, {1, 1})),
                         .m0 = tape.constant(0, Shape{2}),
                         .P0 = tape.constant(Array({1e3, 0.0, 0.0, 1e3}, {2, 2}))};
    const Tensor y = tape.constant(Array({0.1, 0.2, 0.3, 0.4, 0.5, 0.6}, {6, 1, 1}));
    return select(kalman_filter(s, y, {.square_root = square_root}).filtered.covariance, 0, 1).array();
  };
  const Array right = last(DType::f64, false);
  const auto error = [&](const Array& a) { return distance(a, right) / right.at({0, 1, 1}); };
  CHECK(error(last(DType::f64, true)) < 1e-8);
  CHECK(error(last(DType::f32, true)) < 1e-3);
  CHECK(error(last(DType::f32, false)) > 10 * error(last(DType::f32, true)));
}

TEST_CASE("what a Kalman filter refuses") {
  Tape tape(DType::f64);
  System system;
  const Tensor y = tape.constant(seen);
  system.Q.set(Array({1.0, 2.0, 2.0, 1.0}, {2, 2}));
  CHECK_THROWS_WITH_AS(kalman_filter(system.on(tape), y),
                       "[kalman] Q is no covariance: its smallest eigenvalue is -1, in kalman", Error);
  tape.clear();
  system.Q.set(Array({1.0, 0.5, 0.0, 1.0}, {2, 2}));
  CHECK_THROWS_WITH_AS(kalman_filter(system.on(tape), tape.constant(seen)),
                       "[kalman] Q is no covariance: it is not symmetric, in kalman", Error);
  tape.clear();
  // Nothing is known worse than exactly, twice: the innovation has no variance.
  LinearSystem s = System().on(tape);
  s.Q = s.R = s.P0 = tape.constant(0, Shape{2, 2});
  CHECK_THROWS_WITH_AS(
      kalman_filter(s, tape.constant(seen)),
      "[cholesky] the matrix number 0 of (1, 2, 2) is not positive definite: pivot 0 is 0, in kalman/t=0/innovation",
      Error);
  CHECK_THROWS_WITH_AS(kalman_filter(s, tape.constant(seen), {.square_root = true}),
                       "[cholesky] the matrix is not positive definite: pivot 0 is 0, in kalman/Q", Error);
  s.H = tape.constant(0, Shape{3, 2});
  CHECK_THROWS_WITH_AS(kalman_filter(s, tape.constant(seen)),
                       "[kalman] R is (2, 2): it must be (3, 3), for states of 2 and observations of 3, in kalman",
                       Error);
  const LinearSystem right = System().on(tape);
  CHECK_THROWS_WITH_AS(kalman_filter(right, tape.constant(0, Shape{5, 1, 1})),
                       "[kalman] observations are [T, N, 2], of one step or more, not (5, 1, 1), in kalman", Error);
  CHECK_THROWS_WITH_AS(kalman_filter(right, tape.constant(seen), {.observed = tape.constant(1, Shape{5})}),
                       "[kalman] what was observed is (5): it must be (5, 1) or (5, 1, 2), in kalman", Error);
  const KalmanFiltered found = kalman_filter(right, tape.constant(seen));
  LinearSystem other = right;
  other.F = tape.constant(identity(3));
  CHECK_THROWS_WITH_AS(kalman_smoother(other, found),
                       "[kalman] F (3, 3) and Q (2, 2) do not fit the states that were filtered, (5, 1, 2), in kalman",
                       Error);
  other = right;
  other.F = tape.constant(0);
  CHECK_THROWS_WITH_AS(kalman_filter(other, tape.constant(seen)),
                       "[kalman] F is (): it must be (1, 1), for states of 1 and observations of 2, in kalman", Error);
  // Two states that are known exactly before the second step.
  other = right;
  other.Q = other.P0 = tape.constant(0, Shape{2, 2});
  CHECK_THROWS_WITH_AS(kalman_smoother(other, kalman_filter(other, tape.constant(seen))),
                       "[cholesky] the matrix number 0 of (1, 2, 2) is not positive definite: pivot 0 is 0, in "
                       "kalman/t=3/predicted",
                       Error);
}

TEST_CASE("a plan says as well which covariance is not positive definite, and at which step") {
  const auto plan_of = [](bool square_root) {
    return compile(
        [square_root](Tape& tape, Tensor Q) {
          LinearSystem s = System().on(tape);
          s.Q = Q;
          return kalman_filter(s, tape.constant(seen), {.square_root = square_root}).log_likelihood;
        },
        {.dtype = DType::f64}, identity(2));
  };
  const Array bad({-9.0, 0.0, 0.0, -9.0}, {2, 2});
  auto joseph = plan_of(false), square_root = plan_of(true);
  CHECK(std::isfinite(joseph(identity(2)).item()));
  CHECK_THROWS_WITH_AS(
      joseph(bad),
      doctest::Contains("[cholesky] the matrix number 0 of (1, 2, 2) is not positive definite: pivot 0 "
                        "is -8.21908"),
      Error);
  CHECK_THROWS_WITH_AS(joseph(bad), doctest::Contains("in kalman/t=1/innovation"), Error);
  CHECK(std::isfinite(square_root(identity(2)).item()));
  CHECK_THROWS_WITH_AS(square_root(bad), "[cholesky] the matrix is not positive definite: pivot 0 is -9, in kalman/Q",
                       Error);
}
