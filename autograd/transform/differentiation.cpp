#include <fmt/format.h>

#include <rewind/autograd/detail/sweep.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/transform/differentiation.h>
#include <rewind/core/error.h>

namespace rw::detail {

Differentiation::Differentiation(std::string_view name, Tape& tape)
    : name_(name), tape_(tape.data()), before_(tape.mark()), recorded_gradients_(tape.recording_gradients()) {
  if (tape_.lazy) throw Error("[" + name_ + "] cannot be called from a gradient rule");
  tape_.recording_gradients = true;
}

Differentiation::~Differentiation() {
  tape_.recording_gradients = recorded_gradients_;
  if (kept_) return;
  tape_.truncate(before_);
  tape_.draws = before_.draws;
}

std::vector<Tensor> Differentiation::stand_ins(std::span<const Tensor> x) {
  std::vector<Tensor> out;
  for (const Tensor& t : x) {
    if (!is_real(t.dtype())) {
      out.push_back(t);
      continue;
    }
    out.push_back(record(Reshape{t.shape()}, {t}));
    tape_.nodes[tape_.id(out.back())].needs_grad = true;
  }
  return out;
}

void Differentiation::check_tangents(std::string_view what, std::span<const Tensor> of,
                                     std::span<const Tensor> tangents) const {
  if (of.size() != tangents.size())
    throw error(fmt::format("takes {} {}s, one for each tensor, not {}", of.size(), what, tangents.size()));
  for (std::size_t i = 0; i < of.size(); ++i) {
    if (!is_real(of[i].dtype())) continue;
    if (tangents[i].shape() != of[i].shape() || !is_real(tangents[i].dtype()))
      throw error(fmt::format("{} {} is {} {}; what it belongs to is {}", what, i, name_of(tangents[i].dtype()),
                              tangents[i].shape().str(), of[i].shape().str()));
  }
}

Tensor Differentiation::scalar(std::span<const Tensor> y) const {
  if (y.size() != 1) throw error(fmt::format("the function gives {} tensors: it must give a scalar", y.size()));
  if (y[0].size() != 1 || !is_real(y[0].dtype()))
    throw error("the function gives " + y[0].shape().str() + ": it must give a scalar, such as a sum");
  return y[0];
}

std::vector<Root> Differentiation::roots_of(std::span<const Tensor> y, std::span<const Tensor> dy) {
  std::vector<Root> roots;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const NodeId node = tape_.id(y[i]);
    if (!tape_.nodes[node].needs_grad) continue;
    check_readable(tape_, node);
    roots.push_back({node, tape_.id(dy[i])});
  }
  return roots;
}

std::vector<std::vector<GradientPart>> Differentiation::parts_since(NodeId from, std::span<const Tensor> y,
                                                                    std::span<const Tensor> dy,
                                                                    std::span<const Tensor> x) {
  std::vector<NodeId> ids;
  for (const Tensor& t : x) ids.push_back(tape_.id(t));
  return gradient_parts_since(tape_, from, roots_of(y, dy), ids);
}

std::vector<Tensor> Differentiation::pullback_since(NodeId from, std::span<const Tensor> y, std::span<const Tensor> dy,
                                                    std::span<const Tensor> x) {
  std::vector<Tensor> out;
  for (const auto& parts : parts_since(from, y, dy, x)) {
    const Shape shape = x[out.size()].shape();
    out.push_back(parts.empty() ? tape_.owner->constant(0, shape) : tape_.tensor(sum_of_parts(tape_, shape, parts)));
  }
  return out;
}

std::vector<std::optional<Tensor>> Differentiation::reached(std::span<const Tensor> y, std::span<const Tensor> dy,
                                                            std::span<const Tensor> x, bool of_derivative) {
  const std::vector<Root> roots = roots_of(y, dy);
  std::vector<NodeId> real;
  for (const Tensor& t : x)
    if (is_real(t.dtype())) real.push_back(tape_.id(t));
  const std::vector<NodeId> found =
      recorded_backward(tape_, roots, real, of_derivative ? Rule::derivative : Rule::gradient);
  std::vector<std::optional<Tensor>> out(x.size());
  std::size_t next = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (is_real(x[i].dtype()))
      if (const NodeId id = found[next++]; id != no_node) out[i] = tape_.tensor(id);
  return out;
}

std::vector<Tensor> Differentiation::pullback(std::span<const Tensor> y, std::span<const Tensor> dy,
                                              std::span<const Tensor> x, bool of_derivative) {
  std::vector<Tensor> out;
  std::size_t i = 0;
  for (const auto& g : reached(y, dy, x, of_derivative))
    out.push_back(g.has_value() ? *g : tape_.owner->constant(0, x[i].shape())), ++i;
  return out;
}

std::vector<Tensor> Differentiation::pushforward(std::span<const Tensor> y, std::span<const Tensor> x,
                                                 std::span<const Tensor> dx) {
  // Cotangents whose numbers do not matter: what is wanted is the pullback as a function of them.
  std::vector<Tensor> cotangents;
  for (const Tensor& t : y) {
    cotangents.push_back(tape_.owner->constant(0, t.shape()));
    tape_.nodes[tape_.id(cotangents.back())].needs_grad = true;
  }
  std::vector<Tensor> linear, along;
  const std::vector<std::optional<Tensor>> found = reached(y, cotangents, x, true);
  for (std::size_t i = 0; i < x.size(); ++i)
    if (found[i].has_value()) linear.push_back(*found[i]), along.push_back(dx[i]);
  return pullback(linear, along, cotangents, true);
}

}  // namespace rw::detail
