#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/core/vector_loop.h>
#include <rewind/models/module.h>
#include <rewind/models/serialize.h>

namespace rw {

/// Moves parameters along their gradients. It shares ownership of the parameters' storage, so modules may move.
/// Allocates only when it is made. Sgd, RmsProp, Adam and AdamW derive from it, and so may a user's own.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Updates every parameter from its gradient and sets the gradient to 0. Frozen parameters stay; their gradients are
  /// set to 0, too.
  void step();

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
  /// with one name (of two modules), the second one's state is named "W#2".
  Optimizer(std::vector<NamedParameter> parameters, double rate, std::vector<std::string> moments);
  /// The passes of a step. `steps()` counts it already.
  virtual std::span<const Pass> passes() = 0;

 private:
  struct Slot {
    std::string name;
    std::shared_ptr<Parameter::Data> parameter;
    std::vector<Array> moments;
  };
  void update(Slot& slot, std::span<const Pass> passes);

  std::vector<Slot> slots_;
  std::vector<std::string> moment_names_;
  double rate_;
  Index steps_ = 0;
};

struct SgdOptions {
  double rate = 1e-2;
  /// Part of the last move that is made again: m = momentum m + g, w -= rate m (Polyak, 1964).
  double momentum = 0;
  /// Look ahead: w -= rate (g + momentum m) (Nesterov, 1983; in this form Sutskever et al., 2013).
  bool nesterov = false;
};

/// Stochastic gradient descent: w -= rate g.
class Sgd : public Optimizer {
 public:
  /// Throws Error unless momentum is in [0, 1), and for Nesterov's form without momentum.
  explicit Sgd(std::vector<NamedParameter> parameters, const SgdOptions& options = {});

 private:
  std::span<const Pass> passes() override;
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
};

/// v = decay v + (1 - decay) g^2, w -= rate g / (sqrt(v) + epsilon) (Tieleman and Hinton, 2012).
class RmsProp : public Optimizer {
 public:
  /// Throws Error unless decay is in [0, 1) and epsilon above 0.
  explicit RmsProp(std::vector<NamedParameter> parameters, const RmsPropOptions& options = {});

 private:
  std::span<const Pass> passes() override;
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
  /// AdamW only: each step first shrinks w by rate * decay (Loshchilov and Hutter, 2019).
  double decay = 0;
};

/// m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, and with both divided by 1 - beta^step:
/// w -= rate m / (sqrt(v) + epsilon) (Kingma and Ba, 2015).
class Adam : public Optimizer {
 public:
  /// Throws Error unless both betas are in [0, 1), epsilon is above 0 and decay is not negative.
  explicit Adam(std::vector<NamedParameter> parameters, const AdamOptions& options = {});

 private:
  std::span<const Pass> passes() override;
  struct Fn {
    double beta1 = 0, beta2 = 0, epsilon = 0, step = 0, root = 0, keep = 1;
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
  explicit AdamW(std::vector<NamedParameter> parameters, AdamOptions options = {.decay = 0.01})
      : Adam(std::move(parameters), options) {}
};

/// By name: "sgd", "momentum" (Sgd with 0.9), "rmsprop" (decay 0.95, as char-rnn), "adam", "adamw". Throws Error,
/// listing the names, for another one.
std::unique_ptr<Optimizer> make_optimizer(std::string_view name, std::vector<NamedParameter> parameters, double rate);

}  // namespace rw
