#include <algorithm>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/ops/view.h>
#include <rewind/tools/export/onnx/load/whole.h>

// Scan as ONNX defines it since opset 9.

namespace rw::detail::load {
namespace {

const Graph& body_of(const Node& n) {
  const auto* body = n.find<std::shared_ptr<const Graph>>("body");
  if (body == nullptr) throw n.error("it has no body");
  return **body;
}

struct Numbers {
  std::size_t states, scanned, stacked;  // inputs that are carried or taken apart, and outputs that are put together
};
Numbers numbers_of(const Node& n) {
  const auto scanned = n.get<std::int64_t>("num_scan_inputs", 0);
  if (scanned < 1 || static_cast<std::uint64_t>(scanned) > n.inputs.size())
    throw n.error(fmt::format("it cannot have {} inputs to go over", scanned));
  const std::size_t states = n.inputs.size() - static_cast<std::size_t>(scanned);
  const Graph& body = body_of(n);
  if (body.inputs.size() != n.inputs.size() || body.outputs.size() < states)
    throw n.error("its body has other inputs or outputs");
  return {states, n.inputs.size() - states, body.outputs.size() - states};
}

/// A number for each input that is gone over, or each output: 0 where none are said.
std::vector<std::int64_t> each(const Node& n, const char* attribute, std::size_t count) {
  auto out = n.get(attribute, std::vector<std::int64_t>());
  if (out.empty()) out.resize(count);
  if (out.size() != count) throw n.error(fmt::format("{} has {} numbers, not {}", attribute, out.size(), count));
  return out;
}

void check_scan(const Node& n) {
  const Numbers count = numbers_of(n);
  for (const char* of_inputs : {"scan_input_axes", "scan_input_directions"}) each(n, of_inputs, count.scanned);
  for (const char* of_outputs : {"scan_output_axes", "scan_output_directions"}) each(n, of_outputs, count.stacked);
  if (n.outputs.size() > count.states + count.stacked) throw n.error("it has more outputs than its body");
}

class Scan {
 public:
  explicit Scan(const Call& c)
      : c_(c), body_(body_of(c.node())), count_(numbers_of(c.node())), stacked_(count_.stacked) {
    const auto axes = each(c.node(), "scan_input_axes", count_.scanned);
    backwards_ = each(c.node(), "scan_input_directions", count_.scanned);
    for (std::size_t k = 0; k < count_.scanned; ++k) {
      const Shape shape = c.shape(count_.states + k);
      axes_.push_back(c.axis(axes[k], shape.rank()));
      if (k > 0 && shape[axes_[k]] != steps_) throw c.error("its inputs have different numbers of steps");
      steps_ = shape[axes_[k]];
    }
    if (steps_ == 0 && count_.stacked > 0) throw c.error("a sequence of no steps has no outputs here");
  }

  Values run() {
    Values out;
    for (std::size_t k = 0; k < count_.states; ++k) out.push_back(c_.value(k));
    for (Index t = 0; t < steps_; ++t) {
      const Scope scope(c_.tape(), "t", t);
      step(t, out);
    }
    const auto axes = each(c_.node(), "scan_output_axes", count_.stacked);
    const auto backwards = each(c_.node(), "scan_output_directions", count_.stacked);
    for (std::size_t k = 0; k < count_.stacked; ++k) {
      if (backwards[k] != 0) std::reverse(stacked_[k].begin(), stacked_[k].end());
      if (c_.wants(count_.states + k))
        out.emplace_back(stack(stacked_[k], c_.axis(axes[k], stacked_[k][0].shape().rank() + 1)));
      else
        out.emplace_back();
    }
    return out;
  }

 private:
  void step(Index t, Values& states) {
    Run& run = c_.run();
    for (std::size_t k = 0; k < count_.states; ++k) run.at(body_.inputs[k]) = states[k];
    for (std::size_t k = 0; k < count_.scanned; ++k) {
      const Value& x = c_.value(count_.states + k);
      const Shape shape = c_.shape(count_.states + k);
      const Value part = taken(c_, x, axes_[k], {backwards_[k] != 0 ? steps_ - 1 - t : t});
      run.at(body_.inputs[count_.states + k]) = reshaped(part, shape.without(axes_[k]));
    }
    run.graph(body_);
    for (std::size_t k = 0; k < count_.states; ++k) states[k] = result(k);
    for (std::size_t k = 0; k < count_.stacked; ++k) stacked_[k].push_back(c_.tensor(result(count_.states + k)));
  }
  const Value& result(std::size_t k) const {
    const Value& v = c_.run().at(body_.outputs[k]);
    if (std::holds_alternative<std::monostate>(v)) throw c_.error(fmt::format("output {} of its body is missing", k));
    return v;
  }

  const Call& c_;
  const Graph& body_;
  Numbers count_;
  std::vector<int> axes_;
  std::vector<std::int64_t> backwards_;
  Index steps_ = 0;
  std::vector<std::vector<Tensor>> stacked_;
};

Values scan(const Call& c) { return Scan(c).run(); }

}  // namespace

std::vector<Operator> loop_operators() {
  return {{.type = "Scan", .most = any_number, .outputs = any_number, .run = scan, .check = check_scan}};
}

}  // namespace rw::detail::load
