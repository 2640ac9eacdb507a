#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/gemm/factor.h>
#include <rewind/models/classic/kalman.h>
#include <rewind/models/init.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/linear_algebra.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

Tensor times(Tensor a, Tensor b) { return matmul(a, b); }
/// a b'.
Tensor times_transposed(Tensor a, Tensor b) { return matmul(a, b, {.transpose_b = true}); }
/// One matrix for each sequence.
Tensor repeated(Tensor a, Index batch) { return broadcast_to(a, Shape{batch, a.size(0), a.size(1)}); }
/// Vectors [N, k] as columns [N, k, 1], and back.
Tensor column(Tensor v) { return reshape(v, Shape{v.size(0), v.size(1), 1}); }
Tensor vector(Tensor c) { return reshape(c, Shape{c.size(0), c.size(1)}); }
Tensor eye(Tape& tape, Index n) { return tape.constant(identity(n)); }

/// The factor of a covariance, whose name an error says.
Tensor positive(const char* name, Tensor covariance) {
  const Scope scope(covariance.tape(), name);
  return cholesky(covariance);
}

/// The sum of log(l_ii) of each matrix of a stack [N, p, p]: [N].
Tensor log_diagonal(Tensor l) {
  const Index p = l.size(-1);
  return sum(log(sum(l * eye(l.tape(), p), {-1})), {-1});
}

/// What is known of the state of each sequence.
struct Belief {
  Tensor mean;    // [N, n]
  Tensor spread;  // [N, n, n]: a covariance or, in square-root form, a factor A of it, A A'
};

/// What one step sees: y [N, p] without what is missing, and H and R (or R's factor) as if that had been seen through
/// rows of zeros, with noise of 1.
struct Sight {
  Tensor y, H, R;
  Tensor count;  // [N], of numbers that were seen
};

class Filter {
 public:
  Filter(const LinearSystem& s, Tensor y, const KalmanOptions& options)
      : s_(s), y_(y), options_(options), tape_(y.tape()), n_(s.F.size(-1)), p_(s.H.size(0)), batch_(y.size(1)) {
    Q_ = repeated(form("Q", s.Q), batch_);
    R_ = repeated(form("R", s.R), batch_);
    F_ = repeated(s.F, batch_);
    H_ = repeated(s.H, batch_);
    if (options.observed) set_mask(*options.observed);
  }

  Belief start() {
    const Tensor P0 = repeated(form("P0", s_.P0), batch_);
    return {broadcast_to(s_.m0, Shape{batch_, n_}), P0};
  }
  Belief predict(const Belief& b) const {
    const Tensor mean = vector(times(F_, column(b.mean)));
    if (options_.square_root) return {mean, lower_factor(concat({times(F_, b.spread), Q_}, 2))};
    return {mean, times(F_, times_transposed(b.spread, F_)) + Q_};
  }
  /// Adds log p(y) to `likelihood`.
  Belief update(const Belief& b, Index t, Tensor& likelihood) const {
    const Sight sight = look(t);
    const Tensor error = column(sight.y) - times(sight.H, column(b.mean));  // [N, p, 1]
    return options_.square_root ? update_factor(b, sight, error, likelihood)
                                : update_covariance(b, sight, error, likelihood);
  }
  Tensor covariance(const Belief& b) const {
    return options_.square_root ? times_transposed(b.spread, b.spread) : b.spread;
  }

 private:
  Tensor form(const char* name, Tensor covariance) const {
    return options_.square_root ? positive(name, covariance) : covariance;
  }
  void set_mask(Tensor observed) {
    const Shape of = observed.shape(), each{y_.size(0), batch_, p_};
    if (of != each && of != each.without(2))
      throw tape_.error("kalman", fmt::format("what was observed is {}: it must be {} or {}", of.str(),
                                              each.without(2).str(), each.str()));
    mask_ = of == each ? observed : broadcast_to(reshape(observed, each.with(2, 1)), each);
  }
  Sight look(Index t) const {
    const Tensor y = select(y_, 0, t);
    if (!mask_.valid()) return {y, H_, R_, tape_.constant(static_cast<double>(p_), Shape{batch_})};
    const Tensor seen = select(mask_, 0, t);
    const Tensor rows = column(seen), alone = (1 - rows) * eye(tape_, p_);
    // [rows A, alone] is as good a factor as a square one: lower_factor makes it square.
    const Tensor R = options_.square_root ? concat({rows * R_, alone}, 2) : rows * R_ * transpose(rows) + alone;
    return {where(seen, y, 0), rows * H_, R, sum(seen, {-1})};
  }
  Tensor log_density(Tensor whitened, Tensor factor, Tensor count) const {
    return -0.5 * (sum(square(whitened), {1, 2}) + count * std::log(2 * std::numbers::pi)) - log_diagonal(factor);
  }

  /// P+ = (I - K H) P (I - K H)' + K R K', Joseph's form.
  Belief update_covariance(const Belief& b, const Sight& s, Tensor error, Tensor& likelihood) const {
    const Scope scope(tape_, "innovation");
    const Tensor HP = times(s.H, b.spread);
    const Tensor factor = cholesky(times_transposed(HP, s.H) + s.R);
    const Tensor whitened = solve_triangular(factor, error);
    likelihood = likelihood + log_density(whitened, factor, s.count);
    // K' = S^-1 H P
    const Tensor gain = transpose(solve_triangular(factor, solve_triangular(factor, HP), {.transpose = true}));
    const Tensor rest = eye(tape_, n_) - times(gain, s.H);
    return {b.mean + vector(times(gain, error)),
            times(rest, times_transposed(b.spread, rest)) + times(gain, times_transposed(s.R, gain))};
  }
  /// The factor of [[R, H A], [0, A]] has those of the innovation and of what is then known on its diagonal.
  Belief update_factor(const Belief& b, const Sight& s, Tensor error, Tensor& likelihood) const {
    const Scope scope(tape_, "innovation");
    const Tensor none = tape_.constant(0, Shape{batch_, n_, s.R.size(-1)});
    const Tensor both = lower_factor(concat({concat({s.R, times(s.H, b.spread)}, 2), concat({none, b.spread}, 2)}, 1));
    const Tensor top = slice(both, 1, 0, p_), bottom = slice(both, 1, p_, n_);
    const Tensor factor = slice(top, 2, 0, p_);
    const Tensor whitened = solve_triangular(factor, error);
    likelihood = likelihood + log_density(whitened, factor, s.count);
    return {b.mean + vector(times(slice(bottom, 2, 0, p_), whitened)), slice(bottom, 2, p_, n_)};
  }

  const LinearSystem& s_;
  Tensor y_;
  const KalmanOptions& options_;
  Tape& tape_;
  Index n_, p_, batch_;
  Tensor Q_, R_, F_, H_, mask_;
};

void check_shapes(const LinearSystem& s, Tensor y) {
  const Index n = s.F.shape().cols(), p = s.H.shape().rank() > 0 ? s.H.size(0) : 1;
  const auto check = [&](const char* name, const Tensor& t, const Shape& expected) {
    if (t.shape() != expected)
      throw y.tape().error("kalman", fmt::format("{} is {}: it must be {}, for states of {} and observations of {}",
                                                 name, t.shape().str(), expected.str(), n, p));
  };
  check("F", s.F, {n, n});
  check("H", s.H, {p, n});
  check("Q", s.Q, {n, n});
  check("R", s.R, {p, p});
  check("m0", s.m0, {n});
  check("P0", s.P0, {n, n});
  if (y.shape().rank() != 3 || y.size(2) != p || y.size(0) < 1)
    throw y.tape().error("kalman",
                         fmt::format("observations are [T, N, {}], of one step or more, not {}", p, y.shape().str()));
}

/// Throws Error unless a matrix is symmetric and has no eigenvalue below 0, up to rounding.
void check_covariance(const char* name, Tensor covariance) {
  Tape& tape = covariance.tape();
  if (tape.tracing() || covariance.size() == 0) return;
  const Index n = covariance.size(0);
  const std::vector<double> m = covariance.array().to_vector<double>();
  double largest = 0, skew = 0;
  bool finite = true;
  for (Index i = 0; i < n * n; ++i) {
    const double a = m[static_cast<std::size_t>(i)], b = m[static_cast<std::size_t>(i % n * n + i / n)];
    finite = finite && std::isfinite(a);
    largest = std::max(largest, std::abs(a));
    skew = std::max(skew, std::abs(a - b));
  }
  const auto refuse = [&](const std::string& why) {
    throw tape.error("kalman", fmt::format("{} is no covariance: {}", name, why));
  };
  const double rounding = 1e-5 * largest;
  if (!finite) refuse("it is not finite");
  if (skew > rounding) refuse("it is not symmetric");
  const double least = detail::smallest_eigenvalue(n, m.data());
  if (least < -rounding) refuse(fmt::format("its smallest eigenvalue is {:.6g}", least));
}

}  // namespace

KalmanFiltered kalman_filter(const LinearSystem& s, Tensor y, const KalmanOptions& options) {
  Tape& tape = y.tape();
  const Scope scope(tape, "kalman");
  check_shapes(s, y);
  check_covariance("Q", s.Q);
  check_covariance("R", s.R);
  check_covariance("P0", s.P0);
  Filter filter(s, y, options);
  Tensor likelihood = tape.constant(0, Shape{y.size(1)});
  std::vector<Tensor> predicted, spreads, means, covariances;
  Belief belief = filter.start();
  for (Index t = 0; t < y.size(0); ++t) {
    const Scope step(tape, "t", t);
    if (t > 0) belief = filter.predict(belief);
    predicted.push_back(belief.mean);
    spreads.push_back(filter.covariance(belief));
    belief = filter.update(belief, t, likelihood);
    means.push_back(belief.mean);
    covariances.push_back(filter.covariance(belief));
  }
  return {likelihood, {stack(predicted), stack(spreads)}, {stack(means), stack(covariances)}};
}

KalmanStates kalman_smoother(const LinearSystem& s, const KalmanFiltered& f) {
  Tape& tape = s.F.tape();
  const Scope scope(tape, "kalman");
  const Shape found = f.filtered.mean.shape();
  if (found.rank() != 3 || s.F.shape() != Shape{found[2], found[2]} || s.Q.shape() != s.F.shape())
    throw tape.error("kalman", fmt::format("F {} and Q {} do not fit the states that were filtered, {}",
                                           s.F.shape().str(), s.Q.shape().str(), found.str()));
  const Index steps = found[0], batch = found[1], n = found[2];
  const Tensor F = repeated(s.F, batch), Q = repeated(s.Q, batch);
  std::vector<Tensor> means(static_cast<std::size_t>(steps)), covariances(means);
  Tensor mean = select(f.filtered.mean, 0, -1), covariance = select(f.filtered.covariance, 0, -1);
  for (Index t = steps - 1; t >= 0; --t) {
    const Scope step(tape, "t", t);
    if (t + 1 < steps) {
      const Tensor m = select(f.filtered.mean, 0, t), P = select(f.filtered.covariance, 0, t);
      const Tensor factor = positive("predicted", select(f.predicted.covariance, 0, t + 1));
      // G = P F' (F P F' + Q)^-1
      const Tensor half = solve_triangular(factor, times(F, P));
      const Tensor G = transpose(solve_triangular(factor, half, {.transpose = true}));
      const Tensor rest = eye(tape, n) - times(G, F);
      mean = m + vector(times(G, column(mean - select(f.predicted.mean, 0, t + 1))));
      covariance = times(rest, times_transposed(P, rest)) + times(G, times_transposed(covariance + Q, G));
    }
    means[static_cast<std::size_t>(t)] = mean;
    covariances[static_cast<std::size_t>(t)] = covariance;
  }
  return {stack(means), stack(covariances)};
}

}  // namespace rw
