#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include <rewind/autograd/detail/tape_data.h>
#include <rewind/autograd/detail/trace_reads.h>
#include <rewind/core/error.h>

namespace rw {
namespace detail {

TapeMark TapeData::mark() const {
  return {.nodes = static_cast<NodeId>(nodes.size()),
          .stamp = nodes.empty() ? 0 : nodes.back().stamp,
          .values = values.mark(),
          .records = records.mark(),
          .scope = scope,
          .scopes = static_cast<std::uint32_t>(scopes.size()),
          .draws = draws,
          .rules = static_cast<std::uint32_t>(rules.size()),
          .slot = slot->number};
}

void TapeData::forget_gradients(NodeId from) {
  for (std::size_t i = from; i < gradients.size(); ++i)
    if (gradients[i] != nullptr) blocks.release(gradients[i], bytes_of(nodes[i].shape, nodes[i].dtype));
  if (gradients.size() > from) gradients.resize(from);
}

void TapeData::truncate(const TapeMark& mark) {
  released.forget();
  forget_gradients(mark.nodes);
  forget_nodes(mark);
}

bool TapeData::forgets_an_update(const TapeMark& mark) const {
  return gradients_taken && std::any_of(leaves.begin(), leaves.end(), [&](const ReadParameter& leaf) {
           return leaf.node >= mark.nodes && leaf.version != leaf.parameter->version;
         });
}

void TapeData::forget_nodes(const TapeMark& mark) {
  if (!leaves.empty() && leaves.back().node >= mark.nodes) {
    while (!leaves.empty() && leaves.back().node >= mark.nodes) leaves.pop_back();
    std::fill(leaf_index.begin(), leaf_index.end(), no_node);
    for (std::size_t i = 0; i < leaves.size(); ++i)
      *leaf_slot(leaves[i].parameter.get()) = static_cast<std::uint32_t>(i);
  }
  nodes.resize(mark.nodes);
  values.rewind(mark.values);
  records.rewind(mark.records);
  if (random_key != no_node && random_key >= mark.nodes) random_key = no_node;
}

std::string TapeData::where(std::uint32_t s) const {
  const std::string path = owner->scope_path(s);
  return path.empty() ? "" : ", in " + path;
}

std::string TapeData::describe(NodeId id) const {
  const Node& n = nodes[id];
  std::string label;
  if (n.role == Role::parameter) label = " '" + leaves[n.parameter].parameter->name + "'";
  return fmt::format("[{}]{} {} (node {}){}", n.info->name, label, n.shape.str(), id, where(n.scope));
}

void TapeData::throw_no_value(NodeId id) const {
  const char* why = "its value was released by backward: mark it with tape.keep() before";
  if (in_section)
    why =
        "its value was asked for within vmap or a Jacobian, where it stands for many: compute what depends on it with "
        "ops "
        "(where, maximum, ...)";
  else if (options.trace)
    why =
        "its value was asked for while compile traces, when there are no values: return it as an output, or compute "
        "what depends on it with ops (where, maximum, ...); a branch or a loop that depends on a value is cond or "
        "while_loop (ops/control_flow.h)";
  else if (lazy && id >= rule_nodes)
    why = "it has no value while its gradient rule runs: compute what depends on it with ops (where, maximum, ...)";
  throw Error(describe(id) + ": " + why);
}

}  // namespace detail

using detail::TapeData;

Tape::Tape(TapeOptions options) : data_(std::make_unique<TapeData>(this, options)) { data_->step = options.step; }
Tape::~Tape() = default;
Tape::Tape(Tape&& other) noexcept : data_(std::move(other.data_)) {
  if (data_) data_->owner = this;
}
Tape& Tape::operator=(Tape&& other) noexcept {
  data_ = std::move(other.data_);
  if (data_) data_->owner = this;
  return *this;
}
detail::TapeData& Tape::throw_moved_from() { throw Error("this tape was moved from: use the one it was moved to"); }

namespace {

NodeId copied_leaf(TapeData& d, const OpInfo& info, ConstView array, bool needs_grad) {
  if (needs_grad && !is_real(array.dtype)) throw Error("a variable must be f32 or f64, not indices (i32)");
  const DType dtype = is_real(array.dtype) ? d.options.dtype : DType::i32;
  const NodeId id = d.leaf(info, needs_grad ? Role::input : Role::constant, array.shape, dtype, needs_grad);
  Node& n = d.nodes[id];
  n.data = d.values.allocate(detail::bytes_of(array.shape, dtype));
  n.owns_data = true;
  copy(array, contiguous_view(n.data, n.shape, n.dtype));
  return id;
}

}  // namespace

Tensor Tape::constant(ConstView array) { return data().tensor(copied_leaf(data(), op_info<Constant>(), array, false)); }
Tensor Tape::constant(double value, const Shape& shape) {
  const Fill fill{shape, value};
  const NodeId id = data().append(op_info<Fill>(), &fill, {}, shape, data().options.dtype);
  data().nodes[id].role = Role::constant;
  if (!data().options.trace && !data().lazy) data().evaluate(id);
  return data().tensor(id);
}
Tensor Tape::variable(ConstView array) { return data().tensor(copied_leaf(data(), op_info<Variable>(), array, true)); }
Tensor Tape::resolve(const Operand& x) { return data().tensor(data().resolve(x)); }
Tensor Tape::leaf(const Parameter& parameter) { return data().tensor(data().leaf_of(parameter)); }
Tensor Tape::input(const Shape& shape, DType dtype) {
  if (!data().options.trace) throw Error("tape.input() is for tracing: use constant() or variable()");
  return data().tensor(data().leaf(op_info<Input>(), Role::input, shape, dtype, is_real(dtype)));
}
Tensor Tape::record(const OpInfo& info, const void* op, const detail::Operands& inputs) {
  return data().record(info, op, inputs);
}

namespace {

// What a tape that is traced does not do.
void refuse_while_traced(const TapeData& d, const char* what) {
  if (d.options.trace) detail::refuse_in_trace(what);
}

}  // namespace

void Tape::clear() {
  TapeData& d = data();
  refuse_while_traced(d, "clear() is called on its tape");
  if (d.lazy || d.origin != no_node) throw Error("clear() cannot be called from a gradient rule");
  set_step(next_step());
  d.truncate({});
  d.effects.clear();
  d.draws = 0;
  d.rules.clear();
  d.blocks.reset();
  d.has_released = false;
  d.scopes.resize(d.scope + 1);  // the open ones and what came before them
}
TapeMark Tape::mark() const { return data().mark(); }
void Tape::rewind(const TapeMark& mark) {
  TapeData& d = data();
  if (d.lazy || d.origin != no_node) throw Error("rewind() cannot be called from a gradient rule");
  if (mark.slot != d.slot->number) throw Error("rewind: the mark is of another tape");
  if (mark.nodes > d.nodes.size() || (mark.nodes > 0 && d.nodes[mark.nodes - 1].stamp != mark.stamp))
    throw Error("rewind: the tape was cleared or rewound past this mark");
  for (const auto& [parameter, gradient] : d.effects)
    if (gradient >= mark.nodes)
      throw Error("rewind: backward was traced after the mark; the gradient of '" + parameter->name +
                  "' would be forgotten");
  if (d.forgets_an_update(mark)) set_step(next_step());
  d.truncate(mark);
  d.draws = mark.draws;
  if (mark.rules < d.rules.size()) d.rules.resize(mark.rules);
  const auto scopes = std::max<std::size_t>(mark.scopes, d.scope + 1);  // those of nodes, and the open ones
  if (scopes < d.scopes.size()) d.scopes.resize(scopes);
}

void Tape::substitute(const Parameter& parameter, Array value) {
  if (value.shape() != parameter.shape())
    throw Error("substitute: parameter '" + parameter.name() + "' has shape " + parameter.shape().str() + ", not " +
                value.shape().str());
  refuse_while_traced(data(), "substitute() is called on its tape");
  restore(parameter);
  data().substitutes.emplace_back(parameter.data(), std::move(value));
}
void Tape::restore(const Parameter& parameter) {
  std::erase_if(data().substitutes, [&](const auto& s) { return s.first == parameter.data(); });
}

void Tape::keep(Tensor t) { data().nodes[data().id(t)].keep = true; }

bool Tape::has_grad(Tensor t) const {
  const NodeId i = data().id(t);
  return i < data().gradients.size() && data().gradients[i] != nullptr;
}
ConstView Tape::grad(Tensor t) const {
  const NodeId i = data().id(t);
  if (has_grad(t))
    return contiguous_view(const_cast<const void*>(data().gradients[i]), data().nodes[i].shape, data().nodes[i].dtype);
  const char* why = !data().nodes[i].needs_grad ? "it needs no gradient (a constant, or recorded under NoGrad)"
                    : data().gradients.empty()  ? "no backward has kept one: call backward(loss, {.keep_grads = true})"
                                                : "the last backward did not reach it, or did not keep it (call "
                                                  "backward with {.keep_grads = true}, or tape.keep(t) before it)";
  throw Error(data().describe(i) + ": no gradient: " + why);
}

void Tape::check_finite() const {
  refuse_while_traced(data(), "check_finite() is called, and there are no values,");
  const auto finite = [](ConstView v) {
    return visit_real(v.dtype, [&]<class T>() {
      for (Index r = 0; r < v.rows(); ++r) {
        const T* row = v.as<T>() + r * v.stride;
        if (!std::all_of(row, row + v.cols(), [](T e) { return std::isfinite(e); })) return false;
      }
      return true;
    });
  };
  for (NodeId i = 0; i < size(); ++i) {
    const Node& n = node(i);
    if (n.data != nullptr && is_real(n.dtype) && !finite(n.value()))
      throw Error(data().describe(i) + ": the first value that is nan or infinite");
  }
  for (NodeId i = static_cast<NodeId>(data().gradients.size()); i-- > 0;)
    if (data().gradients[i] != nullptr && !finite(grad(tensor(i))))
      throw Error(data().describe(i) + ": the first gradient that is nan or infinite");
}

DType Tape::dtype() const { return data().options.dtype; }
bool Tape::tracing() const { return data().options.trace; }
NodeId Tape::size() const { return static_cast<NodeId>(data().nodes.size()); }
const Node& Tape::node(NodeId id) const {
  if (id >= size()) throw Error(fmt::format("no node {} on a tape of {}", id, size()));
  return data().nodes[id];
}
Tensor Tape::tensor(NodeId id) const {
  if (id >= size()) throw Error(fmt::format("no node {} on a tape of {}", id, size()));
  return data().tensor(id);
}
NodeId Tape::id(Tensor t) const { return data().id(t); }
const std::shared_ptr<Parameter::Data>& Tape::parameter_of(const Node& node) const {
  if (node.role != Role::parameter) throw Error("not a parameter leaf");
  return data().leaves[node.parameter].parameter;
}
bool Tape::recording_gradients() const { return data().recording_gradients; }
void Tape::set_recording_gradients(bool on) { data().recording_gradients = on; }

void Tape::open_scope(std::string_view name) { open_scope(name, -1); }
void Tape::open_scope(std::string_view name, Index number) {
  TapeData& d = data();
  auto known = d.scope_ids.find(name);
  if (known == d.scope_ids.end()) {
    known = d.scope_ids.emplace(std::string(name), static_cast<std::uint32_t>(d.scope_names.size())).first;
    d.scope_names.emplace_back(name);
  }
  d.scopes.push_back({d.scope, known->second, number});
  d.scope = static_cast<std::uint32_t>(d.scopes.size() - 1);
}
void Tape::close_scope() {
  if (data().scope == 0) throw Error("close_scope: no scope is open");
  data().scope = data().scopes[data().scope].parent;
}
std::uint32_t Tape::scope_parent(std::uint32_t scope) const { return data().scopes[scope].parent; }
std::string Tape::scope_path(std::uint32_t scope) const {
  std::vector<std::string> names;
  for (; scope != 0; scope = data().scopes[scope].parent) {
    const TapeData::ScopeEntry& s = data().scopes[scope];
    const std::string& name = data().scope_names[s.name];
    names.push_back(s.number < 0 ? name : fmt::format("{}={}", name, s.number));
  }
  std::string path;
  for (auto name = names.rbegin(); name != names.rend(); ++name) path += (path.empty() ? "" : "/") + *name;
  return path;
}
std::string Tape::describe(NodeId id) const { return data().describe(id); }
Error Tape::error(std::string_view op, const std::string& reason) const {
  return Error(fmt::format("[{}] {}{}", op, reason, data().where(data().scope)));
}

namespace {

const TapeData& read_key(const TapeData& d) {
  if (d.options.trace && detail::active_trace != nullptr) detail::active_trace->key();
  return d;
}

}  // namespace

std::uint64_t Tape::seed() const { return read_key(data()).options.seed; }
std::uint64_t Tape::step() const { return read_key(data()).step; }
std::uint64_t Tape::next_step() const {
  const TapeData& d = read_key(data());
  return d.step + (d.gradients_taken ? 1 : 0);
}
void Tape::set_seed(std::uint64_t seed) {
  refuse_while_traced(data(), "set_seed() is called on its tape, and not on the compiled function,");
  data().options.seed = seed;
  data().random_key = no_node;
}
void Tape::set_step(std::uint64_t step) {
  refuse_while_traced(data(), "set_step() is called on its tape, and not on the compiled function,");
  data().step = step;
  data().gradients_taken = false;
  data().random_key = no_node;
}
std::uint32_t Tape::next_draw() { return data().draws++; }
void Tape::set_draw(std::uint32_t next) { data().draws = next; }
Tensor Tape::random_key() {
  TapeData& d = data();
  if (d.random_key == no_node) {
    d.random_key = d.leaf(op_info<RandomKey>(), Role::input, Shape{4}, DType::i32, false);
    if (!d.options.trace) {
      const std::uint64_t words[] = {d.options.seed, d.step};
      Node& n = d.nodes[d.random_key];
      n.data = d.values.allocate(sizeof words);
      n.owns_data = true;
      std::memcpy(n.data, words, sizeof words);
    }
  }
  return d.tensor(d.random_key);
}

Tape::Memory Tape::memory() const {
  const TapeData& d = data();
  return {.values = d.values.stacked() - d.released.bytes(),
          .gradients = d.blocks.live(),
          .peak = d.values.stacked_peak() + d.blocks.peak(),
          .reserved = d.values.reserved() + d.records.reserved() + d.blocks.reserved()};
}
void Tape::reset_peak() {
  data().values.reset_peak();
  data().blocks.reset_peak();
}

Scope::Scope(Tape& tape, std::string_view name) : tape_(tape.data()) { tape.open_scope(name); }
Scope::Scope(Tape& tape, std::string_view name, Index number) : tape_(tape.data()) { tape.open_scope(name, number); }
Scope::~Scope() {
  if (tape_.scope != 0) tape_.scope = tape_.scopes[tape_.scope].parent;  // none is left when close_scope() was called
}

NoGrad::NoGrad(Tape& tape) : tape_(tape.data()), before_(tape.recording_gradients()) {
  tape_.recording_gradients = false;
}
NoGrad::~NoGrad() { tape_.recording_gradients = before_; }

Tensor detach(Operand x) { return record(Detach{}, {x}); }

}  // namespace rw
