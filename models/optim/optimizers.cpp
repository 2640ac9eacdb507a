#include <cmath>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/math.h>
#include <rewind/models/optim/optimizer.h>

namespace rw {
namespace {

void require(bool holds, const std::string& message) {
  if (!holds) throw Error(message);
}
bool below_one(double x) { return x >= 0 && x < 1; }

}  // namespace

// ---- Sgd

struct Sgd::Move : Fn {
  template <class T>
  T operator()(T w, T g) const {
    return w - T(rate) * g;
  }
};
struct Sgd::Gather : Fn {
  template <class T>
  T operator()(T m, T g) const {
    return T(momentum) * m + g;
  }
};
struct Sgd::Ahead : Fn {
  template <class T>
  T operator()(T w, T g, T m) const {
    return w - T(rate) * (g + T(momentum) * m);
  }
};

Sgd::Sgd(const ParameterGroups& groups, const SgdOptions& options)
    : Optimizer(groups, {options.rate, options.weight_decay, options.l2},
                options.momentum > 0 ? std::vector<std::string>{"momentum"} : std::vector<std::string>{}),
      options_(options) {
  require(below_one(options.momentum), fmt::format("sgd: momentum must be in [0, 1), not {}", options.momentum));
  require(!options.nesterov || options.momentum > 0, "sgd: Nesterov's form needs a momentum above 0");
  if (options.momentum == 0) {
    passes_ = {{vector_loop<Move, 2>(), &fn_, 2, {value, gradient}, value}};
  } else {
    passes_ = {{vector_loop<Gather, 2>(), &fn_, 2, {moment0, gradient}, moment0}};
    if (options.nesterov)
      passes_.push_back({vector_loop<Ahead, 3>(), &fn_, 3, {value, gradient, moment0}, value});
    else
      passes_.push_back({vector_loop<Move, 2>(), &fn_, 2, {value, moment0}, value});
  }
}

std::span<const Optimizer::Pass> Sgd::passes(double rate) {
  fn_ = {rate, options_.momentum};
  return passes_;
}

// ---- RmsProp

struct RmsProp::Gather : Fn {
  template <class T>
  T operator()(T v, T g) const {
    return T(decay) * v + T(1 - decay) * (g * g);
  }
};
struct RmsProp::Move : Fn {
  template <class T>
  T operator()(T w, T g, T v) const {
    return w - T(rate) * g / (rw::sqrt(v) + T(epsilon));
  }
};

RmsProp::RmsProp(const ParameterGroups& groups, const RmsPropOptions& options)
    : Optimizer(groups, {options.rate, options.weight_decay, options.l2}, {"variance"}),
      fn_{options.rate, options.decay, options.epsilon} {
  require(below_one(options.decay), "rmsprop: decay must be in [0, 1)");
  require(options.epsilon > 0, "rmsprop: epsilon must be above 0");
  passes_ = {{vector_loop<Gather, 2>(), &fn_, 2, {moment0, gradient}, moment0},
             {vector_loop<Move, 3>(), &fn_, 3, {value, gradient, moment0}, value}};
}

std::span<const Optimizer::Pass> RmsProp::passes(double rate) {
  fn_.rate = rate;
  return passes_;
}

// ---- Adam

struct Adam::Mean : Fn {
  template <class T>
  T operator()(T m, T g) const {
    return T(beta1) * m + T(1 - beta1) * g;
  }
};
struct Adam::Variance : Fn {
  template <class T>
  T operator()(T v, T g) const {
    return T(beta2) * v + T(1 - beta2) * (g * g);
  }
};
struct Adam::Move : Fn {
  template <class T>
  T operator()(T w, T m, T v) const {
    return w - T(step) * m / (rw::sqrt(v) * T(root) + T(epsilon));
  }
};

Adam::Adam(const ParameterGroups& groups, const AdamOptions& options)
    : Optimizer(groups, {options.rate, options.weight_decay, options.l2}, {"mean", "variance"}), options_(options) {
  require(below_one(options.beta1) && below_one(options.beta2), "adam: beta1 and beta2 must be in [0, 1)");
  require(options.epsilon > 0, "adam: epsilon must be above 0");
  passes_ = {{vector_loop<Mean, 2>(), &fn_, 2, {moment0, gradient}, moment0},
             {vector_loop<Variance, 2>(), &fn_, 2, {moment1, gradient}, moment1},
             {vector_loop<Move, 3>(), &fn_, 3, {value, moment0, moment1}, value}};
}

std::span<const Optimizer::Pass> Adam::passes(double rate) {
  const double n = static_cast<double>(steps());
  fn_ = {.beta1 = options_.beta1,
         .beta2 = options_.beta2,
         .epsilon = options_.epsilon,
         .step = rate / (1 - std::pow(options_.beta1, n)),
         .root = 1 / std::sqrt(1 - std::pow(options_.beta2, n))};
  return passes_;
}

std::unique_ptr<Optimizer> make_optimizer(std::string_view name, const ParameterGroups& p, double rate) {
  if (name == "sgd") return std::make_unique<Sgd>(p, SgdOptions{.rate = rate});
  if (name == "momentum") return std::make_unique<Sgd>(p, SgdOptions{.rate = rate, .momentum = 0.9});
  if (name == "rmsprop") return std::make_unique<RmsProp>(p, RmsPropOptions{.rate = rate, .decay = 0.95});
  if (name == "adam") return std::make_unique<Adam>(p, AdamOptions{.rate = rate});
  if (name == "adamw") return std::make_unique<AdamW>(p, AdamWOptions{.rate = rate});
  throw Error("no optimizer '" + std::string(name) + "'; there are: sgd, momentum, rmsprop, adam, adamw");
}

}  // namespace rw
