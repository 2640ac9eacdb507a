#pragma once

// Random graphs over all ops, for tests: correct by construction, small, of moderate values, the same for a seed on
// every machine.

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "op_cases.h"

namespace rw::test {

/// Parameters of many shapes, with values from a normal distribution.
class RandomParameters {
 public:
  explicit RandomParameters(std::uint64_t seed, DType dtype = DType::f64) {
    Rng rng(seed);
    const Shape shapes[] = {{2, 3}, {3, 3}, {3, 2}, {2, 3}, {3}, {2, 1}, {}, {2, 2, 3}, {2, 2, 3}, {3}};
    for (const Shape& shape : shapes) {
      Array value(shape, DType::f64);
      for (double& x : value.span<double>()) x = 0.8 * rng.normal();
      list_.push_back(std::make_unique<Parameter>("p" + std::to_string(list_.size()), value.to(dtype)));
    }
  }
  struct Named {
    std::string name;
    Parameter* parameter;
  };
  std::vector<Named> all() const {
    std::vector<Named> out;
    for (const auto& p : list_) out.push_back({p->name(), p.get()});
    return out;
  }
  std::vector<Tensor> leaves(Tape& tape) const {
    std::vector<Tensor> out;
    for (const auto& p : list_) out.push_back(tape.leaf(*p));
    return out;
  }

 private:
  std::vector<std::unique_ptr<Parameter>> list_;
};

/// A function of random parameters made of random ops: call it on any tape. What it does depends on the seed alone, not
/// on the values.
class RandomGraph {
 public:
  explicit RandomGraph(std::uint64_t seed, int ops = 10) : seed_(seed), parameters_(seed) {
    Tape tape(DType::f64);
    Pool pool(tape, parameters_.leaves(tape));
    Rng rng = Rng(seed).split(1);
    for (int tries = 0; static_cast<int>(steps_.size()) < ops && tries < 20 * ops; ++tries) {
      const Step step{static_cast<std::size_t>(rng.below(static_cast<Index>(op_cases().size()))), rng.next()};
      const TapeMark mark = tape.mark();
      const std::optional<Tensor> y = run(step, pool);
      if (y.has_value() && moderate(*y)) {
        pool.add(*y);
        steps_.push_back(step);
      } else {
        tape.rewind(mark);
      }
    }
  }

  /// The mean of what the ops gave, each times a fixed factor.
  Tensor operator()(Tape& tape) const {
    Pool pool(tape, parameters_.leaves(tape));
    const std::size_t first = pool.tensors().size();
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const Scope scope(tape, op_cases()[steps_[i].op].name, static_cast<Index>(i));
      pool.add(*run(steps_[i], pool));
    }
    Tensor out = tape.constant(0.0);
    double factor = 1;
    for (std::size_t i = first; i < pool.tensors().size(); ++i, factor *= -0.9)
      out = out + factor * mean(pool.tensors()[i]);
    return out;
  }

  /// Those that an op has taken.
  std::vector<RandomParameters::Named> parameters() const {
    Tape tape(DType::f64);
    const std::size_t leaves = parameters_.leaves(tape).size();
    (*this)(tape);
    std::vector<bool> used(leaves, false);
    for (NodeId i = 0; i < tape.size(); ++i)
      for (NodeId in : tape.node(i).in())
        if (in < leaves) used[in] = true;
    std::vector<RandomParameters::Named> out;
    for (std::size_t i = 0; i < leaves; ++i)
      if (used[i]) out.push_back(parameters_.all()[i]);
    return out;
  }
  /// The cases that it is made of.
  std::vector<std::string> cases() const {
    std::vector<std::string> out;
    for (const Step& s : steps_) out.push_back(op_cases()[s.op].name);
    return out;
  }
  std::string str() const {
    std::string out = "seed " + std::to_string(seed_) + ":";
    for (const std::string& name : cases()) out += " " + name + ",";
    return out;
  }

 private:
  struct Step {
    std::size_t op = 0;
    std::uint64_t seed = 0;
  };
  static std::optional<Tensor> run(const Step& step, Pool& pool) {
    Rng rng(step.seed);
    try {
      return op_cases()[step.op].make(pool, rng);
    } catch (const Error&) {
      return std::nullopt;  // nothing in the pool fits
    }
  }
  static bool moderate(const Tensor& y) {
    if (y.size() == 0 || y.size() > 64 || y.shape().rank() > 4) return false;
    for (double x : y.array().to_vector<double>())
      if (!(std::fabs(x) < 20)) return false;
    return true;
  }

  std::uint64_t seed_;
  RandomParameters parameters_;
  std::vector<Step> steps_;
};

}  // namespace rw::test
