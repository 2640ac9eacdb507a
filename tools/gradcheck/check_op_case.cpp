#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>
#include <rewind/tools/gradcheck/check_op_case.h>

namespace rw::detail {

Array random_weights(const Shape& shape, Rng& rng) {
  Array w(shape, DType::f64);
  for (double& e : w.span<double>()) {
    const double size = rng.uniform(0.5, 1.5);
    e = static_cast<float>(rng.uniform() < 0.5 ? -size : size);
  }
  return w;
}

std::vector<Tensor> leaves(Tape& tape, std::span<const Array> x) {
  std::vector<Tensor> out;
  for (const Array& a : x) out.push_back(is_real(a.dtype()) ? tape.variable(a) : tape.constant(a));
  return out;
}

std::vector<Operand> real_operands(std::span<const Tensor> x) {
  std::vector<Operand> out;
  for (const Tensor& t : x)
    if (is_real(t.dtype())) out.emplace_back(t);
  return out;
}

const OpDomain& domain_of(const OpCheck& check, std::size_t input) {
  static const OpDomain usual;
  if (check.domains.empty()) return usual;
  return check.domains[std::min(input, check.domains.size() - 1)];
}

Array draw_input(const Shape& shape, const OpDomain& domain, Rng& rng) {
  if (domain.classes > 0) {
    Array indices(shape, DType::i32);
    for (std::int32_t& e : indices.span<std::int32_t>()) e = static_cast<std::int32_t>(rng.below(domain.classes));
    return indices;
  }
  Array x(shape, DType::f64);
  const std::span<double> e = x.span<double>();
  // One number from each of n equal parts of the interval, in random order: no two are near each other.
  std::vector<double> part(e.size());
  std::iota(part.begin(), part.end(), 0.0);
  for (std::size_t i = part.size(); i > 1; --i)
    std::swap(part[i - 1], part[static_cast<std::size_t>(rng.below(static_cast<Index>(i)))]);
  for (std::size_t i = 0; i < e.size(); ++i) {
    const double at = (part[i] + rng.uniform(0.25, 0.75)) / static_cast<double>(e.size());
    e[i] = domain.lo + (domain.hi - domain.lo) * at;
    constexpr double margin = 0.01;
    for (double kink : domain.kinks)
      if (std::abs(e[i] - kink) < margin) e[i] = kink + (e[i] < kink ? -margin : margin);
    e[i] = static_cast<float>(e[i]);
  }
  return x;
}

void OpCase::run() {
  value_ = value(DType::f64);
  check_value();
  check_trace();
  weights_ = random_weights(value_.shape(), rng_);
  if (check_.gradient) {
    gradients_ = gradients(DType::f64, false);
    for (const Array& g : gradients_) directions_.push_back(random_weights(g.shape(), rng_));
    check_first();
    check_second();
    check_linear();
    check_along();
    check_plain_backward(DType::f64);
    check_plain_backward(DType::f32);
  }
  check_f32();
  check_rows_apart();
  check_compiled(DType::f64);
  check_compiled(DType::f32);
}

Array OpCase::value(DType dtype) {
  Tape tape(dtype);
  const std::vector<Tensor> x = leaves(tape, x_);
  const Tensor y = op_(x);
  if (y.needs_grad() != check_.gradient && !real_operands(x).empty())
    fail_(check_.gradient ? "no gradient flows through it" : "it has a gradient, which was not expected");
  return y.array();
}

double OpCase::projection(std::span<const Array> x) {
  Tape tape(DType::f64);
  const Array y = op_(leaves(tape, x)).array();
  const std::span<const double> e = y.span<double>(), w = weights_.span<double>();
  return std::inner_product(e.begin(), e.end(), w.begin(), 0.0);
}

std::vector<Array> OpCase::gradients(DType dtype, bool plain) {
  Tape tape(dtype);
  const std::vector<Tensor> x = leaves(tape, x_);
  const Tensor loss = sum(op_(x) * tape.constant(weights_));
  std::vector<Array> out;
  if (plain) {
    backward(loss, {.keep_grads = true});
    for (const Tensor& t : x)
      if (is_real(t.dtype())) out.push_back(tape.has_grad(t) ? Array(tape.grad(t)) : Array(t.shape(), dtype));
  } else {
    for (const Tensor& g : grad(loss, real_operands(x))) out.push_back(g.array());
  }
  return out;
}

// The projection of the gradient of the projection; the last of `x` is the weights, as an input too, because a gradient
// rule is differentiated by dy as well.
double OpCase::second_projection(std::span<const Array> x, std::vector<Array>* gradients) {
  Tape tape(DType::f64);
  const std::vector<Tensor> in = leaves(tape, x);
  const std::span<const Tensor> of_op = std::span<const Tensor>(in).first(in.size() - 1);
  const std::vector<Tensor> first = grad(sum(op_(of_op) * in.back()), real_operands(of_op));
  Tensor total = 0 * sum(in.back());  // so that there is something to differentiate even when all are constant
  for (std::size_t i = 0; i < first.size(); ++i) total = total + sum(first[i] * tape.constant(directions_[i]));
  if (gradients != nullptr)
    for (const Tensor& g : grad(total, real_operands(in))) gradients->push_back(g.array());
  return total.item();
}

// Central differences of fourth order.
std::vector<Array> OpCase::differences(std::span<const Array> x,
                                       const std::function<double(std::span<const Array>)>& f) {
  constexpr double step = 1e-4;
  std::vector<Array> at(x.begin(), x.end()), out;
  for (Array& input : at) {
    if (!is_real(input.dtype())) continue;
    Array slope(input.shape(), DType::f64);
    for (std::size_t i = 0; i < input.span<double>().size(); ++i) {
      double& e = input.span<double>()[i];
      const double middle = e;
      const auto beside = [&](double steps) {
        e = middle + steps * step;
        return f(at);
      };
      const double near = beside(1) - beside(-1), far = beside(2) - beside(-2);
      slope.span<double>()[i] = (8 * near - far) / (12 * step);
      e = middle;
    }
    out.push_back(std::move(slope));
  }
  return out;
}

void OpCase::check_value() { compare("value", value_, reference_(x_), check_.value_tolerance); }

void OpCase::check_trace() {
  Tape tape({.trace = true});
  std::vector<Tensor> in;
  for (const Array& a : x_) in.push_back(tape.input(a.shape(), is_real(a.dtype()) ? DType::f32 : DType::i32));
  const Shape shape = op_(in).shape();
  if (shape != value_.shape())
    fail_(fmt::format("a trace infers {}, the value is {}", shape.str(), value_.shape().str()));
}

void OpCase::check_f32() {
  compare("f32 value", value(DType::f32), value_, check_.f32_tolerance);
  if (check_.gradient) compare_all("f32 gradient", gradients(DType::f32, false), gradients_, check_.f32_tolerance);
}

void OpCase::check_plain_backward(DType dtype) {
  const std::vector<Array> plain = gradients(dtype, true), recorded = gradients(dtype, false);
  for (std::size_t i = 0; i < plain.size(); ++i)
    if (!(plain[i] == recorded[i]))
      fail_(fmt::format("{} gradient {}: the plain backward gives {}, the recorded one {}", name_of(dtype), i,
                        to_string(plain[i]), to_string(recorded[i])));
}

// Every input as a slice of a wider array, with other numbers on both sides.
void OpCase::check_rows_apart() {
  Tape tape(DType::f64);
  std::vector<Tensor> wide, in;
  for (const Array& a : x_) {
    const Index length = a.shape().cols();
    Array all = a;
    if (a.shape().rank() > 0) {
      all = Array(a.shape().with(a.shape().axis(-1), length + 3), a.dtype());
      all.fill(77);
      if (a.size() > 0) copy(a, slice_as_rows(all.view(), a.shape().axis(-1), 1, length));
    }
    wide.push_back(leaves(tape, {&all, 1})[0]);
    in.push_back(a.shape().rank() == 0 ? wide.back() : slice(wide.back(), -1, 1, length));
  }
  const Tensor y = op_(in);
  compare("value of inputs whose rows are apart", y.array(), value_, 1e-14);
  if (!check_.gradient) return;
  backward(sum(y * tape.constant(weights_)), {.keep_grads = true});
  std::size_t real = 0;
  for (std::size_t i = 0; i < x_.size(); ++i) {
    if (!is_real(x_[i].dtype())) continue;
    const Tensor g = tape.has_grad(wide[i]) ? tape.constant(tape.grad(wide[i])) : tape.constant(0, wide[i].shape());
    const Tensor part = x_[i].shape().rank() == 0 ? g : slice(g, -1, 1, x_[i].shape().cols());
    compare(fmt::format("gradient {} of inputs whose rows are apart", i), part.array(), gradients_[real++], 1e-13);
  }
}

void OpCase::check_first() {
  const auto f = [&](std::span<const Array> x) { return projection(x); };
  compare_all("gradient beside finite differences,", gradients_, differences(x_, f), check_.difference_tolerance);
}

void OpCase::check_second() {
  std::vector<Array> x = x_;
  x.push_back(weights_);
  std::vector<Array> found;
  second_projection(x, &found);
  const auto f = [&](std::span<const Array> at) { return second_projection(at, nullptr); };
  compare_all("second derivative beside finite differences,", found, differences(x, f), check_.difference_tolerance);
}

// A rule is linear in dy, since jvp is made of its transpose; an op whose rule is not says so by `transposed_jvp`.
void OpCase::check_linear() {
  Tape tape(DType::f64);
  op_(leaves(tape, x_));
  for (NodeId i = 0; i < tape.size(); ++i)
    if (tape.node(i).info->transposed_jvp != nullptr) return;
  Rng own(check_.seed + 1);
  const Array first = weights_, second = random_weights(value_.shape(), own);
  weights_ = second;
  const std::vector<Array> of_second = gradients(DType::f64, false);
  for (std::size_t i = 0; i < weights_.span<double>().size(); ++i)
    weights_.span<double>()[i] = 3 * first.span<double>()[i] - 2 * second.span<double>()[i];
  const std::vector<Array> found = gradients(DType::f64, false);
  weights_ = first;
  std::vector<Array> expected = gradients_;
  for (std::size_t k = 0; k < expected.size(); ++k)
    for (std::size_t i = 0; i < expected[k].span<double>().size(); ++i)
      expected[k].span<double>()[i] = 3 * gradients_[k].span<double>()[i] - 2 * of_second[k].span<double>()[i];
  compare_all("the rule is not linear in dy (declare `transposed_jvp`): gradient of 3 dy - 2 dy',", found, expected,
              1e-12);
}

// The derivative along a direction beside finite differences.
void OpCase::check_along() {
  Tape tape(DType::f64);
  const std::vector<Tensor> x = leaves(tape, x_);
  std::vector<Tensor> along;
  along.reserve(x.size());
  std::size_t real = 0;
  for (const Tensor& t : x) along.push_back(is_real(t.dtype()) ? tape.constant(directions_[real++]) : t);
  const auto f = [&](const std::vector<Tensor>& at) { return sum(op_(at) * tape.constant(weights_)); };
  const double found = jvp(f, x, along).second.item();
  const auto at = [&](double step) {
    std::vector<Array> moved = x_;
    std::size_t k = 0;
    for (Array& a : moved) {
      if (!is_real(a.dtype())) continue;
      for (std::size_t i = 0; i < a.span<double>().size(); ++i)
        a.span<double>()[i] += step * directions_[k].span<double>()[i];
      ++k;
    }
    return projection(moved);
  };
  constexpr double step = 1e-4;
  const double expected = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
  compare("derivative along a direction beside finite differences", Array({found}, Shape{1}),
          Array({expected}, Shape{1}), check_.difference_tolerance);
}

void OpCase::check_compiled(DType dtype) {
  std::vector<Array> eager{value(dtype)};
  if (check_.gradient)
    for (Array& g : gradients(dtype, false)) eager.push_back(std::move(g));
  for (const bool exact : {true, false}) {
    const auto value_and_gradients = [&](Tape& tape, const std::vector<Tensor>& in) {
      const Tensor y = op_(in);
      std::vector<Tensor> out{y};
      if (check_.gradient)
        for (const Tensor& g : grad(sum(y * tape.constant(weights_)), real_operands(in))) out.push_back(g);
      return out;
    };
    auto compiled = compile(value_and_gradients,
                            {.dtype = dtype,
                             .passes = exact ? Passes::exact() : Passes::all(),
                             .verify = true,
                             .check = SelfCheck::off},  // it is what follows
                            x_);
    std::vector<Array> found;
    for (const Tensor& t : compiled(x_)) found.push_back(t.array());
    const double rounding = dtype == DType::f64 ? 1e-13 : 1e-5;
    compare_all(fmt::format("compiled {} ({} passes),", name_of(dtype), exact ? "exact" : "all"), found, eager,
                exact ? 0 : rounding);
  }
}

void OpCase::compare_all(const std::string& what, std::span<const Array> found, std::span<const Array> expected,
                         double tolerance) {
  if (found.size() != expected.size())
    return fail_(fmt::format("{} gives {} results, not {}", what, found.size(), expected.size()));
  for (std::size_t i = 0; i < found.size(); ++i)
    compare(fmt::format("{} number {}", what, i), found[i], expected[i], tolerance);
}

void OpCase::compare(const std::string& what, const Array& found, const Array& expected, double tolerance) {
  if (found.shape() != expected.shape())
    return fail_(fmt::format("{}: shape {}, expected {}", what, found.shape().str(), expected.shape().str()));
  const std::vector<double> a = found.to_vector<double>(), b = expected.to_vector<double>();
  double largest = 0;
  for (double e : b) largest = std::max(largest, std::abs(e));
  // Of derivatives that are all tiny, finite differences see only rounding.
  const double most = tolerance * std::max(largest, 1e-2);
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(std::abs(a[i] - b[i]) <= most))
      return fail_(fmt::format("{}: element {} is {:.12g}, expected {:.12g} (off by {:.2g}, at most {:.2g})", what, i,
                               a[i], b[i], std::abs(a[i] - b[i]), most));
}

}  // namespace rw::detail
