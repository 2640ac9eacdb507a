#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/autograd/node.h>
#include <rewind/autograd/parameter.h>
#include <rewind/autograd/tensor.h>
#include <rewind/core/error.h>

namespace rw {

struct TapeOptions {
  /// Real type of every value: f32 or f64. Arrays and parameters of the other type are converted when they are used.
  DType dtype = DType::f32;
  /// Seed of keyed randomness (dropout).
  std::uint64_t seed = 0;
  /// Record shapes only and compute nothing: what `compile` does.
  bool trace = false;
};

/// A position to rewind to.
struct TapeMark {
  NodeId nodes = 0;
  std::uint64_t stamp = 0;
  Arena::Mark values, records;
  std::uint32_t scope = 0, scopes = 0, draws = 0, rules = 0;
  std::uint32_t slot = 0;  // of the tape
};

/// Owns what was recorded, in the order of recording (a Wengert list), and the memory of all values. Memory is reused:
/// a second identical step after `clear` takes nothing from the heap. Movable; handles stay valid when it moves. One
/// thread at a time may use a tape; any number of tapes may exist.
class Tape {
 public:
  /// An empty tape.
  explicit Tape(TapeOptions options = {});
  /// An empty tape of this real type.
  explicit Tape(DType dtype) : Tape(TapeOptions{.dtype = dtype}) {}
  ~Tape();
  /// Handles stay valid; the other one is empty, and using it throws Error.
  Tape(Tape&& other) noexcept;
  /// The same; what was recorded here is forgotten.
  Tape& operator=(Tape&& other) noexcept;

  /// A leaf that is no parameter: a copy of `array`, reals converted to the tape's type. No gradient.
  Tensor constant(ConstView array);
  /// A constant with every element `value`.
  Tensor constant(double value, const Shape& shape = {});
  /// A leaf like `constant` whose gradient can be asked for with `grad`.
  Tensor variable(ConstView array);
  /// The leaf of a parameter: made at its first use, the same one after that. Ops call this by themselves.
  Tensor leaf(Parameter& parameter);
  /// A placeholder without value. Throws Error unless the tape traces.
  Tensor input(const Shape& shape, DType dtype);

  /// Records an op that may have no Tensor among its inputs (see `rw::record`).
  template <class Op>
  Tensor record(const Op& op, std::initializer_list<Operand> inputs) {
    return record(op_info<Op>(), &op, detail::Operands({inputs.begin(), inputs.size()}));
  }
  /// The same without the type of the op.
  Tensor record(const OpInfo& info, const void* op, std::span<const Operand> inputs) {
    return record(info, op, detail::Operands(inputs));
  }
  /// The same, as `rw::record` calls it.
  Tensor record(const OpInfo& info, const void* op, const detail::Operands& inputs);

  /// Forgets every node; all handles become stale. Memory is kept for the next step.
  void clear();
  /// A position to rewind to.
  TapeMark mark() const;
  /// Forgets what was recorded after `mark`; handles to that become stale. Throws Error for a mark that is itself
  /// forgotten, or of another tape.
  void rewind(const TapeMark& mark);

  /// The tape's leaf of `parameter` will have this value (of the tape's type) instead of the parameter's own, until
  /// `restore`. Leaves made before stay as they are. Gradient checks perturb with it.
  void substitute(const Parameter& parameter, Array value);
  /// Ends what `substitute` began.
  void restore(const Parameter& parameter);

  /// Its value survives `release_values`, and its gradient every backward from now on, as if by `keep_grads`.
  void keep(Tensor t);
  /// The gradient that the last backward left for `t`: for any t with `{.keep_grads = true}`, and always for variables
  /// and what was marked `keep`. Throws Error, saying why, when there is none.
  ConstView grad(Tensor t) const;
  /// Whether `grad` has something to give.
  bool has_grad(Tensor t) const;
  /// Throws Error that names the first value that is nan or infinite, by op and scope; with `{.keep_grads}`, gradients
  /// too.
  void check_finite() const;

  /// The real type of all values.
  DType dtype() const;
  /// Whether shapes only are recorded.
  bool tracing() const;
  /// Number of nodes.
  NodeId size() const;
  /// Valid until the tape changes.
  const Node& node(NodeId id) const;
  /// A handle to a node.
  Tensor tensor(NodeId id) const;
  /// The node of a handle. Throws Error for a stale one, or of another tape.
  NodeId id(Tensor t) const;
  /// The parameter of a parameter leaf.
  const std::shared_ptr<Parameter::Data>& parameter_of(const Node& node) const;

  /// Whether new nodes will need a gradient; switched by `NoGrad`.
  bool recording_gradients() const;
  /// See `recording_gradients`; use NoGrad.
  void set_recording_gradients(bool on);

  /// Scopes name where a node was recorded: "lstm/t=3". `Scope` opens and closes one.
  void open_scope(std::string_view name);
  /// The same with a number: "t=3".
  void open_scope(std::string_view name, Index number);
  /// Closes the scope that was opened last.
  void close_scope();
  /// "lstm/t=3": the scopes from the outermost on.
  std::string scope_path(std::uint32_t scope) const;
  /// The scope around it; 0 is outside of all.
  std::uint32_t scope_parent(std::uint32_t scope) const;
  /// "[matmul] (32, 64) (node 7), in lstm/t=3", for messages.
  std::string describe(NodeId id) const;
  /// An Error that reads as those of `record`, for what is checked before recording: "[op] reason, in scope".
  Error error(std::string_view op, const std::string& reason) const;

  /// Keyed randomness: numbers depend on (seed, draw in program order, step) only.
  std::uint64_t seed() const;
  std::uint64_t step() const;
  /// The seed from the next draw on.
  void set_seed(std::uint64_t seed);
  /// The step from the next draw on; `clear` starts numbering draws anew.
  void set_step(std::uint64_t step);
  /// The number of the next draw; each call counts one.
  std::uint32_t next_draw();
  /// The next draw gets this number.
  void set_draw(std::uint32_t next);
  /// Seed and step as a leaf, i32 [4], input of the ops that draw.
  Tensor random_key();

  /// Bytes: values now on the tape, the most that values and gradients took together since `reset_peak`, and held in
  /// all.
  struct Memory {
    std::size_t values = 0, gradients = 0, peak = 0, reserved = 0;
  };
  /// What the tape uses now.
  Memory memory() const;
  /// `Memory::peak` begins anew from what is used now.
  void reset_peak();

  /// The insides, for the engine.
  detail::TapeData& data() { return data_ ? *data_ : moved_from(); }
  /// The insides, for the engine.
  const detail::TapeData& data() const { return data_ ? *data_ : moved_from(); }

 private:
  [[noreturn]] static detail::TapeData& moved_from();
  std::unique_ptr<detail::TapeData> data_;
};

/// Opens a scope for its lifetime: `Scope s(tape, "encoder");` or `Scope s(tape, "t", 3);`. The tape may move
/// meanwhile, but must outlive it.
class Scope {
 public:
  /// Opens a scope.
  Scope(Tape& tape, std::string_view name);
  /// Opens a scope with a number.
  Scope(Tape& tape, std::string_view name, Index number);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  detail::TapeData& tape_;
};

/// Switches gradients off for its lifetime: inference. The tape may move meanwhile, but must outlive it.
class NoGrad {
 public:
  /// From here on what is recorded needs no gradient.
  explicit NoGrad(Tape& tape);
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  detail::TapeData& tape_;
  bool before_;
};

/// The same value, from which no gradient flows back: a constant to the chain rule. It is a node of its own, named
/// "detach", so that graphs and gradient checks can show the cut.
Tensor detach(Operand x);

}  // namespace rw
