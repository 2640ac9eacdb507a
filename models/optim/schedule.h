#pragma once

#include <functional>
#include <span>
#include <vector>

#include <rewind/core/dtype.h>
#include <rewind/models/weights/serialize.h>

namespace rw {

/// A learning rate for each number of steps (or epochs: whatever is counted) that are done. It is a function, so it has
/// nothing to save, a program that resumes asks it for the same numbers, and schedules are put together:
///
///     const Schedule rate = warm_up(CosineDecay{.rate = 1e-3, .steps = 9000}, 1000);
///     optimizer.set_rate(rate(optimizer.steps()) * plateau.scale());
///
/// All throw Error for numbers that make no sense, when they are asked.
using Schedule = std::function<double(Index done)>;

/// A learning rate that falls in steps: the first rate until `after` are done, then times `factor` after each `every`
/// more, the first time at once. (char-rnn: {.rate = 2e-3, .factor = 0.97, .after = 10}. PyTorch's StepLR: `after` and
/// `every` are its step_size.)
struct StepDecay {
  double rate = 1e-3;
  double factor = 1;
  Index after = 0;
  Index every = 1;

  /// The rate after `done` steps.
  double operator()(Index done) const;
};

/// rate * factor^(done / every), also between the multiples of `every`.
struct ExponentialDecay {
  double rate = 1e-3;
  double factor = 1;
  Index every = 1;

  /// The rate after `done` steps.
  double operator()(Index done) const;
};

/// Half a cosine from `rate` to `floor`: floor + (rate - floor) (1 + cos(pi done / steps)) / 2, and `floor` from then
/// on (Loshchilov and Hutter, 2017). With restarts it begins anew when it has come down, each time over `growth` times
/// as many steps.
struct CosineDecay {
  double rate = 1e-3;
  Index steps = 1;
  double floor = 0;
  bool restarts = false;
  Index growth = 1;

  /// The rate after `done` steps.
  double operator()(Index done) const;
};

/// The rate grows in a line from `from` times the first rate of `then` to all of it, over `steps`; then `then` begins.
Schedule warm_up(Schedule then, Index steps, double from = 0.01);
/// `first` until `steps` are done; then `second`, from its beginning.
Schedule in_turn(Schedule first, Index steps, Schedule second);
/// One rate times the other.
Schedule product(Schedule a, Schedule b);

struct PlateauOptions {
  /// What the scale is multiplied by, once a loss has not become better in more than `patience` looks in a row.
  double factor = 0.1;
  Index patience = 10;
  /// A loss below best - threshold * |best| is better.
  double threshold = 1e-4;
  /// Looks after a fall that are not counted.
  Index cooldown = 0;
  /// The scale falls no further.
  double floor = 0;
};

/// Lowers the rate when the loss of validation stops falling: PyTorch's ReduceLROnPlateau, as a factor of the rate, so
/// that it goes together with any schedule.
class Plateau {
 public:
  /// Throws Error unless factor is in (0, 1), and the others are not negative.
  explicit Plateau(const PlateauOptions& options = {});

  /// Looks at a loss; nan is not better. Returns the scale.
  double observe(double loss);
  /// What the rate is to be multiplied by now.
  double scale() const { return scale_; }

  /// All that is needed to go on to the same bits.
  std::vector<NamedArray> state() const;
  /// Throws Error, listing them, for arrays that are missing, not expected or of another shape or type; nothing is
  /// changed then.
  void set_state(std::span<const NamedArray> state);

 private:
  PlateauOptions options_;
  double best_, scale_ = 1;
  Index bad_ = 0, cooling_ = 0;
};

}  // namespace rw
