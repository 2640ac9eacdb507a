#pragma once

// Every function of ops/ in one case or more, for tests: applied to inputs that are chosen at random and lie in its
// domain.

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

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
  unary("expm1", [](Tensor x) { return expm1(x); });
  unary("log1p", [](Tensor x) { return log1p(square(x)); });
  unary("abs", [](Tensor x) { return abs(x); });
  unary("pow_constant", [](Tensor x) { return pow(positive(x), 1.7); });
  unary("sin", [](Tensor x) { return sin(x); });
  unary("cos", [](Tensor x) { return cos(x); });
  unary("clamp", [](Tensor x) { return clamp(x, -0.8, 0.9); });
  unary("clip_gradient", [](Tensor x) { return clip_gradient(x, 1e6); });
  unary("tanh", [](Tensor x) { return tanh(x); });
  unary("sigmoid", [](Tensor x) { return sigmoid(x); });
  unary("log_sigmoid", [](Tensor x) { return log_sigmoid(x); });
  unary("relu", [](Tensor x) { return relu(x); });
  unary("leaky_relu", [](Tensor x) { return leaky_relu(x, 0.1); });
  unary("softplus", [](Tensor x) { return softplus(x); });
  unary("gelu", [](Tensor x) { return gelu(x); });
  unary("erf", [](Tensor x) { return erf(x); });
  unary("detach", [](Tensor x) { return x * detach(x); });
  // Steps, each times something that has a gradient.
  unary("floor", [](Tensor x) { return floor(3 * x) * x; });
  unary("sign", [](Tensor x) { return sign(x) * x; });
  unary("power_of_two", [](Tensor x) { return power_of_two(x) * x; });
  unary("logical_not", [](Tensor x) { return logical_not(relu(x)) * x + x; });
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
  binary("mod", [](Tensor a, Tensor b) { return mod(a, positive(b)); });
  // Masks, each times something that has a gradient.
  binary("equal", [](Tensor a, Tensor b) { return equal(a, b) + a * b; });
  binary("not_equal", [](Tensor a, Tensor b) { return not_equal(a, b) * a + b; });
  binary("less", [](Tensor a, Tensor b) { return (a < b) * a + b; });
  binary("less_equal", [](Tensor a, Tensor b) { return (a <= b) * a + b; });
  binary("greater", [](Tensor a, Tensor b) { return (a > b) * a + b; });
  binary("greater_equal", [](Tensor a, Tensor b) { return (a >= b) * a + b; });
  binary("logical_and", [](Tensor a, Tensor b) { return logical_and(relu(a), relu(b)) * a + b; });
  binary("logical_or", [](Tensor a, Tensor b) { return logical_or(relu(a), relu(b)) * a + b; });
  binary("logical_xor", [](Tensor a, Tensor b) { return logical_xor(relu(a), relu(b)) * a + b; });
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
  along("max", [](Tensor x, int axis, bool keep) { return max(x, {axis}, keep); });
  along("min", [](Tensor x, int axis, bool keep) { return min(x, {axis}, keep); });
  along("logsumexp", [](Tensor x, int axis, bool keep) { return logsumexp(x, axis, keep); });
  along("softmax", [](Tensor x, int axis, bool) { return softmax(x, axis); });
  along("log_softmax", [](Tensor x, int axis, bool) { return log_softmax(x, axis); });
  along("sort", [](Tensor x, int axis, bool falling) { return sort(x, axis, falling); });
  along("topk", [](Tensor x, int axis, bool) { return topk(x, 1, axis); });
  along("cumsum", [](Tensor x, int axis, bool) { return cumsum(x, axis); });
  along("linear_recurrence", [](Tensor x, int axis, bool) { return linear_recurrence(tanh(x), x, axis); });
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

/// Square matrices near the identity, of which a triangle is well conditioned.
inline Tensor near_identity(Tensor x) {
  Array one(Shape{x.size(0), x.size(0)}, DType::f64);
  for (Index i = 0; i < x.size(0); ++i) one.set({i, i}, 1);
  return 0.2 * tanh(matmul(x, x, {.transpose_b = true})) + x.tape().constant(one);
}

inline void add_linear_algebra(std::vector<OpCase>& out) {
  const auto unary = [&](std::string name, std::function<Tensor(Tensor)> f) {
    out.push_back({std::move(name), [f = std::move(f)](Pool& p, Rng& r) { return f(p.ranked(r, 2, 2)); }});
  };
  unary("tril", [](Tensor x) { return tril(x); });
  unary("cholesky", [](Tensor x) { return cholesky(near_identity(x)); });
  unary("lower_factor", [](Tensor x) { return lower_factor(concat({near_identity(x), x}, 1)); });
  unary("solve_triangular", [](Tensor x) { return solve_triangular(near_identity(x), x); });
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
  out.push_back({"hardmax", [](Pool& p, Rng& r) {
                   const Tensor x = p.ranked(r, 1);
                   return x * hardmax(x) + x;
                 }});
  out.push_back({"clear_padding", [](Pool& p, Rng& r) {
                   const Tensor x = p.ranked(r, 2, 3), lengths = p.indices(r, {x.size(1)}, x.size(0) + 1);
                   const Index steps = x.size(0);
                   const Tensor within = lengths_within(lengths, steps, 0, steps);
                   return clear_padding(x, lengths) + x * sequence_mask(within, steps, x.shape().rank());
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
    detail::add_linear_algebra(out);
    detail::add_indexing(out);
    detail::add_losses(out);
    return out;
  }();
  return cases;
}

}  // namespace rw::test
