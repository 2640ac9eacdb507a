#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include <rewind/autograd/detail/tape_data.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/transform/implicit.h>
#include <rewind/autograd/transform/linear_solve.h>
#include <rewind/core/error.h>

namespace rw::detail {
namespace {

using Numbers = std::vector<double>;

Numbers numbers_of(std::span<const Tensor> x) {
  Numbers out;
  for (const Tensor& t : x) {
    const std::vector<double> part = t.array().to_vector<double>();
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

// As constants in the shapes of `like`.
std::vector<Tensor> tensors_with(Tape& tape, const Numbers& x, std::span<const Shape> shapes) {
  std::vector<Tensor> out;
  std::size_t at = 0;
  for (const Shape& s : shapes) {
    out.push_back(tape.constant(Array(std::span<const double>(x).subspan(at, static_cast<std::size_t>(s.size())), s)));
    at += static_cast<std::size_t>(s.size());
  }
  return out;
}

std::vector<Shape> shapes_of(std::span<const Tensor> x) {
  std::vector<Shape> out;
  for (const Tensor& t : x) out.push_back(t.shape());
  return out;
}

double dot(const Numbers& a, const Numbers& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }
double largest(const Numbers& x) {
  double most = 0;
  for (double e : x) most = std::isnan(e) ? e : std::max(most, std::abs(e));
  return most;
}
void add_scaled(Numbers& y, double factor, const Numbers& x) {
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += factor * x[i];
}

/// Runs something on the tape and takes it off again.
template <class F>
auto aside(TapeData& tape, F&& f) {
  struct Forget {
    TapeData& tape;
    TapeMark mark;
    ~Forget() {
      tape.forget_nodes(mark);
      tape.draws = mark.draws;
    }
  } const forget{tape, tape.mark()};
  return f();
}

void check_real(Tape& tape, std::string_view name, std::span<const Tensor> x) {
  for (const Tensor& t : x)
    if (!is_real(t.dtype())) throw tape.error(name, "the starting point has indices");
}

void check_same_shapes(Tape& tape, std::span<const Tensor> x, const std::vector<Shape>& y) {
  if (x.size() != y.size())
    throw tape.error("fixed_point", fmt::format("the function takes {} tensors and gives {}", x.size(), y.size()));
  for (std::size_t i = 0; i < x.size(); ++i)
    if (x[i].shape() != y[i])
      throw tape.error("fixed_point",
                       fmt::format("the function takes {} and gives {}", x[i].shape().str(), y[i].str()));
}

// Whether the number of steps is that of the options: there are no values to decide by, or there were none when the
// function was traced that now is computed again.
bool steps_are_given(Tape& tape) { return tape.tracing() || tape.data().as_traced; }

// The largest change of a number by one step, as part of 1 + its size; nan when there is one.
double largest_change(const Numbers& from, const Numbers& to) {
  double most = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const double change = std::abs(to[i] - from[i]) / (1 + std::abs(to[i]));
    most = std::isnan(change) || std::isnan(most) ? std::nan("") : std::max(most, change);
  }
  return most;
}

// The given number of steps, as nodes. Where they have values they must have been enough.
std::vector<Tensor> take_steps(Tape& tape, const FlatFunction& f, std::span<const Tensor> start,
                               const FixedPointOptions& options) {
  if (options.traced_steps < 1)
    throw tape.error("fixed_point", "no value says here when it has converged: set FixedPointOptions::traced_steps");
  std::vector<Tensor> x(start.begin(), start.end());
  for (int i = 0; i < options.traced_steps; ++i) x = f(x);
  if (tape.tracing()) return x;
  const double change = largest_change(numbers_of(x), aside(tape.data(), [&] { return numbers_of(f(x)); }));
  if (!(change <= options.tolerance))
    throw tape.error("fixed_point",
                     fmt::format("it does not converge in FixedPointOptions::traced_steps: after {} the largest change "
                                 "is {:.3g}, not {:.3g}",
                                 options.traced_steps, change, options.tolerance));
  return x;
}

// The point itself, as constants; or, where steps are given, as nodes.
std::vector<Tensor> find_fixed_point(Tape& tape, const FlatFunction& f, std::span<const Tensor> start,
                                     const FixedPointOptions& options) {
  const NoGrad off(tape);
  if (steps_are_given(tape)) return take_steps(tape, f, start, options);
  const std::vector<Shape> shapes = shapes_of(start);
  Numbers x = numbers_of(start);
  double excess = 0;
  for (int step = 0; step < options.most_steps; ++step) {
    Numbers next = aside(tape.data(), [&] { return numbers_of(f(tensors_with(tape, x, shapes))); });
    excess = largest_change(x, next);
    x = std::move(next);
    if (excess <= options.tolerance) return tensors_with(tape, x, shapes);
    if (std::isnan(excess)) throw tape.error("fixed_point", fmt::format("step {} gives nan", step));
  }
  throw tape.error("fixed_point",
                   fmt::format("it does not converge: after {} steps the largest change is {:.3g}, not {:.3g}",
                               options.most_steps, excess, options.tolerance));
}

// J' w and J v of y at `at`.
std::vector<Tensor> pulled(TapeData& d, std::span<const Tensor> y, std::span<const Tensor> w,
                           std::span<const Tensor> at) {
  Differentiation work("a linear system", *d.owner);
  std::vector<Tensor> out = work.pullback(y, w, at);
  work.keep();
  return out;
}
std::vector<Tensor> pushed(TapeData& d, std::span<const Tensor> y, std::span<const Tensor> at,
                           std::span<const Tensor> v) {
  Differentiation work("a linear system", *d.owner);
  std::vector<Tensor> out = work.pushforward(y, at, v);
  work.keep();
  return out;
}

std::vector<Tensor> sums(std::span<const Tensor> a, std::span<const Tensor> b) {
  std::vector<Tensor> out;
  for (std::size_t i = 0; i < a.size(); ++i) out.push_back(record(AddN{}, {a[i], b[i]}));
  return out;
}

// w = dx + J' w, of the step y at `at`: by such steps; or, where no values say when to stop, as a linear system.
std::vector<Tensor> through_steps(Tape& tape, const std::vector<Tensor>& y, const std::vector<Tensor>& at,
                                  std::span<const Tensor> dx, const FixedPointOptions& options) {
  TapeData& d = tape.data();
  if (steps_are_given(tape) && options.traced_steps < 1)
    return solve_recorded(
        "fixed_point", tape, [&d, y, at](std::span<const Tensor> w) { return sums(w, negated(pulled(d, y, w, at))); },
        [&d, y, at](std::span<const Tensor> v) { return sums(v, negated(pushed(d, y, at, v))); }, dx);
  const FlatFunction backwards = [&d, y, at, dx = std::vector<Tensor>(dx.begin(), dx.end())](
                                     std::span<const Tensor> w) { return sums(dx, pulled(d, y, w, at)); };
  return fixed_point(tape, backwards, dx, options);
}

}  // namespace

std::vector<Tensor> fixed_point(Tape& tape, const FlatFunction& f, std::span<const Tensor> start,
                                const FixedPointOptions& options) {
  Differentiation whole("fixed_point", tape);
  check_real(tape, "fixed_point", start);
  const Again again("fixed_point", tape, f, start);
  check_same_shapes(tape, start, again.shapes());
  const std::vector<Tensor> found = find_fixed_point(tape, f, start, options);
  FlatRule rule = [again, options, &d = tape.data()](std::span<const Tensor> p, std::span<const Tensor> x,
                                                     std::span<const Tensor> dx) {
    Differentiation work("fixed_point", *d.owner);
    const auto from = static_cast<NodeId>(d.nodes.size());
    const std::vector<Tensor> at = work.stand_ins(x);
    const std::vector<Tensor> y = again(at, p);
    const std::vector<Tensor> w = through_steps(*d.owner, y, at, dx, options);
    std::vector<Tensor> dp = work.pullback_since(from, y, w, p);
    work.keep();
    return dp;
  };
  std::vector<Tensor> out = with_rule("fixed_point", tape, again.inputs(), found, std::move(rule));
  whole.keep();
  return out;
}

namespace {

// Conjugate gradients (Hestenes and Stiefel, 1952); ends early on a direction along which A is not positive.
Numbers conjugate_gradients(const std::function<Numbers(const Numbers&)>& a, const Numbers& b, bool* positive) {
  Numbers x(b.size(), 0), r = b, p = b;
  double rr = dot(r, r);
  const double enough = 1e-28 * rr;
  *positive = true;
  for (std::size_t step = 0; step < 10 * b.size() + 10 && rr > enough; ++step) {
    const Numbers ap = a(p);
    const double curvature = dot(p, ap);
    if (!(curvature > 0)) {
      *positive = false;
      return step == 0 ? b : x;
    }
    add_scaled(x, rr / curvature, p);
    add_scaled(r, -rr / curvature, ap);
    const double next = dot(r, r);
    for (std::size_t i = 0; i < p.size(); ++i) p[i] = r[i] + next / rr * p[i];
    rr = next;
  }
  return x;
}

// x of A x = b for the Hessian A, given as a function that is linear in its argument.
std::vector<Tensor> solve_symmetric(Tape& tape, const FlatFunction& a, std::span<const Tensor> b) {
  if (steps_are_given(tape)) return solve_recorded("argmin", tape, a, a, b);
  TapeData& d = tape.data();
  const std::vector<Shape> shapes = shapes_of(b);
  const Again again("argmin", tape, a, b);
  std::vector<Tensor> inputs(b.begin(), b.end());
  inputs.insert(inputs.end(), again.inputs().begin(), again.inputs().end());
  bool positive = true;
  const Numbers x = conjugate_gradients(
      [&](const Numbers& v) { return aside(d, [&] { return numbers_of(a(tensors_with(tape, v, shapes))); }); },
      numbers_of(b), &positive);
  if (!positive) throw tape.error("argmin", "the Hessian is not positive definite");
  // A x = b: db = A^-1 dx, and what A is made of gets -d(A x)' db.
  FlatRule rule = [again, n = b.size(), &d](std::span<const Tensor> in, std::span<const Tensor> at,
                                            std::span<const Tensor> dx) {
    Differentiation work("argmin", *d.owner);
    const std::vector<Tensor> others(in.begin() + static_cast<std::ptrdiff_t>(n), in.end());
    std::vector<Tensor> out = solve_symmetric(
        *d.owner, [again, others](std::span<const Tensor> v) { return again(v, others); }, dx);
    const std::vector<Tensor> minus = negated(out);
    const auto from = static_cast<NodeId>(d.nodes.size());
    const std::vector<Tensor> product = again(at, others);
    for (const Tensor& g : work.pullback_since(from, product, minus, others)) out.push_back(g);
    work.keep();
    return out;
  };
  return with_rule("argmin", tape, inputs, tensors_with(tape, x, shapes), std::move(rule));
}

std::vector<Tensor> gradient_of(Differentiation& work, const std::vector<Tensor>& y, std::span<const Tensor> at) {
  const Tensor one = work.one(y[0]);
  return work.pullback(y, {&one, 1}, at);
}

/// A scalar function of numbers, its gradient and its Hessian's products, all computed aside.
class Objective {
 public:
  Objective(Tape& tape, const FlatFunction& f, std::vector<Shape> shapes)
      : tape_(tape), f_(f), shapes_(std::move(shapes)) {}

  double value(const Numbers& x) {
    return aside(tape_.data(), [&] { return f_(tensors_with(tape_, x, shapes_))[0].item(); });
  }
  Numbers gradient(const Numbers& x) {
    return aside(tape_.data(), [&] {
      Differentiation work("argmin", tape_);
      const std::vector<Tensor> at = work.stand_ins(tensors_with(tape_, x, shapes_));
      return numbers_of(gradient_at(work, at));
    });
  }
  // A Newton step from x, where the gradient is g; downhill in any case.
  Numbers step(const Numbers& x, const Numbers& g) {
    return aside(tape_.data(), [&] {
      Differentiation work("argmin", tape_);
      const std::vector<Tensor> at = work.stand_ins(tensors_with(tape_, x, shapes_));
      const std::vector<Tensor> gradient = gradient_at(work, at);
      Numbers downhill = g;
      for (double& e : downhill) e = -e;
      bool positive = true;
      return conjugate_gradients(
          [&](const Numbers& v) {
            return aside(tape_.data(),
                         [&] { return numbers_of(work.pushforward(gradient, at, tensors_with(tape_, v, shapes_))); });
          },
          downhill, &positive);
    });
  }

 private:
  std::vector<Tensor> gradient_at(Differentiation& work, std::span<const Tensor> at) {
    return gradient_of(work, f_(at), at);
  }
  Tape& tape_;
  const FlatFunction& f_;
  std::vector<Shape> shapes_;
};

Numbers find_argmin(Tape& tape, const FlatFunction& f, std::span<const Tensor> start, const ArgminOptions& options) {
  Objective objective(tape, f, shapes_of(start));
  Numbers x = numbers_of(start), g = objective.gradient(x);
  if (std::isnan(objective.value(x))) throw tape.error("argmin", "the function is nan at the starting point");
  const double enough = options.tolerance * (1 + largest(g));
  for (int step = 0; step < options.most_steps && largest(g) > enough; ++step) {
    const Numbers p = objective.step(x, g);
    const double before = objective.value(x), slope = dot(g, p);
    // Backtracking (Armijo, 1966). Near the end rounding hides what a step gains; then the whole step is right.
    double length = 1;
    Numbers next = x;
    add_scaled(next, length, p);
    const double blur = 1e-14 * (1 + std::abs(before));
    while (length > 1e-12 && !(objective.value(next) <= before + 1e-4 * length * slope + blur)) {
      length /= 2;
      next = x;
      add_scaled(next, length, p);
    }
    x = std::move(next);
    g = objective.gradient(x);
  }
  if (!(largest(g) <= enough))
    throw tape.error("argmin", fmt::format("it does not converge: after {} steps the largest number of the gradient is "
                                           "{:.3g}, not {:.3g}",
                                           options.most_steps, largest(g), enough));
  return x;
}

// Newton's method while there are no values: whole steps, as nodes.
std::vector<Tensor> newton_steps(Tape& tape, const FlatFunction& f, std::span<const Tensor> start, int steps) {
  std::vector<Tensor> x(start.begin(), start.end());
  for (int i = 0; i < steps; ++i) {
    Differentiation work("argmin", tape);
    const std::vector<Tensor> at = work.stand_ins(x), gradient = gradient_of(work, f(at), at);
    const LinearFunction hessian = [&](std::span<const Tensor> v) { return pushed(tape.data(), gradient, at, v); };
    x = sums(x, negated(solved(tape, hessian, gradient)));
    for (Tensor& t : x) t = record(Detach{}, {t});
    work.keep();
  }
  return x;
}

std::vector<Tensor> found_argmin(Tape& tape, const FlatFunction& f, std::span<const Tensor> start,
                                 const ArgminOptions& options) {
  if (!steps_are_given(tape)) return tensors_with(tape, find_argmin(tape, f, start, options), shapes_of(start));
  if (options.traced_steps < 1)
    throw tape.error("argmin",
                     "no value says here when it has converged: set ArgminOptions::traced_steps, or find it eagerly, "
                     "outside of compile and vmap");
  std::vector<Tensor> x = newton_steps(tape, f, start, options.traced_steps);
  if (tape.tracing()) return x;
  Objective objective(tape, f, shapes_of(start));
  const double left = largest(objective.gradient(numbers_of(x)));
  const double enough = options.tolerance * (1 + largest(objective.gradient(numbers_of(start))));
  if (!(left <= enough))
    throw tape.error("argmin",
                     fmt::format("it does not converge in ArgminOptions::traced_steps: after {} the largest number of "
                                 "the gradient is {:.3g}, not {:.3g}",
                                 options.traced_steps, left, enough));
  return x;
}

}  // namespace

std::vector<Tensor> argmin(Tape& tape, const FlatFunction& f, std::span<const Tensor> start,
                           const ArgminOptions& options) {
  Differentiation whole("argmin", tape);
  check_real(tape, "argmin", start);
  const Again again("argmin", tape, f, start);
  if (again.shapes().size() != 1 || again.shapes()[0].size() != 1)
    throw tape.error("argmin", fmt::format("the function gives {}: it must give a scalar, such as a sum",
                                           again.shapes().empty() ? "nothing" : again.shapes()[0].str()));
  const std::vector<Tensor> found = found_argmin(tape, f, start, options);
  FlatRule rule = [again, &d = tape.data()](std::span<const Tensor> p, std::span<const Tensor> x,
                                            std::span<const Tensor> dx) {
    Differentiation work("argmin", *d.owner);
    const auto from = static_cast<NodeId>(d.nodes.size());
    const std::vector<Tensor> at = work.stand_ins(x), gradient = gradient_of(work, again(at, p), at);
    const FlatFunction hessian = [&d, gradient, at](std::span<const Tensor> v) { return pushed(d, gradient, at, v); };
    const std::vector<Tensor> w = negated(solve_symmetric(*d.owner, hessian, dx));
    std::vector<Tensor> dp = work.pullback_since(from, gradient, w, p);
    work.keep();
    return dp;
  };
  std::vector<Tensor> out = with_rule("argmin", tape, again.inputs(), found, std::move(rule));
  whole.keep();
  return out;
}

}  // namespace rw::detail
