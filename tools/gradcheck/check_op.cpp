#include <algorithm>
#include <ostream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <rewind/core/error.h>
#include <rewind/tools/gradcheck/check_op.h>
#include <rewind/tools/gradcheck/check_op_case.h>
#include <rewind/tools/gradcheck/check_op_special.h>

namespace rw {
namespace {

// For ops with a reference on doubles: vectors with a tail, a scalar, stretched axes, axes of length 1 and 0.
std::vector<std::vector<Shape>> elementwise_shapes(std::size_t inputs) {
  if (inputs == 1) return {{{2, 3}}, {{}}, {{1}}, {{37}}, {{2, 1, 3}}, {{0, 3}}, {{3, 0}}};
  std::vector<std::vector<Shape>> cases = {{{2, 3}, {2, 3}},    {{2, 3}, {3}},    {{3}, {2, 3}},
                                           {{2, 1}, {1, 3}},    {{}, {2, 2}},     {{}, {}},
                                           {{2, 1, 2}, {3, 1}}, {{0, 3}, {1, 3}}, {{19}, {19}}};
  for (auto& shapes : cases)
    while (shapes.size() < inputs) shapes.push_back(shapes[shapes.size() % 2]);
  return cases;
}

std::string list(std::span<const Shape> shapes) {
  std::vector<std::string> text;
  for (const Shape& s : shapes) text.push_back(s.str());
  return fmt::format("{}", fmt::join(text, " "));
}

// Refusing means: an Error of one line that names op, a shape and scope, and the tape as it was.
void check_refused(const OpFunction& op, std::span<const Array> inputs, OpReport& report) {
  std::vector<Shape> shapes;
  for (const Array& x : inputs) shapes.push_back(x.shape());
  const auto fail = [&](const std::string& what) {
    report.failures.push_back(fmt::format("refusing {}: {}", list(shapes), what));
  };
  Tape tape;
  const Scope scope(tape, "somewhere");
  std::vector<Tensor> x;
  for (const Array& array : inputs) x.push_back(is_real(array.dtype()) ? tape.variable(array) : tape.constant(array));
  const NodeId before = tape.size();
  try {
    op(x);
    return fail("it was accepted");
  } catch (const Error& e) {
    const std::string text = e.what();
    const bool named =
        std::any_of(shapes.begin(), shapes.end(), [&](const Shape& s) { return text.find(s.str()) != text.npos; });
    if (text.empty() || text[0] != '[') fail("the message does not begin with the [op]: " + text);
    if (!named) fail("the message names no shape: " + text);
    if (text.find("somewhere") == text.npos) fail("the message does not name the scope: " + text);
    if (text.find('\n') != text.npos) fail("the message has more than one line: " + text);
  } catch (const std::exception& e) {
    fail(std::string("not an rw::Error: ") + e.what());
  }
  if (tape.size() != before) fail(fmt::format("the tape has {} nodes more than before", tape.size() - before));
}

// An elementwise op at all combinations, others at shapes that are not large.
void check_special_values(const OpFunction& op, const OpReference& reference, bool elementwise, const OpCheck& check,
                          std::span<const std::vector<Shape>> cases, Rng& rng, OpReport& report) {
  if (cases.empty() || !report.failures.empty()) return;  // what fails at ordinary numbers says more
  const auto fail = [&](const std::string& what) { report.failures.push_back("special values: " + what); };
  try {
    detail::SpecialCase special(op, reference, check, rng, fail);
    if (elementwise) return special.run_elementwise(cases[0].size());
    for (const auto& shapes : cases.first(std::min<std::size_t>(cases.size(), 2))) special.run(shapes);
  } catch (const std::exception& e) {
    fail(std::string("it threw: ") + e.what());
  }
}

}  // namespace

std::string OpReport::message() const {
  if (ok()) return fmt::format("{}: right in {} cases", op, cases);
  if (cases == 0) return op + ": no case was checked: give `shapes`, since the reference is on arrays";
  return fmt::format("{}: {} failures in {} cases\n  {}", op, failures.size(), cases, fmt::join(failures, "\n  "));
}

std::ostream& operator<<(std::ostream& out, const OpReport& report) { return out << report.message(); }

Array broadcast_reference(std::span<const Array> x, const std::function<double(std::span<const double>)>& reference) {
  Shape shape;
  for (const Array& a : x) shape = broadcast(shape, a.shape());
  Array out(shape, DType::f64);
  std::vector<double> element(x.size());
  for (Index i = 0; i < shape.size(); ++i) {
    for (std::size_t k = 0; k < x.size(); ++k) {
      Index rest = i, at = 0, stride = 1;
      for (int a = shape.rank() - 1, b = x[k].shape().rank() - 1; a >= 0; --a, --b) {
        const Index position = rest % shape[a];
        rest /= shape[a];
        if (b < 0) continue;
        if (x[k].shape()[b] != 1) at += position * stride;
        stride *= x[k].shape()[b];
      }
      element[k] = x[k].span<double>()[static_cast<std::size_t>(at)];
    }
    out.span<double>()[static_cast<std::size_t>(i)] = reference(element);
  }
  return out;
}

OpReport check_op_function(const std::string& name, std::size_t inputs, const OpFunction& op,
                           const OpReference& reference, bool elementwise, const OpCheck& check) {
  OpReport report{.op = name};
  Rng rng(check.seed);
  const auto draw_all = [&](std::span<const Shape> shapes) {
    std::vector<Array> x;
    for (std::size_t i = 0; i < shapes.size(); ++i)
      x.push_back(detail::draw_input(shapes[i], detail::domain_of(check, i), rng));
    return x;
  };
  const auto cases = check.shapes.empty() && elementwise ? elementwise_shapes(inputs) : check.shapes;
  for (const auto& shapes : cases) {
    ++report.cases;
    const auto fail = [&](const std::string& what) { report.failures.push_back(list(shapes) + ": " + what); };
    if (shapes.size() != inputs) {
      fail(fmt::format("{} shapes for an op of {} inputs", shapes.size(), inputs));
      continue;
    }
    try {
      detail::OpCase(op, reference, check, draw_all(shapes), rng, fail).run();
    } catch (const std::exception& e) {
      fail(std::string("it threw: ") + e.what());
    }
  }
  check_special_values(op, reference, elementwise, check, cases, rng, report);
  for (const auto& shapes : check.bad) check_refused(op, draw_all(shapes), report);
  if (elementwise) {
    std::vector<Array> integers(inputs, Array(Shape{2, 3}, DType::i32));
    check_refused(op, integers, report);
    std::vector<Shape> apart(inputs, Shape{2, 3});
    apart.back() = Shape{2, 4};
    if (inputs > 1) check_refused(op, draw_all(apart), report);
  }
  return report;
}

}  // namespace rw
