#pragma once

// A verdict on one derivative. Internal to tools/: use gradcheck.

#include <span>

#include <rewind/tools/gradcheck/gradcheck.h>
#include <rewind/tools/gradcheck/slope.h>

namespace rw::detail {

/// The derivative of `line` at 0 is said to be each of `analytic`.
struct Question {
  const Line& line;
  double f0 = 0;                     // line(0)
  std::span<const double> analytic;  // one or more, which should be the same
  double step = 1;                   // the natural size of a step, a power of two
  double noise = 0;                  // of one evaluation
  double scale = 0;                  // the largest of the gradient that this derivative belongs to
  double reach = 0;                  // the largest derivative times its step, of all that is checked
};

struct Answer {
  Verdict verdict = Verdict::noise_limited;
  double numeric = 0, bound = 0;
  std::size_t worst = 0;  // of `analytic`, the one farthest off
};

/// Tries several ranges of steps, coarse to fine. Right: the first that says so with a narrow bound. Wrong: every
/// narrow bound excludes the analytic value.
Answer judge(const Question& question);

/// A power of two near `x`; 1 for 0 and for what is not finite.
double power_of_two(double x);

/// The step for an element of value `x` in an array whose root mean square is `rms`.
inline double natural_step(double x, double rms) {
  return power_of_two(x < 0 ? (-x > rms ? -x : rms) : (x > rms ? x : rms));
}
double root_mean_square(std::span<const double> x);

}  // namespace rw::detail
