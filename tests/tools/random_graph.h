#pragma once

// Random graphs over all ops, for tests: correct by construction, small, of moderate values, the same for a seed on
// every machine.

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/structural.h>
#include <rewind/core/random.h>
#include <rewind/ops/ops.h>

namespace rw::test {

/// What an op may choose its inputs from.
class Pool {
 public:
  Pool(Tape& tape, std::vector<Tensor> tensors) : tape_(tape), tensors_(std::move(tensors)) {}
  Tape& tape() { return tape_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }
  void add(Tensor t) { tensors_.push_back(t); }

  /// One of those that fit, the newer ones more often; an Error when none does.
  template <class Fits>
  Tensor pick(Rng& rng, Fits&& fits) const {
    std::vector<Tensor> found;
    for (const Tensor& t : tensors_)
      if (is_real(t.dtype()) && fits(t.shape())) found.push_back(t);
    if (found.empty()) throw Error("no tensor fits");
    const auto n = static_cast<Index>(found.size());
    return found[static_cast<std::size_t>(std::max(rng.below(n), rng.below(n)))];
  }
  Tensor any(Rng& rng) const {
    return pick(rng, [](const Shape&) { return true; });
  }
  Tensor ranked(Rng& rng, int least, int most = max_rank) const {
    return pick(rng, [&](const Shape& s) { return s.rank() >= least && s.rank() <= most && s.size() > 0; });
  }
  Tensor same(Rng& rng, const Tensor& as) const {
    return pick(rng, [&](const Shape& s) { return s == as.shape(); });
  }
  Tensor with_rows(Rng& rng, Index rows) const {
    return pick(rng, [&](const Shape& s) { return s.rank() == 2 && s[0] == rows; });
  }
  /// A pair that broadcasts.
  std::pair<Tensor, Tensor> pair(Rng& rng) const {
    const Tensor a = any(rng), b = pick(rng, [&](const Shape&s) { return broadcasts(a.shape(), s); });
    if (rng.below(2) == 0) return {a, b};
    return {b, a};
  }
  /// A few from [0, bound) of this shape.
  Tensor indices(Rng& rng, const Shape& shape, Index bound) {
    Array out(shape, DType::i32);
    for (std::int32_t& i : out.span<std::int32_t>()) i = static_cast<std::int32_t>(rng.below(bound));
    return tape_.constant(out);
  }

 private:
  static bool broadcasts(const Shape& a, const Shape& b) {
    for (int i = 1; i <= std::min(a.rank(), b.rank()); ++i) {
      const Index m = a[a.rank() - i], n = b[b.rank() - i];
      if (m != n && m != 1 && n != 1) return false;
    }
    return true;
  }
  Tape& tape_;
  std::vector<Tensor> tensors_;
};

/// One function of ops/, applied to inputs from the pool that are in its domain.
struct OpCase {
  std::string name;
  std::function<Tensor(Pool&, Rng&)> make;
};

namespace detail {

inline int random_axis(Rng& rng, const Tensor& x) { return static_cast<int>(rng.below(x.shape().rank())); }
inline bool coin(Rng& rng) { return rng.below(2) == 0; }
/// At least 0.3, smooth.
inline Tensor positive(Tensor x) { return square(x) + 0.3; }

inline void add_unary(std::vector<OpCase>& out) {
  const auto unary = [&](std::string name, std::function<Tensor(Tensor)> f) {
    out.push_back({std::move(name), [f = std::move(f)](Pool& p, Rng& r) { return f(p.any(r)); }});
  };
  unary("neg", [](Tensor x) { return -x; });
  unary("square", [](Tensor x) { return square(x); });
  unary("sqrt", [](Tensor x) { return sqrt(positive(x)); });
  unary("exp", [](Tensor x) { return exp(x); });
  unary("log", [](Tensor x) { return log(positive(x)); });
  unary("abs", [](Tensor x) { return abs(x); });
  unary("pow_constant", [](Tensor x) { return pow(positive(x), 1.7); });
  unary("sin", [](Tensor x) { return sin(x); });
  unary("cos", [](Tensor x) { return cos(x); });
  unary("clamp", [](Tensor x) { return clamp(x, -0.8, 0.9); });
  unary("tanh", [](Tensor x) { return tanh(x); });
  unary("sigmoid", [](Tensor x) { return sigmoid(x); });
  unary("relu", [](Tensor x) { return relu(x); });
  unary("leaky_relu", [](Tensor x) { return leaky_relu(x, 0.1); });
  unary("softplus", [](Tensor x) { return softplus(x); });
  unary("gelu", [](Tensor x) { return gelu(x); });
  unary("erf", [](Tensor x) { return erf(x); });
  unary("detach", [](Tensor x) { return x * detach(x); });
}

inline void add_binary(std::vector<OpCase>& out) {
  const auto binary = [&](std::string name, std::function<Tensor(Tensor, Tensor)> f) {
    out.push_back({std::move(name), [f = std::move(f)](Pool& p, Rng& r) {
                     const auto [a, b] = p.pair(r);
                     return f(a, b);
                   }});
  };
  binary("add", [](Tensor a, Tensor b) { return a + b; });
  binary("sub", [](Tensor a, Tensor b) { return a - b; });
  binary("mul", [](Tensor a, Tensor b) { return a * b; });
  binary("div", [](Tensor a, Tensor b) { return a / positive(b); });
  binary("pow", [](Tensor a, Tensor b) { return pow(positive(a), tanh(b)); });
  binary("maximum", [](Tensor a, Tensor b) { return maximum(a, b); });
  binary("minimum", [](Tensor a, Tensor b) { return minimum(a, b); });
  // Masks, each times something that has a gradient.
  binary("equal", [](Tensor a, Tensor b) { return equal(a, b) + a * b; });
  binary("not_equal", [](Tensor a, Tensor b) { return not_equal(a, b) * a + b; });
  binary("less", [](Tensor a, Tensor b) { return (a < b) * a + b; });
  binary("less_equal", [](Tensor a, Tensor b) { return (a <= b) * a + b; });
  binary("greater", [](Tensor a, Tensor b) { return (a > b) * a + b; });
  binary("greater_equal", [](Tensor a, Tensor b) { return (a >= b) * a + b; });
  binary("where", [](Tensor a, Tensor b) { return where(a > 0.1, b, a * 2); });
}

inline void add_reductions(std::vector<OpCase>& out) {
  const auto along = [&](std::string name, std::function<Tensor(Tensor, int, bool)> f) {
    out.push_back({std::move(name), [f = std::move(f)](Pool& p, Rng& r) {
                     const Tensor x = p.ranked(r, 1);
                     const int axis = random_axis(r, x);
                     return f(x, axis, coin(r));
                   }});
  };
  along("sum", [](Tensor x, int axis, bool keep) { return sum(x, axis, keep); });
  along("mean", [](Tensor x, int axis, bool keep) { return mean(x, axis, keep); });
  along("max", [](Tensor x, int axis, bool keep) { return max(x, axis, keep); });
  along("min", [](Tensor x, int axis, bool keep) { return min(x, axis, keep); });
  along("logsumexp", [](Tensor x, int axis, bool keep) { return logsumexp(x, axis, keep); });
  along("softmax", [](Tensor x, int axis, bool) { return softmax(x, axis); });
  along("log_softmax", [](Tensor x, int axis, bool) { return log_softmax(x, axis); });
  along("flip", [](Tensor x, int axis, bool) { return flip(x, axis); });
  along("select", [](Tensor x, int axis, bool last) { return select(x, axis, last ? -1 : 0); });
  along("split", [](Tensor x, int axis, bool) {
    const std::vector<Tensor> pieces = split(x, {1, x.size(axis) - 1}, axis);
    return pieces[1] * pieces[0];
  });
  along("slice", [](Tensor x, int axis, bool front) {
    const Index n = x.size(axis);
    return slice(x, axis, front ? 0 : n / 2, n - n / 2);
  });
  out.push_back({"sum of all", [](Pool& p, Rng& r) { return sum(p.any(r)); }});
  out.push_back({"mean of all", [](Pool& p, Rng& r) { return mean(p.any(r)); }});
}

inline void add_views(std::vector<OpCase>& out) {
  out.push_back({"reshape", [](Pool& p, Rng& r) { return reshape(p.any(r), {-1}); }});
  out.push_back({"transpose", [](Pool& p, Rng& r) { return transpose(p.ranked(r, 2)); }});
  out.push_back({"permute", [](Pool& p, Rng& r) { return permute(p.ranked(r, 3, 3), {2, 0, 1}); }});
  out.push_back({"concat", [](Pool& p, Rng& r) {
                   const Tensor a = p.ranked(r, 1), b = p.same(r, a);
                   return concat({a, b, a}, random_axis(r, a));
                 }});
  out.push_back({"stack", [](Pool& p, Rng& r) {
                   const Tensor a = p.ranked(r, 0, 2);
                   return stack({p.same(r, a), a}, static_cast<int>(r.below(a.shape().rank() + 1)));
                 }});
  out.push_back({"broadcast_to", [](Pool& p, Rng& r) {
                   const Tensor x = p.ranked(r, 0, 2);
                   return broadcast_to(x, x.shape().inserted(0, 2));
                 }});
  out.push_back({"dropout", [](Pool& p, Rng& r) { return dropout(p.any(r), 0.3); }});
  out.push_back({"bernoulli_mask", [](Pool& p, Rng& r) {
                   const Tensor x = p.any(r);
                   return x * bernoulli_mask(p.tape(), x.shape(), 0.4);
                 }});
}

inline void add_products(std::vector<OpCase>& out) {
  out.push_back({"matmul", [](Pool& p, Rng& r) {
                   const Tensor a = p.ranked(r, 2, 3), b = p.with_rows(r, a.size(-1));
                   return matmul(a, b) * 0.5;
                 }});
  out.push_back({"matmul transposed", [](Pool& p, Rng& r) {
                   const Tensor a = p.ranked(r, 2, 2), b = p.with_rows(r, a.size(0));
                   return matmul(a, coin(r) ? b : transpose(b), {.transpose_a = true, .transpose_b = false}) * 0.5;
                 }});
  out.push_back({"matmul with b transposed", [](Pool& p, Rng& r) {
                   const Tensor a = p.ranked(r, 2, 2);
                   const Tensor b = p.pick(r, [&](const Shape& s) { return s.rank() == 2 && s[1] == a.size(1); });
                   return matmul(a, b, {.transpose_b = true}) * 0.5;
                 }});
  out.push_back({"matmul in batches", [](Pool& p, Rng& r) {
                   const Tensor a = p.ranked(r, 3, 3), b = p.same(r, a);
                   return matmul(a, b, {.transpose_b = true}) * 0.5;
                 }});
}

inline void add_indexing(std::vector<OpCase>& out) {
  out.push_back({"lookup", [](Pool& p, Rng& r) {
                   const Tensor table = p.ranked(r, 2, 2);
                   return lookup(table, p.indices(r, {3}, table.size(0)));
                 }});
  out.push_back({"pick", [](Pool& p, Rng& r) {
                   const Tensor x = p.ranked(r, 2, 3);
                   return pick(x, p.indices(r, x.shape().without(x.shape().rank() - 1), x.size(-1)));
                 }});
  out.push_back({"one_hot", [](Pool& p, Rng& r) {
                   const Tensor x = p.ranked(r, 2, 2);
                   return x * one_hot(p.indices(r, {x.size(0)}, x.size(1)), x.size(1)) + x;
                 }});
}

inline void add_losses(std::vector<OpCase>& out) {
  const auto reduction = [](Rng& r) { return static_cast<Reduction>(r.below(3)); };
  const auto loss = [&](std::string name, std::function<Tensor(Tensor, Tensor, const LossOptions&)> f) {
    out.push_back({std::move(name), [f = std::move(f), reduction](Pool& p, Rng& r) {
                     const Tensor x = p.any(r), y = p.same(r, x);
                     return f(x, y, {.reduction = reduction(r)});
                   }});
  };
  const auto with_classes = [&](std::string name, std::function<Tensor(Tensor, Tensor, const LossOptions&)> f) {
    out.push_back({std::move(name), [f = std::move(f), reduction](Pool& p, Rng& r) {
                     const Tensor x = p.ranked(r, 2, 3);
                     const Tensor classes = p.indices(r, x.shape().without(x.shape().rank() - 1), x.size(-1));
                     return f(x, classes, {.reduction = reduction(r)});
                   }});
  };
  loss("mse", [](Tensor x, Tensor y, const LossOptions& o) { return mse(x, y, o); });
  loss("l1", [](Tensor x, Tensor y, const LossOptions& o) { return l1(x, y + 0.07, o); });
  loss("huber", [](Tensor x, Tensor y, const LossOptions& o) { return huber(x, y, 0.5, o); });
  loss("binary_cross_entropy_with_logits",
       [](Tensor x, Tensor y, const LossOptions& o) { return binary_cross_entropy_with_logits(x, sigmoid(y), o); });
  with_classes("cross_entropy", [](Tensor x, Tensor c, const LossOptions& o) { return cross_entropy(x, c, o); });
  with_classes("nll", [](Tensor x, Tensor c, const LossOptions& o) { return nll(log_softmax(x), c, o); });
}

}  // namespace detail

/// Every function of ops/, in one case or more.
inline const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> out;
    detail::add_unary(out);
    detail::add_binary(out);
    detail::add_reductions(out);
    detail::add_views(out);
    detail::add_products(out);
    detail::add_indexing(out);
    detail::add_losses(out);
    return out;
  }();
  return cases;
}

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
    for (double x : y.array().to(DType::f64).span<double>())
      if (!(std::fabs(x) < 20)) return false;
    return true;
  }

  std::uint64_t seed_;
  RandomParameters parameters_;
  std::vector<Step> steps_;
};

}  // namespace rw::test
