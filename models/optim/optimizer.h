#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/core/vector_loop.h>
#include <rewind/models/module.h>
#include <rewind/models/optim/parameter_handles.h>
#include <rewind/models/weights/serialize.h>

namespace rw {

/// Parameters that an optimizer treats alike.
struct ParameterGroup {
  std::vector<NamedParameter> parameters = {};
  /// The group's rate is this times the optimizer's, so that one schedule moves all groups.
  double rate_factor = 1;
  /// In place of the optimizer's own, when they are given.
  std::optional<double> weight_decay = std::nullopt, l2 = std::nullopt;
  /// Gradients of the group are first divided by this, as by `mean_over_uses`: the number of steps that use each
  /// weight, for the mean over time in place of the sum.
  Index time_uses = 1;
  /// Then they are scaled down to this norm, as by `clip_grad_norm`. 0: they are not.
  double clip_norm = 0;
};

/// What an optimizer is made for: groups, or the parameters of a single one.
class ParameterGroups : public std::vector<ParameterGroup> {
 public:
  /// One group.
  ParameterGroups(std::vector<NamedParameter> parameters) { push_back({.parameters = std::move(parameters)}); }
  /// Several.
  ParameterGroups(std::vector<ParameterGroup> groups) : vector(std::move(groups)) {}
  /// Several.
  ParameterGroups(std::initializer_list<ParameterGroup> groups) : vector(groups) {}
};

/// Moves parameters along their gradients. It shares ownership of the parameters' storage, so modules may move.
/// Allocates only when it is made. Sgd, RmsProp, Adam and AdamW derive from it, and so may a user's own.
class Optimizer {
 public:
  /// What every optimizer has.
  struct Options {
    double rate = 1e-3;
    /// Decoupled weight decay: w -= rate * weight_decay * w before the step (Loshchilov and Hutter, 2019).
    double weight_decay = 0;
    /// Coupled: the gradient of l2 / 2 |w|^2 is added to the loss's, g += l2 w, and goes through moments with it.
    double l2 = 0;
  };

  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Updates every parameter from its gradient and sets the gradient to 0. Frozen parameters stay; their gradients are
  /// set to 0, too. Groups that clip do so first: Error is thrown for a gradient of theirs that is nan or infinite, and
  /// nothing is changed then.
  void step();

  /// The learning rate of the next step.
  double rate() const { return rate_; }
  /// Throws Error unless the rate is finite and not negative.
  void set_rate(double rate);
  /// Steps made so far.
  Index steps() const { return steps_; }

  /// All that is needed to go on to the same bits: moments by parameter name, number of steps, rate.
  std::vector<NamedArray> state() const;
  /// Throws Error, listing all of them, for arrays that are missing, not expected, or of another shape or type; nothing
  /// is changed then.
  void set_state(std::span<const NamedArray> state);

 protected:
  /// What a pass reads and writes, element by element.
  enum Role : int { value, gradient, moment0, moment1 };
  /// One vector loop: `to` = fn(from...), in place of what was there.
  struct Pass {
    VectorLoop loop;
    const void* fn = nullptr;
    int inputs = 0;
    Role from[4] = {};
    Role to = value;
  };

  /// One moment, an array of zeros like the parameter, for each name. A parameter that comes twice counts once; of two
  /// with one name (of two modules), the second one's state is named "W#2". Throws Error for a parameter in two groups,
  /// unless rates, decays and clips are finite and not negative, and for fewer than 1 use.
  Optimizer(const ParameterGroups& groups, const Options& options, std::vector<std::string> moments);
  /// The passes of a step at this rate. `steps()` counts it already.
  virtual std::span<const Pass> passes(double rate) = 0;

 private:
  struct Slot {
    const Parameter* parameter = nullptr;
    std::string name;
    std::vector<Array> moments;
  };
  struct Group {
    double rate_factor = 1, weight_decay = 0, l2 = 0, clip_norm = 0;
    Index time_uses = 1;
    std::vector<NamedParameter> parameters = {};
    std::vector<Slot> slots = {};
  };
  // Weight decay is two passes before those of the optimizer.
  struct Penalty {
    double l2 = 0;
    template <class T>
    T operator()(T g, T w) const {
      return g + T(l2) * w;
    }
  };
  struct Shrink {
    double keep = 1;
    template <class T>
    T operator()(T w) const {
      return T(keep) * w;
    }
  };
  std::span<const Pass> decay_passes(const Group& group);
  template <class T>
  static void run(const Pass& pass, T* const* arrays, Index at, Index n);
  static void update(Slot& slot, std::span<const Pass> decay, std::span<const Pass> passes);

  detail::ParameterHandles parameters_;
  std::vector<Group> groups_;
  std::vector<std::string> moment_names_;
  double rate_ = 0;
  Index steps_ = 0;
  Penalty penalty_;
  Shrink shrink_;
  std::vector<Pass> decay_;
};

struct SgdOptions {
  double rate = 1e-2;
  /// Part of the last move that is made again: m = momentum m + g, w -= rate m (Polyak, 1964).
  double momentum = 0;
  /// Look ahead: w -= rate (g + momentum m) (Nesterov, 1983; in this form Sutskever et al., 2013).
  bool nesterov = false;
  /// See Optimizer::Options.
  double weight_decay = 0, l2 = 0;
};

/// Stochastic gradient descent: w -= rate g.
class Sgd : public Optimizer {
 public:
  /// Throws Error unless momentum is in [0, 1), and for Nesterov's form without momentum.
  explicit Sgd(const ParameterGroups& groups, const SgdOptions& options = {});

 private:
  std::span<const Pass> passes(double rate) override;
  struct Fn {
    double rate = 0, momentum = 0;
  };
  struct Move;
  struct Gather;
  struct Ahead;
  SgdOptions options_;
  Fn fn_;
  std::vector<Pass> passes_;
};

struct RmsPropOptions {
  double rate = 1e-2;
  double decay = 0.99;
  double epsilon = 1e-8;
  /// See Optimizer::Options.
  double weight_decay = 0, l2 = 0;
};

/// v = decay v + (1 - decay) g^2, w -= rate g / (sqrt(v) + epsilon) (Tieleman and Hinton, 2012).
class RmsProp : public Optimizer {
 public:
  /// Throws Error unless decay is in [0, 1) and epsilon above 0.
  explicit RmsProp(const ParameterGroups& groups, const RmsPropOptions& options = {});

 private:
  std::span<const Pass> passes(double rate) override;
  struct Fn {
    double rate = 0, decay = 0, epsilon = 0;
  };
  struct Gather;
  struct Move;
  Fn fn_;
  std::vector<Pass> passes_;
};

struct AdamOptions {
  double rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  /// See Optimizer::Options.
  double weight_decay = 0, l2 = 0;
};

/// m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, and with both divided by 1 - beta^step:
/// w -= rate m / (sqrt(v) + epsilon) (Kingma and Ba, 2015).
class Adam : public Optimizer {
 public:
  /// Throws Error unless both betas are in [0, 1) and epsilon is above 0.
  explicit Adam(const ParameterGroups& groups, const AdamOptions& options = {});

 private:
  std::span<const Pass> passes(double rate) override;
  struct Fn {
    double beta1 = 0, beta2 = 0, epsilon = 0, step = 0, root = 0;
  };
  struct Mean;
  struct Variance;
  struct Move;
  AdamOptions options_;
  Fn fn_;
  std::vector<Pass> passes_;
};

/// Adam with decoupled weight decay, 0.01 unless said otherwise.
class AdamW : public Adam {
 public:
  /// Adam with decoupled decay.
  explicit AdamW(const ParameterGroups& groups, const AdamOptions& options = {.weight_decay = 0.01})
      : Adam(groups, options) {}
};

/// By name: "sgd", "momentum" (Sgd with 0.9), "rmsprop" (decay 0.95, as char-rnn), "adam", "adamw". Throws Error,
/// listing the names, for another one.
std::unique_ptr<Optimizer> make_optimizer(std::string_view name, const ParameterGroups& groups, double rate);

}  // namespace rw
