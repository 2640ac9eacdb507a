#include "check.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <rewind/autograd/compile/check/reference.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/threads.h>

#include "../../../effort.h"
#include "generate.h"
#include "shrink.h"

namespace rw::fuzz {
namespace {

using Results = std::vector<Array>;

/// The leaves of a trial: parameters, where a plain backward fills them, and arguments.
class Leaves {
 public:
  explicit Leaves(const Trial& trial) {
    set_program(trial);
    for (std::size_t i = 0; i < p_.leaves.size(); ++i)
      if (is_parameter(p_.leaves[i]))
        parameters_.push_back(
            std::make_unique<Parameter>("p" + std::to_string(i), random_leaf(p_.leaves[i], i, trial.dtype)));
  }
  const Results& inputs() const { return inputs_; }

  /// From now on the same program at another length; parameters stay.
  void set_program(const Trial& trial) {
    p_ = trial.program;
    inputs_.clear();
    for (std::size_t i = 0; i < p_.leaves.size(); ++i)
      if (!is_parameter(p_.leaves[i])) inputs_.push_back(random_leaf(p_.leaves[i], i, trial.dtype));
  }

  std::vector<Tensor> run(Tape& tape, const std::vector<Tensor>& in) const {
    std::vector<Tensor> x;
    std::size_t parameter = 0, input = 0;
    for (const Leaf& leaf : p_.leaves) {
      if (is_parameter(leaf))
        x.push_back(tape.leaf(*parameters_[parameter++]));
      else
        x.push_back(in[input++]);
    }
    return Run(p_, tape)(x);
  }

  void zero() {
    for (auto& p : parameters_) p->zero_grad();
  }
  void add_gradients(Results& to) const {
    for (const auto& p : parameters_) to.push_back(p->grad());
  }

 private:
  bool is_parameter(const Leaf& leaf) const { return p_.gradient == Gradient::plain && leaf.is_parameter; }

  Program p_;
  std::vector<std::unique_ptr<Parameter>> parameters_;
  Results inputs_;
};

Results on_tape(const Trial& trial, Leaves& leaves) {
  Tape tape(trial.dtype);
  std::vector<Tensor> x;
  for (const Array& a : leaves.inputs()) x.push_back(tape.variable(a));
  leaves.zero();
  Results out;
  for (const Tensor& t : leaves.run(tape, x)) out.push_back(t.array());
  leaves.add_gradients(out);
  return out;
}

CompileOptions options_of(const Trial& trial) {
  CompileOptions options;
  options.dtype = trial.dtype;
  options.passes = trial.passes;
  options.verify = trial.verified;
  options.watch_memory = trial.watched;
  options.check = SelfCheck::off;  // it is what this file does
  if (trial.side_by_side) options.branch_from = 0;
  return options;
}

/// The leaves' function, compiled for the program that they have now; it must not outlive them.
auto compiled_function(Leaves& leaves, const CompileOptions& options) {
  return compile([&](Tape& tape, const std::vector<Tensor>& in) { return leaves.run(tape, in); }, options,
                 leaves.inputs());
}

/// The least budget of memory, as the Error for one of nothing says it.
std::size_t least_memory(Leaves& leaves, CompileOptions options) {
  options.memory = 0;
  try {
    compiled_function(leaves, options);
  } catch (const Error& e) {
    const std::string text = e.what(), before = "below the least for this function, ";
    const std::size_t at = text.find(before);
    if (at == std::string::npos) throw;
    return std::stoull(text.substr(at + before.size()));
  }
  return 0;
}

template <class Step>
Results called(Step& step, Leaves& leaves) {
  Results out;
  leaves.zero();
  step.set_step(0);  // calls count steps, and the tape is at its first
  for (const Tensor& t : step(leaves.inputs())) out.push_back(t.array());
  leaves.add_gradients(out);
  return out;
}

// Twice: a replay must not depend on what the one before has left.
std::vector<Results> compiled(const Trial& trial, Leaves& leaves) {
  constexpr std::size_t most_watched = 1 << 20;  // bytes: all are compared at every step
  CompileOptions options = options_of(trial);
  if (trial.tight) options.memory = least_memory(leaves, options);
  std::optional step(compiled_function(leaves, options));
  if (trial.tight && step->memory() > *options.memory) throw Error("the plan takes more memory than its budget");
  if (trial.watched && step->memory() > most_watched) {
    options.watch_memory = false;
    step.emplace(compiled_function(leaves, options));
  }
  std::vector<Results> all;
  for (int replay = 0; replay < 2; ++replay) all.push_back(called(*step, leaves));
  return all;
}

double size_of_largest(const Array& a) {
  double most = 0;
  for (double x : a.to_vector<double>()) most = std::max(most, std::abs(x));
  return most;
}

/// The largest difference, and where; infinite for nan.
std::pair<double, std::size_t> difference(const Array& a, const Array& b) {
  const std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
  std::pair<double, std::size_t> worst{0, 0};
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double d = std::abs(x[i] - y[i]);
    if (!(d <= worst.first)) worst = {std::isnan(d) ? INFINITY : d, i};
  }
  return worst;
}

/// The ops of a program and of its gradients, which an f64 tape records, and what roundings make of its results.
class Rounded {
 public:
  explicit Rounded(const Trial& trial) : plain_(trial.program.gradient == Gradient::plain) {
    Program p = trial.program;
    if (plain_) p.gradient = Gradient::recorded;  // the gradients are in the graph then
    Tape tape(DType::f64);
    std::vector<Tensor> x;
    for (std::size_t i = 0; i < p.leaves.size(); ++i)
      x.push_back(tape.variable(random_leaf(p.leaves[i], i, trial.dtype).to(DType::f64)));
    graph_ = ir::from_tape(tape, Run(p, tape)(x), {});
    for (const Leaf& leaf : p.leaves) wanted_.push_back(!plain_ || leaf.is_parameter);
  }

  /// The results of the program when every op rounds to numbers that are `unit` apart, at random.
  Results operator()(double unit, std::uint64_t draw) const {
    Results all = ir::Reference(graph_, DType::f64, {}, unit, draw).outcome().results;
    if (!plain_) return all;
    const std::size_t gradients = all.size() - wanted_.size();
    Results out(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(gradients));
    for (std::size_t i = 0; i < wanted_.size(); ++i)
      if (wanted_[i]) out.push_back(all[gradients + i]);
    return out;
  }

 private:
  bool plain_;
  ir::Graph graph_;
  std::vector<bool> wanted_;  // by leaf: its gradient is a result
};

/// How far rounding may carry each result.
class Bounds {
 public:
  Bounds(const Trial& trial, const Results& tape)
      : trial_(trial), tape_(tape), reference_(reference(trial.program, trial.dtype)) {}

  std::optional<std::string> look_at(const Results& found) {
    if (found.size() != tape_.size()) return fmt::format("{} results for {}", found.size(), tape_.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (!(found[i].shape() == tape_[i].shape()))
        return fmt::format("result {}: {} for {}", i, found[i].shape().str(), tape_[i].shape().str());
      const auto [error, at] = difference(found[i], reference_[i]);
      const double few = 8 * unit_ * size_of_largest(reference_[i]);
      if (error > few && error > few + 16 * rounding(i))
        return fmt::format("result {} {}, element {}: {} for {} ({} on the tape), where rounding makes {}", i,
                           found[i].shape().str(), at, found[i].to_vector<double>()[at],
                           reference_[i].to_vector<double>()[at], tape_[i].to_vector<double>()[at], rounding(i));
    }
    return std::nullopt;
  }

 private:
  // Noise of the size of f64's own roundings would drown in those of the reference. A few draws, since a result of one
  // number moves little by luck.
  double rounding(std::size_t i) {
    const double noise = trial_.dtype == DType::f32 ? unit_ : std::ldexp(1, -40);
    if (noisy_.empty()) {
      const Rounded rounded(trial_);
      for (std::uint64_t draw = 1; draw <= 8; ++draw) noisy_.push_back(rounded(noise, draw));
    }
    double most = trial_.dtype == DType::f32 ? difference(tape_[i], reference_[i]).first : 0;
    for (const Results& r : noisy_) most = std::max(most, difference(r[i], reference_[i]).first * unit_ / noise);
    return most;
  }

  const Trial& trial_;
  const Results& tape_;
  Results reference_;
  std::vector<Results> noisy_;
  double unit_ = trial_.dtype == DType::f32 ? std::ldexp(1, -24) : std::ldexp(1, -53);
};

bool keeps_bits(const Trial& trial) {
  return Passes::exact().has(trial.passes) && trial.program.gradient != Gradient::plain;
}

// Which pass it is, or which step: a wrong result does not say so by itself.
std::string blame(Trial trial, Leaves& leaves) {
  trial.verified = trial.watched = true;
  try {
    compiled(trial, leaves);
  } catch (const std::exception& e) {
    return std::string("; ") + e.what();
  }
  return "; every pass keeps the values";
}

std::optional<std::string> compare(const Trial& trial, const std::vector<Results>& all, const Results& tape) {
  std::optional<Bounds> bounds;
  for (const Results& found : all) {
    if (found == tape) continue;
    if (keeps_bits(trial)) {
      for (std::size_t i = 0; i < std::min(found.size(), tape.size()); ++i)
        if (!(found[i] == tape[i])) {
          const std::size_t at = difference(found[i], tape[i]).second;
          return fmt::format("result {} {} has other bits, element {}: {} for {}", i, tape[i].shape().str(), at,
                             found[i].to_vector<double>()[at], tape[i].to_vector<double>()[at]);
        }
    }
    if (!bounds.has_value()) bounds.emplace(trial, tape);
    if (const auto wrong = bounds->look_at(found)) return wrong;
  }
  return std::nullopt;
}

// Far from overflow, where every bound is one.
bool moderate(const Results& results) {
  return std::ranges::all_of(results, [](const Array& a) {
    return std::ranges::all_of(a.to_vector<double>(), [](double x) { return std::abs(x) < 1e3; });
  });
}

// One function at several lengths, one after another: plans of some of them follow from those of others. What a tape
// refuses at some length is left out there. `followers` counts those plans.
std::optional<std::string> compare_lengths(const Trial& trial, Leaves& leaves, int* followers = nullptr) {
  if (trial.program.sequences.empty()) return std::nullopt;
  std::optional<decltype(compiled_function(leaves, options_of(trial)))> step;
  for (const Index steps : trial.lengths) {
    Trial now = trial;
    now.program = at_length(trial.program, steps);
    leaves.set_program(now);
    Results tape;
    try {
      tape = on_tape(now, leaves);
    } catch (const Error&) {
      continue;
    }
    if (!moderate(tape)) continue;
    if (!step.has_value()) step.emplace(compiled_function(leaves, options_of(trial)));
    const Results found = called(*step, leaves);
    const auto follows = [&] { return step->explain().find("no pass ran for it") != std::string::npos; };
    if (const auto wrong = compare(now, {found}, tape))
      return fmt::format("after other lengths, at {} steps{}: {}", steps, follows() ? ", by Pass::loops" : "", *wrong);
    if (followers != nullptr) *followers += follows() ? 1 : 0;
  }
  return std::nullopt;
}

// Three that are compiled, and two between them. Plans that run side by side, or are watched, do not follow from
// others.
void choose_lengths(Trial& trial, Rng& rng) {
  constexpr Index most_elements = 1 << 14;                            // what rounding may do takes a minute beyond
  const Index low = 9 + rng.below(3), high = low + 6 + rng.below(8);  // sums of fewer terms have another form
  Index elements = 0;
  for (const Leaf& leaf : at_length(trial.program, high).leaves) elements += leaf.shape.size();
  if (elements > most_elements) return;
  trial.lengths = {low, high};
  while (trial.lengths.size() < 5) {
    const Index between = low + 1 + rng.below(high - low - 1);
    if (std::ranges::count(trial.lengths, between) == 0) trial.lengths.push_back(between);
  }
  trial.side_by_side = trial.watched = trial.tight = false;
}

}  // namespace

Trial random_trial(std::uint64_t seed) {
  Trial trial;
  trial.program = random_program(seed);
  Rng rng = Rng(seed).split(1u << 20);
  trial.dtype = rng.below(2) == 0 ? DType::f32 : DType::f64;
  const Index kind = rng.below(8);
  if (kind < 3) trial.passes = Passes::exact();
  if (kind == 3) {  // some of them
    for (const PassSwitch& s : pass_switches)
      if (rng.below(3) == 0) trial.passes = trial.passes - s.pass;
  }
  trial.threads = static_cast<int>(1 + rng.below(3));
  trial.side_by_side = rng.below(2) == 0;
  trial.watched = rng.below(3) == 0;
  trial.verified = rng.below(5) == 0;
  trial.tight = Rng(seed).split(1u << 21).below(4) == 0;  // apart: the other trials stay as they were
  if (!trial.program.sequences.empty() && rng.below(40) == 0) choose_lengths(trial, rng);
  return trial;
}

std::optional<std::string> failure(const Trial& trial) {
  Results tape;
  std::optional<Leaves> leaves;
  try {
    leaves.emplace(trial);
    tape = on_tape(trial, *leaves);
  } catch (const Error&) {
    return std::nullopt;
  }
  const int before = threads();
  set_threads(trial.threads);
  std::optional<std::string> wrong;
  try {
    wrong = compare(trial, compiled(trial, *leaves), tape);
    if (wrong.has_value())
      *wrong += blame(trial, *leaves);
    else
      wrong = compare_lengths(trial, *leaves);
  } catch (const std::exception& e) {
    wrong = std::string("it threw: ") + e.what();
  }
  set_threads(before);
  return wrong;
}

// ---- The test ----

namespace {

// One in eight takes twice as long as all the others together.
bool is_large(const Program& program) {
  Index elements = 0;
  for (const Leaf& leaf : program.leaves) elements += leaf.shape.size();
  return elements * std::max<Index>(program.steps, 1) > 1 << 16;
}

TEST_CASE("random programs do the same compiled") {
  const std::uint64_t always = rw::test::effort(2000);  // the long form goes on for a minute
  const std::uint64_t count = rw::test::full() ? 40000 : always;
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  for (std::uint64_t seed = 0, tried = 0; tried < count && (tried < always || std::chrono::steady_clock::now() < end);
       ++seed) {
    CAPTURE(seed);
    const Trial trial = random_trial(seed);
    if (!rw::test::full() && is_large(trial.program)) continue;
    ++tried;
    if (!failure(trial).has_value()) continue;
    const Trial small = shrunk(trial, [](const Trial& t) { return failure(t).has_value(); });
    FAIL_CHECK(report(small, *failure(small), seed));
  }
}

TEST_CASE("random programs are called at lengths that follow from others, with one thread and several") {
  const int before = threads();
  int called = 0, followers = 0;
  for (std::uint64_t seed = 0; called < 40; ++seed) {
    Trial trial = random_trial(seed);
    if (trial.lengths.empty() || !trial.passes.has(Pass::loops)) continue;
    CAPTURE(seed);
    set_threads(1 + called++ % 3);
    Leaves leaves(trial);
    CHECK(compare_lengths(trial, leaves, &followers).value_or("") == "");
  }
  set_threads(before);
  CHECK(followers >= 10);  // most have numbers of their own at each step, and are compiled anew
}

}  // namespace

}  // namespace rw::fuzz
