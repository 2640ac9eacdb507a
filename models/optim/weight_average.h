#pragma once

#include <span>
#include <vector>

#include <rewind/models/optim/parameter_handles.h>
#include <rewind/models/weights/serialize.h>

namespace rw {

struct WeightAverageOptions {
  /// The part of the average that stays at each update.
  double decay = 0.999;
  /// Shorter at first: decay is min(decay, (1 + n) / (10 + n)) at the update after n others, so that the start is
  /// forgotten.
  bool warm_up = true;
};

/// The exponential moving average of weights, a = decay a + (1 - decay) w (Polyak and Juditsky, 1992, average them
/// all): often better than the last weights. It starts as the weights are when it is made.
///
///     optimizer.step();
///     average.update();
///     ...
///     const Averaged averaged(average);   // until the end of this scope the model has the averages
///     evaluate(model);
///
/// It shares ownership of the parameters' storage, so modules may move.
class WeightAverage {
 public:
  /// Throws Error unless decay is in [0, 1).
  explicit WeightAverage(std::span<const NamedParameter> parameters, const WeightAverageOptions& options = {});

  /// After an optimizer's step. Throws Error while the averages are in the model.
  void update();
  /// How many times it was updated.
  Index updates() const { return updates_; }

  /// Exchanges weights and averages: the first call puts the averages into the model, the second takes them out.
  void swap();
  /// Whether the averages stand in the parameters.
  bool swapped() const { return swapped_; }

  /// All that is needed to go on to the same bits, by parameter name. Throws Error while the averages are in the model.
  std::vector<NamedArray> state() const;
  /// Throws Error while the averages are in the model and, listing all of them, for arrays that are missing, not
  /// expected, or of another shape or type; nothing is changed then.
  void set_state(std::span<const NamedArray> state);

 private:
  void require_out(const char* what) const;

  detail::ParameterHandles parameters_;
  WeightAverageOptions options_;
  std::vector<Array> averages_;
  Index updates_ = 0;
  bool swapped_ = false;
};

/// Puts the averages into the model for its own life.
class Averaged {
 public:
  /// Swaps, until the end of its lifetime.
  explicit Averaged(WeightAverage& average) : average_(average) { average_.swap(); }
  ~Averaged() { average_.swap(); }
  Averaged(const Averaged&) = delete;
  Averaged& operator=(const Averaged&) = delete;

 private:
  WeightAverage& average_;
};

}  // namespace rw
