#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>
#include <rewind/tools/gradcheck/check_op_case.h>
#include <rewind/tools/gradcheck/check_op_special.h>

namespace rw::detail {
namespace {

// As f64, each exact in the type that it is special for.
std::vector<double> special_numbers(DType dtype) {
  return visit_real(dtype, []<class T>() -> std::vector<double> {
    using Limits = std::numeric_limits<T>;
    const auto smallest = static_cast<double>(Limits::denorm_min()), largest = static_cast<double>(Limits::max());
    const double infinity = Limits::infinity();
    return {0.0, -0.0, smallest, -64 * smallest, largest, -largest, infinity, -infinity, Limits::quiet_NaN(), 1, -1.5};
  });
}

// The same number, or nan both times.
bool equal(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

// Without the sign of nan.
double readable(double x) { return std::isnan(x) ? std::abs(x) : x; }

// What an elementwise op had at one place; all of it of another op, if that is little.
std::string inputs_at(std::span<const Array> x, std::size_t element, bool elementwise) {
  std::vector<std::string> text;
  for (const Array& a : x) {
    if (elementwise)
      text.push_back(fmt::format("{:.6g}", readable(a.to_vector<double>()[element])));
    else
      text.push_back(a.size() > 16 ? a.shape().str() : to_string(a));
  }
  return fmt::format("{}", fmt::join(text, ", "));
}

}  // namespace

void SpecialCase::run_elementwise(std::size_t inputs) {
  elementwise_ = true;
  for (const DType dtype : {DType::f64, DType::f32}) {
    const std::vector<double> special = special_numbers(dtype);
    Index combinations = 1;
    for (std::size_t i = 0; i < inputs; ++i) combinations *= static_cast<Index>(special.size());
    Inputs x(inputs, Array(Shape{combinations}, DType::f64));
    for (Index c = 0; c < combinations; ++c) {
      auto rest = static_cast<std::size_t>(c);
      for (Array& input : x) {
        input.span<double>()[static_cast<std::size_t>(c)] = special[rest % special.size()];
        rest /= special.size();
      }
    }
    run({&x, 1}, dtype);
  }
}

void SpecialCase::run(std::span<const Shape> shapes) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    std::vector<Inputs> cases;
    for (const double number : special_numbers(dtype))
      for (const bool all : {false, true}) {
        Inputs x;
        for (std::size_t i = 0; i < shapes.size(); ++i) {
          x.push_back(draw_input(shapes[i], domain_of(check_, i), rng_));
          if (!is_real(x[i].dtype()) || x[i].size() == 0) continue;
          if (all)
            x[i].fill(number);
          else
            x[i].span<double>()[static_cast<std::size_t>(rng_.below(x[i].size()))] = number;
        }
        cases.push_back(std::move(x));
      }
    run(cases, dtype);
  }
}

void SpecialCase::run(std::span<const Inputs> cases, DType dtype) {
  Tape first(dtype);
  weights_ = random_weights(op_(leaves(first, cases[0])).shape(), rng_);
  directions_.clear();
  for (const Array& x : cases[0])
    if (is_real(x.dtype())) directions_.push_back(random_weights(x.shape(), rng_));
  const auto with_dy = [&](Inputs x) {
    x.emplace_back(weights_.shape(), DType::f64);
    return x;
  };
  auto compiled = compile([&](Tape& tape, const std::vector<Tensor>& x) { return record_all(tape, x); },
                          {.dtype = dtype, .passes = Passes::exact(), .verify = true}, with_dy(cases[0]));
  for (const Inputs& x : cases) {
    Tape tape(dtype);
    std::vector<Array> expected, found;
    for (const Tensor& t : record_all(tape, leaves(tape, with_dy(x)))) expected.push_back(t.array());
    compiled.set_step(0);  // calls count steps, and each tape is at its first
    for (const Tensor& t : compiled(with_dy(x))) found.push_back(t.array());
    check_same("compiled", x, found, expected);
    if (dtype == DType::f64 && check_.no_special_values.empty()) check_value(x, expected[0]);
    if (!check_.gradient) continue;
    const std::size_t n = directions_.size();
    const std::span<const Array> gradients = std::span<const Array>(expected).subspan(1);
    check_same("the plain backward", x, plain_gradients(x, dtype), gradients.first(n));
    if (check_.no_zero_gradients.empty()) check_zero(x, gradients.subspan(n));
  }
}

std::vector<Tensor> SpecialCase::record_all(Tape& tape, std::span<const Tensor> x) {
  const std::span<const Tensor> of_op = x.first(x.size() - 1);
  std::vector<Tensor> out{op_(of_op)};
  if (!check_.gradient) return out;
  const std::vector<Operand> real = real_operands(of_op);
  for (const Tensor& g : grad(out[0], real, {.cotangent = tape.constant(weights_)})) out.push_back(g);
  const std::vector<Tensor> zeros = grad(out[0], real, {.cotangent = x.back()});
  Tensor total = sum(x.back());  // so that there is something to differentiate
  for (std::size_t i = 0; i < zeros.size(); ++i) total = total + sum(zeros[i] * tape.constant(directions_[i]));
  out.insert(out.end(), zeros.begin(), zeros.end());
  for (const Tensor& g : grad(total, real)) out.push_back(g);
  return out;
}

std::vector<Array> SpecialCase::plain_gradients(const Inputs& x, DType dtype) {
  Tape tape(dtype);
  const std::vector<Tensor> in = leaves(tape, x);
  backward(op_(in), {.cotangent = tape.constant(weights_), .keep_grads = true});
  std::vector<Array> out;
  for (const Tensor& t : in)
    if (is_real(t.dtype())) out.push_back(tape.has_grad(t) ? Array(tape.grad(t)) : Array(t.shape(), dtype));
  return out;
}

void SpecialCase::check_value(const Inputs& x, const Array& found) {
  const std::vector<double> y = found.to_vector<double>(), expected = reference_(x).to_vector<double>();
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double most = check_.value_tolerance * std::max(std::abs(expected[i]), 1e-2);
    const bool near = std::isfinite(expected[i]) && std::abs(y[i] - expected[i]) <= most;
    if (!equal(y[i], expected[i]) && !near)
      return fail_(fmt::format("the value at {} is {:.12g}, expected {:.12g}", inputs_at(x, i, elementwise_),
                               readable(y[i]), readable(expected[i])));
  }
}

void SpecialCase::check_zero(const Inputs& x, std::span<const Array> found) {
  for (std::size_t k = 0; k < found.size(); ++k) {
    const std::vector<double> g = found[k].to_vector<double>();
    for (std::size_t i = 0; i < g.size(); ++i)
      if (g[i] != 0)
        return fail_(fmt::format("of a dy of 0, {} {} at {} is {:.6g}, not 0",
                                 k < directions_.size() ? "the gradient" : "the slope of the gradient",
                                 k % directions_.size(), inputs_at(x, i, elementwise_), readable(g[i])));
  }
}

void SpecialCase::check_same(const std::string& what, const Inputs& x, std::span<const Array> found,
                             std::span<const Array> expected) {
  for (std::size_t k = 0; k < expected.size(); ++k) {
    const std::vector<double> a = found[k].to_vector<double>(), b = expected[k].to_vector<double>();
    for (std::size_t i = 0; i < b.size(); ++i)
      if (!equal(a[i], b[i]))
        return fail_(fmt::format("{}, {}: result {} at {} is {:.9g}, expected {:.9g}", what,
                                 name_of(expected[k].dtype()), k, inputs_at(x, i, elementwise_), readable(a[i]),
                                 readable(b[i])));
  }
}

}  // namespace rw::detail
