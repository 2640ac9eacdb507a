#include <algorithm>
#include <cstring>

#include <rewind/autograd/detail/tape_data.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/transform/section.h>
#include <rewind/autograd/vmap_rule.h>
#include <rewind/core/error.h>

namespace rw::detail {

void forget_since(Tape& tape, const TapeMark& mark) { tape.data().truncate(mark); }

Section::Section(Tape& tape)
    : tape_(tape.data()),
      before_(tape.mark()),
      base_(tape.size()),
      traced_(tape.tracing()),
      in_section_(tape.data().in_section) {
  if (tape_.lazy) throw Error("a transform cannot be called from a gradient rule");
  tape_.options.trace = tape_.in_section = true;
}

Section::~Section() {
  if (ended_) return;
  tape_.options.trace = traced_;
  tape_.in_section = in_section_;
  tape_.truncate(before_);
  tape_.draws = before_.draws;
}

Tensor Section::placeholder(const Shape& shape, DType dtype, bool needs_grad) {
  placeholders_.push_back(tape_.leaf(op_info<Input>(), Role::input, shape, dtype, needs_grad));
  return tape_.tensor(placeholders_.back());
}

void Section::keep(NodeId id) {
  const Node& n = tape_.nodes[id];
  Item item;
  item.info = n.info;
  item.in.assign(n.in().begin(), n.in().end());
  item.shape = n.shape;
  item.role = n.role;
  item.scope = n.scope;
  item.origin = n.origin;
  item.op = n.op;  // without attributes: the same for all
  if (n.info->attribute_size > 0) {
    void* copy = attributes_.allocate(n.info->attribute_size);
    std::memcpy(copy, n.op, n.info->attribute_size);
    item.op = copy;
  }
  const auto argument = std::find(placeholders_.begin(), placeholders_.end(), id);
  if (argument != placeholders_.end()) item.argument = argument - placeholders_.begin();
  if (n.role == Role::parameter) item.parameter = tape_.leaves[n.parameter].parameter;
  const bool copied = n.info == &op_info<Constant>() || n.info == &op_info<Variable>();
  if (copied) {
    item.constant = static_cast<Index>(constants_.size());
    constants_.emplace_back(n.value());
  }
  items_.push_back(std::move(item));
}

void Section::end(std::span<const Tensor> outputs) {
  for (const Tensor& t : outputs) outputs_.push_back(tape_.id(t));
  for (NodeId i = base_; i < tape_.nodes.size(); ++i) keep(i);
  name_outside();
  tape_.options.trace = traced_;
  tape_.in_section = in_section_;
  tape_.truncate(before_);
  ended_ = true;
}

void Section::name_outside() {
  const auto name = [&](NodeId id) {
    if (id < base_ && place_outside_.emplace(id, outside_.size()).second) outside_.push_back(tape_.tensor(id));
  };
  for (const Item& item : items_) std::for_each(item.in.begin(), item.in.end(), name);
  std::for_each(outputs_.begin(), outputs_.end(), name);
}

std::vector<bool> Section::needed() const {
  std::vector<bool> needed(items_.size());
  const auto want = [&](NodeId id) {
    if (id >= base_) needed[id - base_] = true;
  };
  for (NodeId o : outputs_) want(o);
  for (std::size_t i = items_.size(); i-- > 0;)
    if (needed[i])
      for (NodeId in : items_[i].in) want(in);
  return needed;
}

Tensor Section::record_leaf(const Item& item) const {
  if (item.constant >= 0) return tape_.owner->constant(constants_[static_cast<std::size_t>(item.constant)]);
  if (item.parameter != nullptr) return tape_.tensor(tape_.leaf_of(item.parameter));
  if (item.info == &op_info<RandomKey>()) return tape_.owner->random_key();
  if (item.info == &op_info<Fill>()) return tape_.owner->constant(static_cast<const Fill*>(item.op)->value, item.shape);
  throw Error("[vmap] an input '" + std::string(item.info->name) + "' without a value");
}

std::vector<Tensor> Section::replay(Index size, std::span<const Tensor> arguments) const {
  const std::vector<bool> wanted = needed();
  std::vector<Vmap::Input> made(items_.size());
  const auto input = [&](NodeId id) { return id < base_ ? Vmap::Input{tape_.tensor(id), false} : made[id - base_]; };
  const std::uint32_t scope = tape_.scope;
  const NodeId origin = tape_.origin;
  struct Restore {
    TapeData& tape;
    std::uint32_t scope;
    NodeId origin;
    ~Restore() { tape.scope = scope, tape.origin = origin; }
  } const restore{tape_, scope, origin};
  std::vector<Vmap::Input> in;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (!wanted[i]) continue;
    const Item& item = items_[i];
    tape_.scope = item.scope;
    tape_.origin = item.origin == no_node ? origin : std::min(item.origin, base_ - (base_ > 0 ? 1 : 0));
    if (item.argument >= 0) {
      made[i] = {arguments[static_cast<std::size_t>(item.argument)], true};
      continue;
    }
    if (item.in.empty()) {
      made[i] = {record_leaf(item), false};
      continue;
    }
    in.clear();
    for (NodeId id : item.in) in.push_back(input(id));
    const bool batched = std::any_of(in.begin(), in.end(), [](const Vmap::Input& x) { return x.batched; });
    if (batched) {
      made[i] = {Vmap::run(*tape_.owner, *item.info, item.op, size, in), true};
    } else {
      std::vector<Operand> same;
      same.reserve(in.size());
      for (const Vmap::Input& x : in) same.emplace_back(x.x);
      made[i] = {tape_.owner->record(*item.info, item.op, same), false};
    }
  }
  std::vector<Tensor> out;
  for (NodeId o : outputs_) {
    const Vmap::Input y = input(o);
    out.push_back(y.batched ? y.x : Vmap(*tape_.owner, op_info<BroadcastTo>(), nullptr, size, {&y, 1}).all(0));
  }
  return out;
}

std::vector<Tensor> Section::again(std::span<const Tensor> arguments, std::span<const Tensor> inputs) const {
  const std::vector<bool> wanted = needed();
  std::vector<Tensor> made(items_.size());
  const auto input = [&](NodeId id) { return id < base_ ? inputs[place_outside_.at(id)] : made[id - base_]; };
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (!wanted[i]) continue;
    const Item& item = items_[i];
    if (item.argument >= 0) {
      made[i] = arguments[static_cast<std::size_t>(item.argument)];
    } else if (item.in.empty()) {
      made[i] = record_leaf(item);
    } else {
      std::vector<Operand> in;
      for (NodeId id : item.in) in.emplace_back(input(id));
      made[i] = tape_.owner->record(*item.info, item.op, in);
    }
  }
  std::vector<Tensor> out;
  for (NodeId o : outputs_) out.push_back(input(o));
  return out;
}

std::vector<Tensor> real_ones(std::span<const Tensor> all) {
  std::vector<Tensor> out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out), [](const Tensor& t) { return is_real(t.dtype()); });
  return out;
}

std::vector<Tensor> map_examples(Tape& tape, Index size, std::span<const Tensor> arguments,
                                 const std::function<std::vector<Tensor>(std::span<const Tensor>)>& f) {
  Section section(tape);
  std::vector<Tensor> placeholders;
  for (const Tensor& t : arguments)
    placeholders.push_back(section.placeholder(t.shape().without(0), t.dtype(), is_real(t.dtype())));
  section.end(f(placeholders));
  return section.replay(size, arguments);
}

}  // namespace rw::detail
