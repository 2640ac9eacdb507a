#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include <rewind/autograd/attributes.h>
#include <rewind/autograd/detail/tape_data.h>
#include <rewind/autograd/transform/own_rule.h>
#include <rewind/autograd/vmap_rule.h>
#include <rewind/core/error.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/control_flow.h>
#include <rewind/ops/view.h>

namespace rw::detail {
namespace {

/// Input 0 as it is; its gradient is 0 where input 1, which broadcasts to it, is 0, whatever flows back. What a branch
/// takes from outside passes through one, so that nan stays within the branch.
struct Gate {
  static constexpr std::string_view name = "gate";
  static constexpr int arity = 2;
  static constexpr bool same_value = true;
  static constexpr bool strided_inputs = true;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  bool alias(ConstView x, ConstView& y) const {
    y = x;
    return true;
  }
  void eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }
  void vjp(Vjp& g) const { g.add(0, where(g.x(1), g.dy(), 0)); }
  Tensor vmap(Vmap& v) const {
    return rw::record(Gate{},
                      {v.all(0), v.batched(1) ? reshape(v.x(1), v.many(v.shape(1), v.shape(0).rank())) : v.x(1)});
  }
};

/// A call of cond, while_loop or scan: unless it ends well, the tape is as it was.
class ControlFlow {
 public:
  ControlFlow(std::string_view name, const Tensor& x)
      : name_(name), tape_(TapeData::of(x)), before_(tape_.mark()), effects_(tape_.effects.size()) {
    tape_.owner->open_scope(name);
  }
  ~ControlFlow() {
    tape_.scope = before_.scope;
    if (kept_) return;
    tape_.truncate(before_);
    tape_.draws = before_.draws;
    if (before_.rules < tape_.rules.size()) tape_.rules.resize(before_.rules);
    if (effects_ < tape_.effects.size()) tape_.effects.resize(effects_);
  }
  ControlFlow(const ControlFlow&) = delete;
  ControlFlow& operator=(const ControlFlow&) = delete;

  TapeData& data() { return tape_; }
  Tape& tape() { return *tape_.owner; }
  Error error(const std::string& reason) const { return tape_.owner->error(name_, reason); }
  /// Whether there are values to decide by.
  bool decides() const { return !tape_.options.trace && !tape_.lazy; }
  Tensors keep(Tensors y) {
    kept_ = true;
    return y;
  }

  /// The predicate as a scalar.
  Tensor scalar(const Tensor& predicate) const {
    const Shape shape = predicate.shape();
    if (shape.size() != 1 || !is_real(predicate.dtype()))
      throw error(fmt::format("the predicate must be one number, not {}{}: reduce it, as by max(mask)", shape.str(),
                              is_real(predicate.dtype()) ? "" : " of indices"));
    return shape.rank() == 0 ? predicate : reshape(predicate, Shape{});
  }

  /// Throws Error unless `after` has as many tensors as `before`, of the same shapes and types.
  void check_same(std::span<const Tensor> before, std::span<const Tensor> after, const std::string& who) const {
    if (before.size() != after.size())
      throw error(fmt::format("{} gives {} tensors, not {}", who, after.size(), before.size()));
    for (std::size_t i = 0; i < before.size(); ++i) {
      const Tensor &a = before[i], &b = after[i];
      if (a.shape() != b.shape() || a.dtype() != b.dtype())
        throw error(fmt::format("{} gives {} {} as tensor {}, not {} {}", who, name_of(b.dtype()), b.shape().str(), i,
                                name_of(a.dtype()), a.shape().str()));
    }
  }

  /// f(), whose draws are numbered apart: those of what runs or does not run after it stay the same. The numbers of two
  /// parts may overlap by chance, in one of 400 programs of a thousand parts with ten draws each.
  template <class F>
  auto apart(Index part, F&& f) {
    const std::uint32_t draws = tape_.draws;
    const std::uint64_t h = mix(mix(draws, static_cast<std::uint64_t>(part)), 0x5851f42d4c957f2dull);
    tape_.draws = static_cast<std::uint32_t>(h >> 32) | 0x80000000u;  // the upper half: not where programs begin
    auto y = f();
    tape_.draws = draws;
    return y;
  }

  /// f() as it counts where `mask` is not 0: what it takes from outside has no gradient elsewhere.
  Tensors gated(const Tensor& mask, Index part, const FlatBranch& f);
  /// a where the mask is not 0, b elsewhere.
  Tensors choose(const Tensor& mask, std::span<const Tensor> a, std::span<const Tensor> b) const;

 private:
  std::string name_;
  TapeData& tape_;
  TapeMark before_;
  std::size_t effects_;
  bool kept_ = false;
};

/// Records nodes again, with a gate between them and what they take from outside. The first recording is left to those
/// who leave out what nobody needs. A rule of its own, as that of fixed_point, may hold handles of the first recording:
/// where there is one, all stays as it was recorded, and only `choose` keeps cotangents out.
class Gates {
 public:
  Gates(TapeData& tape, const Tensor& mask, NodeId from) : tape_(tape), mask_(mask), from_(from) {}

  Tensors run(std::span<const Tensor> outputs) {
    const auto end = static_cast<NodeId>(tape_.nodes.size());
    for (NodeId i = from_; i < end; ++i)
      if (tape_.nodes[i].info == &op_info<OwnRule>()) return {outputs.begin(), outputs.end()};
    now_.resize(end - from_, no_node);
    struct Restore {
      TapeData& tape;
      std::uint32_t scope;
      NodeId origin;
      ~Restore() { tape.scope = scope, tape.origin = origin; }
    } const restore{tape_, tape_.scope, tape_.origin};
    for (NodeId i = from_; i < end; ++i) now_[i - from_] = again(i);
    Tensors y;
    for (const Tensor& t : outputs) {
      const NodeId id = tape_.id(t);
      y.push_back(id < from_ ? t : tape_.tensor(now_[id - from_]));
    }
    return y;
  }

 private:
  NodeId again(NodeId i) {
    if (tape_.nodes[i].role != Role::op || tape_.nodes[i].arity == 0) return i;
    std::vector<Operand> in;
    bool same = true;
    for (std::uint32_t k = 0; k < tape_.nodes[i].arity; ++k) {
      const NodeId old = tape_.nodes[i].input[k], now = input(old);
      same = same && old == now;
      in.emplace_back(tape_.tensor(now));
    }
    if (same) return i;
    const Node n = tape_.nodes[i];
    tape_.scope = n.scope;
    tape_.origin = n.origin;
    const NodeId copy = tape_.id(tape_.owner->record(*n.info, n.op, in));
    tape_.nodes[copy].needs_grad = n.needs_grad;  // it may have been recorded under NoGrad
    return copy;
  }

  NodeId input(NodeId id) {
    const Node& n = tape_.nodes[id];
    if (id >= from_ && n.role != Role::parameter) return now_[id - from_];
    if (!n.needs_grad) return id;
    const auto [at, is_new] = gates_.emplace(id, no_node);
    if (is_new) at->second = tape_.id(rw::record(Gate{}, {tape_.tensor(id), mask_}));
    return at->second;
  }

  TapeData& tape_;
  Tensor mask_;
  NodeId from_;
  std::vector<NodeId> now_;
  std::unordered_map<NodeId, NodeId> gates_;
};

Tensors ControlFlow::gated(const Tensor& mask, Index part, const FlatBranch& f) {
  const auto from = static_cast<NodeId>(tape_.nodes.size());
  const std::size_t effects = tape_.effects.size();
  const Tensors y = apart(part, f);
  if (tape_.effects.size() != effects)
    throw error(
        "backward is called within, and would add to gradients though this may not count: call it outside, or take "
        "gradients with grad");
  return tape_.recording_gradients ? Gates(tape_, mask, from).run(y) : y;
}

Tensors ControlFlow::choose(const Tensor& mask, std::span<const Tensor> a, std::span<const Tensor> b) const {
  Tensors y;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!a[i].same(b[i]) && !is_real(a[i].dtype()))
      throw error(fmt::format("tensor {} is indices (i32), and without values only real numbers can be chosen", i));
    y.push_back(a[i].same(b[i]) ? a[i] : where(mask, a[i], b[i]));
  }
  return y;
}

Tensor first_of(std::string_view name, std::string_view what, std::span<const Tensor> all) {
  if (all.empty()) throw Error(fmt::format("[{}] {} has no Tensor", name, what));
  return all[0];
}

}  // namespace

Tensors cond(const Tensor& predicate, const FlatBranch& f, const FlatBranch& g) {
  ControlFlow flow("cond", predicate);
  const Tensor mask = flow.scalar(predicate);
  if (flow.decides()) {
    Tensors y = flow.apart(0, mask.item() != 0 ? f : g);
    ++flow.data().draws;
    return flow.keep(std::move(y));
  }
  const Tensors b = flow.gated(logical_not(mask), 0, g), a = flow.gated(mask, 0, f);
  ++flow.data().draws;
  flow.check_same(a, b, "the second branch");
  return flow.keep(flow.choose(mask, a, b));
}

namespace {

// The predicate before step t, as a scalar.
Tensor asked(ControlFlow& flow, Index t, const FlatPredicate& predicate, std::span<const Tensor> x) {
  return flow.scalar(flow.apart(-1 - t, [&] { return predicate(x); }));
}

// Its value; it leaves nothing on the tape.
bool goes_on(ControlFlow& flow, Index t, const FlatPredicate& predicate, std::span<const Tensor> x) {
  const TapeMark before = flow.data().mark();
  const bool holds = asked(flow, t, predicate, x).item() != 0;
  flow.data().forget_nodes(before);
  return holds;
}

// What each step does but choose.
Tensors step_of(ControlFlow& flow, Index t, std::span<const Tensor> x, const std::function<Tensors()>& f) {
  const Scope scope(flow.tape(), "t", t);
  Tensors next = f();
  flow.check_same(x, next, fmt::format("step {}", t));
  return next;
}

}  // namespace

Tensors while_loop(const FlatPredicate& predicate, const FlatStep& f, std::span<const Tensor> init,
                   const WhileOptions& options) {
  ControlFlow flow("while_loop", first_of("while_loop", "the state", init));
  if (options.at_most < 0) throw flow.error("say how many steps there may be: {.at_most = n}; a plan computes as many");
  Tensors x(init.begin(), init.end());
  if (flow.decides()) {
    for (Index t = 0; t < options.at_most && goes_on(flow, t, predicate, x); ++t)
      x = step_of(flow, t, x, [&] { return flow.apart(t, [&] { return f(x); }); });
  } else {
    Tensor mask;
    for (Index t = 0; t < options.at_most; ++t) {
      const Tensor holds = asked(flow, t, predicate, x);
      mask = t == 0 ? holds : logical_and(mask, holds);
      const Tensors next = step_of(flow, t, x, [&] { return flow.gated(mask, t, [&] { return f(x); }); });
      x = flow.choose(mask, next, x);
    }
  }
  ++flow.data().draws;
  return flow.keep(std::move(x));
}

namespace {

Index steps_of(const ControlFlow& flow, std::span<const Tensor> xs) {
  for (const Tensor& x : xs)
    if (x.shape().rank() == 0) throw flow.error("a scalar is no sequence: the first axis is that of the steps");
  for (const Tensor& x : xs)
    if (x.size(0) != xs[0].size(0))
      throw flow.error(fmt::format("the sequences have {} and {} steps", xs[0].size(0), x.size(0)));
  return xs[0].size(0);
}

void check_step(const ControlFlow& flow, std::span<const Tensor> state, std::span<const Tensor> y, Index t) {
  flow.check_same(state, y.first(std::min(state.size(), y.size())), fmt::format("step {}", t));
}

// Outputs of no steps, in the shapes that zeros give.
Tensors no_outputs(ControlFlow& flow, const FlatScanStep& f, std::span<const Tensor> init, std::span<const Tensor> xs) {
  Tape& tape = flow.tape();
  const TapeMark before = tape.mark();
  Tensors zeros;
  for (const Tensor& x : xs) {
    Array zero(x.shape().without(0), x.dtype());
    zero.fill(0);
    zeros.push_back(tape.constant(zero));
  }
  const Tensors y = f(init, zeros);
  check_step(flow, init, y, 0);
  std::vector<Array> empty;
  for (std::size_t i = init.size(); i < y.size(); ++i) empty.emplace_back(y[i].shape().inserted(0, 0), y[i].dtype());
  flow.data().forget_nodes(before);
  flow.data().draws = before.draws;
  Tensors out(init.begin(), init.end());
  for (const Array& a : empty) out.push_back(tape.constant(a));
  return out;
}

}  // namespace

Tensors scan(const FlatScanStep& f, std::span<const Tensor> init, std::span<const Tensor> xs,
             const ScanOptions& options) {
  ControlFlow flow("scan", first_of("scan", "what it goes over", xs));
  const Index steps = steps_of(flow, xs);
  if (steps == 0) return flow.keep(no_outputs(flow, f, init, xs));
  Tensors state(init.begin(), init.end()), first;
  std::vector<Tensors> outputs;
  for (Index i = 0; i < steps; ++i) {
    const Index t = options.reverse ? steps - 1 - i : i;
    const Scope scope(flow.tape(), "t", t);
    Tensors at;
    for (const Tensor& x : xs) at.push_back(select(x, 0, t));
    const Tensors y = f(state, at);
    check_step(flow, state, y, t);
    if (i == 0) {
      first = y;
      outputs.assign(y.size() - state.size(), Tensors(static_cast<std::size_t>(steps)));
    }
    flow.check_same(first, y, fmt::format("step {}", t));
    std::copy_n(y.begin(), state.size(), state.begin());
    for (std::size_t k = 0; k < outputs.size(); ++k) outputs[k][static_cast<std::size_t>(t)] = y[state.size() + k];
  }
  for (const Tensors& all : outputs) state.push_back(stack(all));
  return flow.keep(std::move(state));
}

}  // namespace rw::detail
