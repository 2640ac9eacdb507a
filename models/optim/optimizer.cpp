#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/math.h>
#include <rewind/core/threads.h>
#include <rewind/models/optim/clip.h>
#include <rewind/models/optim/optimizer.h>
#include <rewind/models/weights/state_arrays.h>

namespace rw {
namespace {

// All passes run over a chunk while it is in the first cache; arrays of many chunks are shared among threads.
constexpr Index chunk = 2048;
constexpr Index chunks_of_a_block = 16;

std::vector<NamedParameter> all_of(const ParameterGroups& groups) {
  std::map<const Parameter::Data*, const ParameterGroup*> group_of;
  std::vector<NamedParameter> all;
  for (const ParameterGroup& group : groups)
    for (const NamedParameter& p : group.parameters) {
      if (group_of.emplace(p.parameter->data().get(), &group).first->second != &group)
        throw Error("parameter '" + p.name + "' is in two groups of an optimizer");
      all.push_back(p);
    }
  return all;
}

void check(double value, const char* what) {
  if (!std::isfinite(value) || value < 0)
    throw Error(fmt::format("an optimizer's {} must be a finite number of 0 or more, not {}", what, value));
}

}  // namespace

Optimizer::Optimizer(const ParameterGroups& groups, const Options& options, std::vector<std::string> moments)
    : parameters_(all_of(groups)), moment_names_(std::move(moments)) {
  set_rate(options.rate);
  decay_.reserve(2);
  std::map<const Parameter::Data*, std::size_t> group_of;
  for (const ParameterGroup& g : groups) {
    for (const NamedParameter& p : g.parameters) group_of[p.parameter->data().get()] = groups_.size();
    groups_.push_back({.rate_factor = g.rate_factor,
                       .weight_decay = g.weight_decay.value_or(options.weight_decay),
                       .l2 = g.l2.value_or(options.l2),
                       .clip_norm = g.clip_norm,
                       .time_uses = g.time_uses});
    check(g.rate_factor, "rate factor");
    check(groups_.back().weight_decay, "weight decay");
    check(groups_.back().l2, "l2");
    check(g.clip_norm, "clip norm");
    if (g.time_uses < 1) throw Error("an optimizer's time uses must be at least 1, not " + std::to_string(g.time_uses));
  }
  for (const NamedParameter& p : parameters_.all()) {
    Group& group = groups_[group_of.at(p.parameter->data().get())];
    group.parameters.push_back(p);
    group.slots.push_back({p.parameter, p.name, {}});
    for (std::size_t i = 0; i < moment_names_.size(); ++i)
      group.slots.back().moments.emplace_back(p.parameter->shape(), p.parameter->dtype());
  }
}

void Optimizer::set_rate(double rate) {
  if (!std::isfinite(rate) || rate < 0)
    throw Error(fmt::format("the learning rate must be a finite number of 0 or more, not {}", rate));
  detail::refuse_in_trace("a learning rate is set");
  rate_ = rate;
}

template <class T>
void Optimizer::run(const Pass& pass, T* const* arrays, Index at, Index n) {
  const T* x[4] = {};
  for (int i = 0; i < pass.inputs; ++i) x[i] = arrays[pass.from[i]] + at;
  pass.loop.of<T>()(pass.fn, n, x, arrays[pass.to] + at);
}

void Optimizer::check_slot(const Slot& slot) {
  const Parameter::Data& p = *slot.parameter->data();
  p.check_grad();
  if (!slot.moments.empty() && slot.moments[0].dtype() != p.value.dtype())
    throw Error(fmt::format("parameter '{}' was converted to {} after the optimizer was made: make another one",
                            slot.name, name_of(p.value.dtype())));
}

std::span<const Optimizer::Pass> Optimizer::decay_passes(const Group& group) {
  penalty_ = {group.l2};
  shrink_ = {1 - rate_ * group.rate_factor * group.weight_decay};
  decay_.clear();
  if (group.l2 > 0) decay_.push_back({vector_loop<Penalty, 2>(), &penalty_, 2, {gradient, value}, gradient});
  if (group.weight_decay > 0) decay_.push_back({vector_loop<Shrink, 1>(), &shrink_, 1, {value}, value});
  return decay_;
}

void Optimizer::step() {
  detail::refuse_in_trace("an optimizer's step() is called");
  for (const Group& group : groups_)
    for (const Slot& slot : group.slots) check_slot(slot);
  for (const Group& group : groups_)  // all norms before any gradient changes, since this may throw
    if (group.clip_norm > 0) grad_norm(group.parameters);
  ++steps_;
  for (Group& group : groups_) {
    if (group.time_uses > 1) mean_over_uses(group.parameters, group.time_uses);
    if (group.clip_norm > 0) clip_grad_norm(group.parameters, group.clip_norm);
    const std::span<const Pass> decay = decay_passes(group), all = passes(rate_ * group.rate_factor);
    for (Slot& slot : group.slots) update(slot, decay, all);
  }
}

void Optimizer::update(Slot& slot, std::span<const Pass> decay, std::span<const Pass> passes) {
  Parameter::Data& p = *slot.parameter->data();
  if (p.frozen) return p.grad.fill(0);
  ++p.version;
  visit_real(p.value.dtype(), [&]<class T>() {
    T* arrays[4] = {p.value.template span<T>().data(), p.grad.template span<T>().data()};
    for (std::size_t i = 0; i < slot.moments.size(); ++i) arrays[2 + i] = slot.moments[i].template span<T>().data();
    const Index size = p.value.size(), block = chunk * chunks_of_a_block;
    parallel_for((size + block - 1) / block, [&](Index b) {
      for (Index at = b * block; at < std::min(size, (b + 1) * block); at += chunk) {
        const Index n = std::min(chunk, size - at);
        for (const std::span<const Pass> part : {decay, passes})
          for (const Pass& pass : part) run(pass, arrays, at, n);
        std::fill_n(arrays[gradient] + at, n, T(0));
      }
    });
  });
}

std::vector<NamedArray> Optimizer::state() const {
  std::vector<NamedArray> all;
  for (const Group& group : groups_)
    for (const Slot& slot : group.slots)
      for (std::size_t i = 0; i < slot.moments.size(); ++i)
        all.push_back({slot.name + "." + moment_names_[i], slot.moments[i]});
  all.push_back({"steps", full({}, static_cast<double>(steps_), DType::f64)});
  all.push_back({"rate", full({}, rate_, DType::f64)});
  return all;
}

void Optimizer::set_state(std::span<const NamedArray> state) {
  const std::string complaint = "the saved state is not of this optimizer";
  const auto fitting = detail::matching(this->state(), state, complaint);
  const Index steps = detail::saved_count(*fitting[fitting.size() - 2], complaint);
  std::size_t next = 0;  // in the order of state(): moments of each slot, steps, rate
  set_rate(fitting.back()->item());
  steps_ = steps;
  for (Group& group : groups_)
    for (Slot& slot : group.slots)
      for (Array& moment : slot.moments) moment = *fitting[next++];
}

// ---- The kinds of optimizers

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
