#include <algorithm>
#include <unordered_set>

#include <fmt/format.h>

#include <rewind/autograd/detail/tape_data.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/transform/own_rule.h>
#include <rewind/core/error.h>

namespace rw::detail {

bool OwnRule::alias(ConstView x, ConstView& y) const {
  y = x;
  return true;
}
void OwnRule::eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }

namespace {

// Computes what a plain backward has recorded and not computed yet.
void compute(TapeData& tape, const Tensor& t) {
  std::vector<NodeId> pending{tape.id(t)};
  const auto ready = [&](NodeId id) { return tape.nodes[id].data != nullptr; };
  if (ready(pending[0])) return;
  std::unordered_set<NodeId> visited(pending.begin(), pending.end());
  for (std::size_t i = 0; i < pending.size(); ++i)
    for (NodeId in : tape.nodes[pending[i]].in())
      if (!ready(in) && visited.insert(in).second) pending.push_back(in);
  std::sort(pending.begin(), pending.end());
  for (NodeId i : pending) tape.evaluate(i);
}

}  // namespace

// The rule is a function of its own, which may compute and look at values; so its ops are computed as they are
// recorded.
void OwnRule::vjp(Vjp& g) const {
  TapeData& tape = g.y().tape().data();
  if (tape.lazy) compute(tape, g.dy());
  const auto own = tape.rules.at(static_cast<std::size_t>(rule));
  struct Eager {
    TapeData& tape;
    bool lazy, recording;
    ~Eager() { tape.lazy = lazy, tape.recording_gradients = recording; }
  } const eager{tape, tape.lazy, tape.recording_gradients};
  tape.lazy = false;
  tape.recording_gradients = true;
  (*own)(g);
}

void Negative::eval(std::span<const ConstView> x, View y) const {
  visit_real(y.dtype, [&]<class T>() {
    std::transform(x[0].as<T>(), x[0].as<T>() + y.size(), y.as<T>(), [](T e) { return -e; });
  });
}
void Negative::vjp(Vjp& g) const { g.add(0, rw::record(Negative{}, {g.dy()})); }

std::vector<Tensor> with_indices(std::span<const Tensor> real, std::span<const std::optional<Tensor>> indices) {
  std::vector<Tensor> out;
  std::size_t next = 0;
  for (const auto& own : indices) {
    if (own.has_value() && !own->valid())
      throw Error(
          "[custom_vjp] the gradient is taken outside of vmap, and an argument is indices of one example: take it "
          "within");
    out.push_back(own.has_value() ? *own : real[next++]);
  }
  return out;
}

// Several tensors as one, and that one as several.
Tensor joined(std::span<const Tensor> all) {
  if (all.size() == 1) return all[0];
  std::vector<Operand> flat;
  for (const Tensor& t : all) flat.emplace_back(record(Reshape{Shape{t.size()}}, {t}));
  return record(Concat{0}, std::span<const Operand>(flat));
}
std::vector<Tensor> parted(const Tensor& whole, std::span<const Shape> shapes) {
  if (shapes.size() == 1) return {whole};
  std::vector<Tensor> out;
  Index at = 0;
  for (const Shape& s : shapes) {
    out.push_back(record(Reshape{s}, {record(Slice{0, at, s.size()}, {whole})}));
    at += s.size();
  }
  return out;
}

namespace {

void run_flat_rule(Vjp& g, const std::string& name, std::span<const Shape> shapes, const FlatRule& rule) {
  std::vector<Tensor> x;
  for (int i = 1; i < g.inputs(); ++i) x.push_back(g.x(i));
  const std::vector<Tensor> dx = rule(x, parted(g.y(), shapes), parted(g.dy(), shapes));
  const auto fail = [&](const std::string& reason) { throw g.y().tape().error(name, reason); };
  if (dx.size() != x.size()) fail(fmt::format("the rule gives {} gradients for {} arguments", dx.size(), x.size()));
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (dx[i].shape() != x[i].shape())
      fail(fmt::format("the rule gives a gradient of {} to argument {} of {}", dx[i].shape().str(), i,
                       x[i].shape().str()));
    g.add(static_cast<int>(i) + 1, dx[i]);
  }
}

}  // namespace

std::vector<Tensor> with_rule(std::string_view name, Tape& tape, std::span<const Tensor> inputs,
                              std::span<const Tensor> values, FlatRule rule) {
  std::vector<Shape> shapes;
  for (const Tensor& t : values) {
    if (!is_real(t.dtype())) throw tape.error(name, "the function gives indices, which have no gradient");
    shapes.push_back(t.shape());
  }
  if (values.empty()) throw tape.error(name, "the function gives no tensor");
  const Tensor y = with_plain_rule(
      tape, inputs, joined(values),
      [name = std::string(name), shapes, rule = std::move(rule)](Vjp& g) { run_flat_rule(g, name, shapes, rule); });
  return parted(y, shapes);
}

Tensor with_plain_rule(Tape& tape, std::span<const Tensor> inputs, const Tensor& value,
                       std::function<void(Vjp&)> rule) {
  std::vector<Operand> in{value};
  for (const Tensor& t : inputs) in.emplace_back(t);
  TapeData& d = tape.data();
  d.rules.push_back(std::make_shared<const std::function<void(Vjp&)>>(std::move(rule)));
  return rw::record(OwnRule{static_cast<Index>(d.rules.size()) - 1}, std::span<const Operand>(in));
}

std::vector<Tensor> forget_and_name_inputs(TapeData& tape, const TapeMark& mark) {
  std::vector<NodeId> ids;
  std::unordered_set<NodeId> visited;
  for (NodeId i = mark.nodes; i < tape.nodes.size(); ++i)
    for (NodeId in : tape.nodes[i].in())
      if (in < mark.nodes && tape.nodes[in].needs_grad && visited.insert(in).second) ids.push_back(in);
  std::vector<std::shared_ptr<Parameter::Data>> parameters;
  for (const TapeData::ReadParameter& leaf : tape.leaves)
    if (leaf.node >= mark.nodes && tape.nodes[leaf.node].needs_grad) parameters.push_back(leaf.parameter);
  tape.forget_nodes(mark);
  tape.draws = mark.draws;
  std::vector<Tensor> out;
  out.reserve(ids.size() + parameters.size());
  for (NodeId i : ids) out.push_back(tape.tensor(i));
  for (const auto& p : parameters) out.push_back(tape.tensor(tape.leaf_of(p)));
  return out;
}

Surroundings::Surroundings(const TapeData& tape) : draws_(tape.draws), scope_(tape.scope), bindings_(tape.bindings) {}

std::vector<Tensor> Surroundings::run(TapeData& tape, const std::function<std::vector<Tensor>()>& f) const {
  struct Restore {
    TapeData& tape;
    std::uint32_t draws, scope;
    bool recording;
    TapeData::Bindings bindings;
    ~Restore() {
      tape.draws = draws;
      tape.scope = scope;
      tape.recording_gradients = recording;
      tape.bindings.swap(bindings);
    }
  } const restore{tape, tape.draws, tape.scope, tape.recording_gradients, tape.bindings};
  tape.draws = draws_;
  tape.scope = scope_;
  tape.recording_gradients = true;
  tape.bindings = bindings_;
  return f();
}

namespace {

// Leaves that read nothing: with values, where there are values.
std::vector<Tensor> fresh_leaves(TapeData& tape, std::span<const Tensor> like) {
  std::vector<Tensor> out;
  for (const Tensor& t : like) {
    if (tape.options.trace) {
      out.push_back(tape.tensor(tape.leaf(op_info<Input>(), Role::input, t.shape(), t.dtype(), true)));
    } else {
      out.push_back(tape.owner->constant(t.value()));
      tape.nodes[tape.id(out.back())].needs_grad = true;
    }
  }
  return out;
}

}  // namespace

Again::Again(std::string_view name, Tape& tape, Function f, std::span<const Tensor> arguments)
    : name_(name), tape_(tape.data()), f_(std::move(f)), surroundings_(tape_) {
  const TapeMark before = tape.mark();
  for (const Tensor& t : f_(fresh_leaves(tape_, arguments))) shapes_.push_back(t.shape());
  inputs_ = forget_and_name_inputs(tape_, before);
  if (tape_.in_section) keep_as_data(arguments);
}

void Again::keep_as_data(std::span<const Tensor> arguments) {
  const std::uint32_t draws = tape_.draws;
  const auto section = std::make_shared<Section>(*tape_.owner);
  std::vector<Tensor> placeholders;
  for (const Tensor& t : arguments) placeholders.push_back(section->placeholder(t.shape(), t.dtype(), true));
  section->end(f_(placeholders));
  tape_.draws = draws;
  inputs_.clear();  // now also those that no gradient reaches: they are one example's as well
  for (const Tensor& t : section->outside()) {
    place_.push_back(is_real(t.dtype()) ? static_cast<Index>(inputs_.size()) : -1);
    if (is_real(t.dtype())) inputs_.push_back(t);
  }
  section_ = section;
}

std::vector<Tensor> Again::operator()(std::span<const Tensor> arguments, std::span<const Tensor> inputs) const {
  if (section_ == nullptr) return surroundings_.run(tape_, [&] { return f_(arguments); });
  std::vector<Tensor> outside;
  for (std::size_t i = 0; i < place_.size(); ++i) {
    const Tensor& own = section_->outside()[i];
    if (place_[i] < 0 && !own.valid())
      throw tape_.owner->error(name_, "the gradient is taken outside of vmap, and the function uses indices of one " +
                                          std::string("example: take it within"));
    outside.push_back(place_[i] < 0 ? own : inputs[static_cast<std::size_t>(place_[i])]);
  }
  return section_->again(arguments, outside);
}

std::vector<Tensor> negated(std::span<const Tensor> x) {
  std::vector<Tensor> out;
  for (const Tensor& t : x) out.push_back(rw::record(Negative{}, {t}));
  return out;
}
std::vector<Array> arrays_of(std::span<const Tensor> x) {
  std::vector<Array> out;
  for (const Tensor& t : x) out.push_back(t.array());
  return out;
}
std::vector<Tensor> constants(Tape& tape, std::span<const Array> values) {
  std::vector<Tensor> out;
  for (const Array& a : values) out.push_back(tape.constant(a));
  return out;
}

}  // namespace rw::detail
