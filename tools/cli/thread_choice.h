#pragma once

namespace rw::cli {

/// How many threads the next step should use: as many as allowed, or one when that is faster, as it is beside busy
/// programs, where threads wait for each other to be scheduled. Both are tried now and then, at a cost of about a
/// twentieth of the time. (Results do not depend on the number of threads.)
class ThreadChoice {
 public:
  explicit ThreadChoice(int most) : threads_{most, 1} {}

  int next() const { return threads_[at_]; }
  /// The time of the step that `next` was asked for.
  void took(double seconds);

 private:
  void turn_to(int candidate, bool trying);

  int threads_[2];
  double mean_[2] = {};
  int at_ = 0, steps_ = -1;  // the first step is not counted: it has to prepare things
  bool trying_ = true;
  double spent_ = 0, trial_ = 0;
};

}  // namespace rw::cli
