#pragma once

#include <limits>
#include <span>
#include <vector>

#include <rewind/models/optim/parameter_handles.h>
#include <rewind/models/weights/serialize.h>

namespace rw {

struct EarlyStoppingOptions {
  /// Looks in a row without a better loss, after which it is time to stop.
  Index patience = 5;
  /// A loss is better when it is below the best one by more than this.
  double margin = 0;
};

/// Ends a training when the loss of validation no longer falls, and keeps the weights that had the best one:
///
///     EarlyStopping stopping(model.parameters(), {.patience = 3});
///     while (!stopping.observe(validation_loss())) train_epoch();
///     stopping.restore();
///
/// Where more is better, give the negative. It shares ownership of the parameters' storage, so modules may move.
class EarlyStopping {
 public:
  /// Throws Error for a patience below 1 or a negative margin.
  explicit EarlyStopping(std::span<const NamedParameter> parameters, const EarlyStoppingOptions& options = {});

  /// Looks at a loss (nan is not better), and copies the weights if it is the best one so far. Returns stopped().
  bool observe(double loss);
  /// Whether the last `patience` looks, or more, were not better than the best one.
  bool stopped() const { return since_best_ >= options_.patience; }
  /// The best loss; infinite before the first.
  double best() const { return best_; }
  /// Losses since the best one.
  Index since_best() const { return since_best_; }

  /// Gives the model its best weights; before the first look, those it had when this object was made.
  void restore() const;

  /// All that is needed to go on to the same bits, the best weights by parameter name.
  std::vector<NamedArray> state() const;
  /// Throws Error, listing all of them, for arrays that are missing, not expected, or of another shape or type; nothing
  /// is changed then.
  void set_state(std::span<const NamedArray> state);

 private:
  detail::ParameterHandles parameters_;
  EarlyStoppingOptions options_;
  std::vector<Array> weights_;
  double best_ = std::numeric_limits<double>::infinity();
  Index since_best_ = 0;
};

}  // namespace rw
