#pragma once

#include <optional>

#include <rewind/autograd/tape.h>

namespace rw {

/// A linear dynamical system: a hidden state of n numbers that moves linearly, seen through p numbers, with normal
/// noise,
///
///     z(0) ~ N(m0, P0),   z(t) = F z(t-1) + w,  w ~ N(0, Q),   y(t) = H z(t) + v,  v ~ N(0, R).
///
/// All may be variables: what follows from them is differentiable in all of them.
struct LinearSystem {
  Tensor F;       // [n, n]
  Tensor H;       // [p, n]
  Tensor Q, R;    // [n, n], [p, p], covariances
  Tensor m0, P0;  // [n], [n, n]: the state of the first step, before it is seen
};

struct KalmanOptions {
  /// 1 where a number was seen, 0 where it is missing: [T, N], or [T, N, p] for each number by itself. What is missing
  /// may be anything, nan too.
  std::optional<Tensor> observed = std::nullopt;
  /// Carry Cholesky factors of covariances in place of covariances (Kaminski, Bryson and Schmidt, 1971): they stay
  /// positive definite, and f32 is enough. Q, R and P0 must be positive definite.
  bool square_root = false;
};

/// What is known of the state at each step: mean [T, N, n] and covariance [T, N, n, n].
struct KalmanStates {
  Tensor mean, covariance;
};

struct KalmanFiltered {
  Tensor log_likelihood;   // [N]
  KalmanStates predicted;  // from the steps before
  KalmanStates filtered;   // from these and the step itself
};

/// Kalman's filter (1960) over y [T, N, p], in Joseph's form, whose covariances stay symmetric and do not become
/// negative by rounding, or in square-root form. Throws Error for shapes that do not fit; for a Q, R or P0 that is no
/// covariance, with its smallest eigenvalue (where values can be looked at: not while `compile` traces); and for an
/// innovation whose covariance is not positive definite, at which step (a plan of `compile` says so when it runs).
KalmanFiltered kalman_filter(const LinearSystem& system, Tensor y, const KalmanOptions& options = {});

/// What all of the sequence says of each step (Rauch, Tung and Striebel, 1965), from what the filter found; covariances
/// are sums of positive ones. Throws Error for a system that does not fit what was filtered, and for a predicted
/// covariance that is not positive definite, at which step.
KalmanStates kalman_smoother(const LinearSystem& system, const KalmanFiltered& filtered);

}  // namespace rw
