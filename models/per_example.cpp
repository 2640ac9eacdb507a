#include <rewind/autograd/structural.h>
#include <rewind/models/per_example.h>
#include <rewind/ops/ops.h>

namespace rw::detail {
namespace {

/// A gradient of one example as a sum: products a' d, of which a and d are kept, and other terms.
struct Terms {
  std::vector<Tensor> a, d, other;
};

Terms terms_of(Tape& tape, const Tensor& gradient) {
  const Node& n = tape.node(tape.id(gradient));
  std::vector<NodeId> all{tape.id(gradient)};
  if (n.info == &op_info<AddN>()) all.assign(n.in().begin(), n.in().end());
  Terms out;
  for (NodeId id : all) {
    const Node& term = tape.node(id);
    const bool product = term.info->product != nullptr && term.info->product(term.op).ta &&
                         !term.info->product(term.op).tb && term.shape.rank() == 2;
    if (product) {
      out.a.push_back(tape.tensor(term.input[0]));
      out.d.push_back(tape.tensor(term.input[1]));
    } else {
      out.other.push_back(tape.tensor(id));
    }
  }
  // Both kinds meet in the norm: then the gradient is made. So it is where that is less than the products of rows.
  Index rows = 0;
  for (const Tensor& a : out.a) rows += a.size(0);
  const Shape shape = gradient.shape();
  if (!out.a.empty() && (!out.other.empty() || rows * (shape[0] + shape[1]) > shape.size()))
    return {.a = {}, .d = {}, .other = {gradient}};
  return out;
}

// [N, R, n] of rows of R steps -> [N, R, R].
Tensor among_themselves(const std::vector<Tensor>& steps) {
  const Tensor all = steps.size() == 1 ? steps[0] : concat(std::span<const Tensor>(steps), 1);
  return matmul(all, all, {.transpose_b = true});
}

}  // namespace

Tensor norms(Tape& tape, const std::vector<Tensor>& gradients, Mapping& mapping) {
  if (gradients.empty()) throw tape.error("per_example_norms", "the list of parameters is empty");
  std::vector<Terms> parts;
  std::vector<Tensor> wanted;
  for (const Tensor& g : gradients) {
    parts.push_back(terms_of(tape, g));
    for (const auto* list : {&parts.back().a, &parts.back().d, &parts.back().other})
      wanted.insert(wanted.end(), list->begin(), list->end());
  }
  const std::vector<Tensor> found = mapping.end(wanted);
  TensorSource source(found);
  const auto take = [&](std::vector<Tensor>& list) {
    for (Tensor& t : list) t = source.next();
  };
  std::vector<Tensor> squares;
  for (Terms& t : parts) {
    take(t.a), take(t.d), take(t.other);
    if (t.a.empty()) {
      Tensor total = t.other[0];
      for (std::size_t i = 1; i < t.other.size(); ++i) total = total + t.other[i];
      squares.push_back(sum(square(reshape(total, {total.size(0), total.size() / total.size(0)})), 1));
    } else {
      squares.push_back(sum(among_themselves(t.a) * among_themselves(t.d), {1, 2}));
    }
  }
  Tensor total = squares.at(0);
  for (std::size_t i = 1; i < squares.size(); ++i) total = total + squares[i];
  return sqrt(total);
}

}  // namespace rw::detail
