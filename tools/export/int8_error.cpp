#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/tools/export/header.h>
#include <rewind/tools/export/plan.h>

namespace rw {
namespace {

using detail::StepProgram;

template <class T>
void multiply_rows(Array& rows, const Array& scales) {
  const Index columns = rows.shape()[1];
  for (Index k = 0; k < rows.size(); ++k)
    rows.span<T>()[static_cast<std::size_t>(k)] *= scales.span<T>()[static_cast<std::size_t>(k / columns)];
}

template <class T>
void transpose_into(const Array& from, Array& to) {
  const Index rows = from.shape()[0], columns = from.shape()[1];
  for (Index r = 0; r < rows; ++r)
    for (Index c = 0; c < columns; ++c)
      to.span<T>()[static_cast<std::size_t>(c * rows + r)] = from.span<T>()[static_cast<std::size_t>(r * columns + c)];
}

/// A program's constants, with the numbers that int8 leaves of its weights.
std::vector<Array> rounded_constants(const StepProgram& program) {
  std::vector<Array> constants = program.graph.store->constants;
  const detail::Plan plan = detail::make_plan(program, 1, true);
  for (NodeId i = 0; i < plan.graph().size(); ++i) {
    if (!plan.graph().is<Constant>(i) || !plan.buffer(plan.places[i]).int8) continue;
    const detail::Buffer& b = plan.buffer(plan.places[i]);
    Array& constant = constants[plan.graph().nodes[i].leaf];
    visit_real(b.dtype, [&]<class T>() {
      Array value = b.value;
      multiply_rows<T>(value, b.scales);
      if (b.turned)
        transpose_into<T>(value, constant);
      else
        constant = std::move(value);
    });
  }
  return constants;
}

/// Runs a program step by step, its state carried.
class Runner {
 public:
  Runner(const StepProgram& program, const std::vector<Array>& constants, std::vector<Array> start)
      : g_(program.graph), constants_(constants), state_(std::move(start)) {}

  std::vector<double> step(ConstView x) {
    Tape tape(g_.real);
    std::vector<Tensor> values(g_.size());
    for (NodeId i = 0; i < g_.size(); ++i) values[i] = value(tape, i, x, values);
    const auto result = [&](std::size_t k) { return values[g_.outputs[k]].array(); };
    for (std::size_t k = 0; k < state_.size(); ++k) state_[k] = result(k + 1);
    return result(0).to_vector<double>();
  }

 private:
  Tensor value(Tape& tape, NodeId i, ConstView x, const std::vector<Tensor>& values) const {
    const ir::Node& n = g_.nodes[i];
    if (n.role == Role::input) return tape.constant(n.leaf == 0 ? x : state_[n.leaf - 1].view());
    if (n.info == &op_info<Constant>()) return tape.constant(constants_[n.leaf]);
    std::vector<Operand> operands;
    for (const NodeId in : g_.in(i)) operands.emplace_back(values[in]);
    return tape.record(*n.info, n.op, operands);
  }

  const ir::Graph& g_;
  const std::vector<Array>& constants_;
  std::vector<Array> state_;
};

}  // namespace

Int8Error int8_error(const RecordedStep& step, ConstView x) {
  const Index width = step.x.size();
  if (x.size() == 0 || x.size() % width != 0 || is_real(x.dtype) != is_real(step.x.dtype()))
    throw Error(fmt::format("int8_error: data {} for steps of {}: it must be as many steps, one after the other",
                            x.shape.str(), step.x.shape().str()));
  const StepProgram program = detail::step_program(step);
  const std::vector<Array> rounded = rounded_constants(program);
  Runner a(program, program.graph.store->constants, step.start), b(program, rounded, step.start);
  Int8Error error;
  const Array all(x);
  const Index steps = x.size() / width;
  for (Index t = 0; t < steps; ++t) {
    const char* at =
        static_cast<const char*>(all.view().data) + static_cast<std::size_t>(t * width) * size_of(all.dtype());
    const ConstView one = contiguous_view(at, step.x.shape(), all.dtype());
    const std::vector<double> y = a.step(one), z = b.step(one);
    for (std::size_t k = 0; k < y.size(); ++k) {
      const double d = std::abs(y[k] - z[k]);
      error.largest = std::max(error.largest, d);
      error.largest_output = std::max(error.largest_output, std::abs(y[k]));
      error.mean_square += d * d / static_cast<double>(steps * static_cast<Index>(y.size()));
    }
  }
  return error;
}

}  // namespace rw
