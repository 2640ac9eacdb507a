#include <algorithm>
#include <cmath>
#include <numeric>

#include <rewind/autograd/detail/tape_data.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/transform/jacobian.h>
#include <rewind/autograd/transform/linear_solve.h>
#include <rewind/autograd/transform/own_rule.h>
#include <rewind/autograd/vmap_rule.h>

namespace rw::detail {
namespace {

/// A matrix as the product of a lower and an upper triangle, by elimination with the largest pivot of each column
/// (Golub and Van Loan, "Matrix computations", 3.4).
class Factors {
 public:
  Factors(std::vector<double> a, std::size_t n) : n_(n), lu_(std::move(a)), order_(n) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    for (std::size_t k = 0; k < n; ++k) {
      bring_up_the_largest(k);
      for (std::size_t i = k + 1; i < n; ++i) {
        const double factor = at(i, k) /= at(k, k);
        for (std::size_t j = k + 1; j < n; ++j) at(i, j) -= factor * at(k, j);
      }
    }
  }
  std::vector<double> solve(std::span<const double> b) const {
    std::vector<double> x(n_);
    for (std::size_t i = 0; i < n_; ++i) {
      x[i] = b[order_[i]];
      for (std::size_t j = 0; j < i; ++j) x[i] -= lu_[i * n_ + j] * x[j];
    }
    for (std::size_t i = n_; i-- > 0;) {
      for (std::size_t j = i + 1; j < n_; ++j) x[i] -= lu_[i * n_ + j] * x[j];
      x[i] /= lu_[i * n_ + i];
    }
    return x;
  }

 private:
  double& at(std::size_t i, std::size_t j) { return lu_[i * n_ + j]; }
  void bring_up_the_largest(std::size_t k) {
    std::size_t best = k;
    for (std::size_t i = k + 1; i < n_; ++i)
      if (std::abs(at(i, k)) > std::abs(at(best, k))) best = i;
    if (best == k) return;
    std::swap_ranges(&at(k, 0), &at(k, 0) + n_, &at(best, 0));
    std::swap(order_[k], order_[best]);
  }

  std::size_t n_;
  std::vector<double> lu_;
  std::vector<std::size_t> order_;
};

/// (A [n, n], b [..., n]) to x [..., n]: of A x = b for each row of b.
struct SolveLinear {
  static constexpr std::string_view name = "solve_linear";
  static constexpr int arity = 2;
  Shape infer(std::span<const Shape> in) const { return in[1]; }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      const auto n = static_cast<std::size_t>(x[0].shape[0]);
      if (n == 0) return;
      const T *a = x[0].as<T>(), *b = x[1].as<T>();
      const Factors factors(std::vector<double>(a, a + n * n), n);
      for (T* to = y.as<T>(); to != y.as<T>() + y.size(); to += n, b += n) {
        const std::vector<double> row(b, b + n), found = factors.solve(row);
        std::transform(found.begin(), found.end(), to, [](double e) { return static_cast<T>(e); });
      }
    });
  }
  Tensor vmap(Vmap& v) const { return v.batched(0) ? v.loop() : rw::record(SolveLinear{}, {v.x(0), v.x(1)}); }
};

Tensor flat(std::span<const Tensor> all) {
  const Tensor whole = joined(all);
  return rw::record(Reshape{Shape{whole.size()}}, {whole});
}

}  // namespace

std::vector<Tensor> solved(Tape& tape, const LinearFunction& transposed, std::span<const Tensor> b) {
  const NoGrad off(tape);
  std::vector<Shape> shapes;
  for (const Tensor& t : b) shapes.push_back(t.shape());
  const Tensor x = rw::record(SolveLinear{}, {along_units(tape, b, transposed), flat(b)});
  return parted(shapes.size() == 1 ? rw::record(Reshape{shapes[0]}, {x}) : x, shapes);
}

std::vector<Tensor> solve_recorded(std::string_view name, Tape& tape, const LinearFunction& a,
                                   const LinearFunction& transposed, std::span<const Tensor> b) {
  const Again product(name, tape, a, b);
  const Again dual(name, tape, transposed, b);
  const auto from_b = std::ssize(b), to_dual = from_b + std::ssize(product.inputs());
  std::vector<Tensor> inputs(b.begin(), b.end());
  for (const Again* f : {&product, &dual}) inputs.insert(inputs.end(), f->inputs().begin(), f->inputs().end());
  // A x = b: db is what solves A' db = dx, and what A is made of gets -d(A x)' db.
  FlatRule rule = [=, name = std::string(name), &d = tape.data()](std::span<const Tensor> in, std::span<const Tensor> x,
                                                                  std::span<const Tensor> dx) {
    Differentiation work(name, *d.owner);
    const std::vector<Tensor> of_product(in.begin() + from_b, in.begin() + to_dual),
        of_dual(in.begin() + to_dual, in.end());
    std::vector<Tensor> out = solve_recorded(
        name, *d.owner, [dual, of_dual](std::span<const Tensor> v) { return dual(v, of_dual); },
        [product, of_product](std::span<const Tensor> v) { return product(v, of_product); }, dx);
    const std::vector<Tensor> minus = negated(out);
    const auto from = static_cast<NodeId>(d.nodes.size());
    const std::vector<Tensor> ax = product(x, of_product);
    for (const Tensor& g : work.pullback_since(from, ax, minus, of_product)) out.push_back(g);
    for (const Tensor& t : of_dual) out.push_back(d.owner->constant(0, t.shape()));
    work.keep();
    return out;
  };
  return with_rule(name, tape, inputs, solved(tape, transposed, b), std::move(rule));
}

}  // namespace rw::detail
