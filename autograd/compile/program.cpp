#include <algorithm>
#include <cstring>
#include <unordered_map>

#include <rewind/autograd/compile/kernel.h>
#include <rewind/core/error.h>

namespace rw::ir {
namespace {

struct Plus {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};

struct Same {
  template <class T>
  T operator()(T a) const {
    return a;
  }
};

constexpr char no_attributes = 0;

/// Writes a program: operands first, then numbers, then temporaries that are used again once they are dead.
class Writer {
 public:
  Writer(const Graph& g, NodeId begin, NodeId end, const std::vector<bool>& used_outside, std::vector<NodeId>& operands)
      : g_(g), begin_(begin), end_(end), used_outside_(used_outside), operands_(operands), last_use_(end - begin, 0) {}

  Program run() {
    p_.dtype = g_.nodes[begin_].dtype;
    p_.rows = g_.nodes[begin_].shape.rows();
    p_.cols = g_.nodes[begin_].shape.cols();
    registers_.assign(end_ - begin_, none);
    collect();
    for (NodeId i = begin_; i < end_; ++i) write(i);
    p_.registers = static_cast<std::uint16_t>(base() + temporaries_);
    shift_temporaries();
    return std::move(p_);
  }

 private:
  static constexpr std::uint32_t none = 0xffffffffu, temporary = 0x8000u;
  bool inside(NodeId i) const { return i >= begin_ && i < end_; }
  // Shapes that differ in axes of one only: the same elements.
  NodeId through_views(NodeId i) const {
    while (inside(i) && g_.nodes[i].info->alias != nullptr) i = g_.in(i, 0);
    return i;
  }
  std::size_t base() const { return p_.operands.size() + p_.constants.size(); }

  // Operands get the first registers, so they are collected first.
  void collect() {
    for (NodeId i = begin_; i < end_; ++i) {
      if (g_.nodes[i].info->alias != nullptr) continue;
      for (NodeId raw : g_.in(i)) {
        const NodeId in = through_views(raw);
        if (inside(in)) {
          last_use_[in - begin_] = i;
        } else if (!known_.contains(in) && !g_.is<Fill>(in)) {
          OperandKind kind{};
          if (!operand_kind(g_.nodes[in].shape, g_.nodes[i].shape, kind))
            throw Error("compile: " + g_.describe(in) + " cannot be an operand of a kernel");
          known_.emplace(in, p_.operands.size());
          p_.operands.push_back(kind);
          operands_.push_back(in);
        }
      }
    }
    for (NodeId i = begin_; i < end_; ++i)
      if (used_outside_[i] && g_.nodes[i].info->alias == nullptr) {
        registers_[i - begin_] = static_cast<std::uint32_t>(p_.operands.size());
        p_.operands.push_back(OperandKind::output);
        operands_.push_back(i);
      }
    for (NodeId i = begin_; i < end_; ++i)
      for (NodeId in : g_.in(i))
        if (!inside(in) && g_.is<Fill>(in)) constant(g_.op<Fill>(in).value);
  }

  std::uint32_t constant(double value) {
    for (std::size_t c = 0; c < p_.constants.size(); ++c)
      if (std::memcmp(&p_.constants[c], &value, sizeof value) == 0)
        return static_cast<std::uint32_t>(p_.operands.size() + c);
    p_.constants.push_back(value);
    return static_cast<std::uint32_t>(base() - 1);
  }

  std::uint16_t register_of(NodeId raw) {
    const NodeId in = through_views(raw);
    if (inside(in)) return static_cast<std::uint16_t>(registers_[in - begin_]);
    if (g_.is<Fill>(in)) return static_cast<std::uint16_t>(constant(g_.op<Fill>(in).value));
    return static_cast<std::uint16_t>(known_.at(in));
  }

  void release(NodeId raw, NodeId user) {
    const NodeId in = through_views(raw);
    if (!inside(in) || last_use_[in - begin_] != user) return;
    std::uint32_t& r = registers_[in - begin_];
    if ((r & temporary) == 0 || r == none) return;
    free_.push_back(r);
    last_use_[in - begin_] = no_node;  // once, though it may be an input twice
  }

  std::uint32_t take() {
    if (free_.empty()) return temporary | temporaries_++;
    const std::uint32_t r = free_.back();
    free_.pop_back();
    return r;
  }

  void write(NodeId i) {
    const Node& n = g_.nodes[i];
    if (n.info->alias != nullptr) return;
    const auto in = g_.in(i);
    Program::Instruction instruction;
    instruction.node = i;
    if (n.info->elementwise != nullptr) {
      instruction.loop = &n.info->elementwise->value;
      instruction.fn = n.op;
      instruction.equal = n.info->equal;
      instruction.arity = static_cast<std::uint16_t>(in.size());
      for (std::size_t k = 0; k < in.size(); ++k) instruction.in[k] = register_of(in[k]);
      for (std::size_t k = in.size(); k < max_elementwise_inputs; ++k) instruction.in[k] = instruction.in[0];
      for (NodeId x : in) release(x, i);  // a loop may write over what it reads
      std::uint32_t& to = registers_[i - begin_];
      if (to == none) to = take();
      instruction.out = static_cast<std::uint16_t>(to);
      p_.instructions.push_back(instruction);
      return;
    }
    write_sum(i, instruction);
  }

  void write_sum(NodeId i, Program::Instruction instruction) {
    static const VectorLoop plus = vector_loop<Plus, 2>(), same = vector_loop<Same, 1>();
    const auto in = g_.in(i);
    std::uint32_t& to = registers_[i - begin_];
    if (to == none) to = take();
    instruction.fn = &no_attributes;
    instruction.out = static_cast<std::uint16_t>(to);
    instruction.in[0] = instruction.in[1] = instruction.in[2] = register_of(in[0]);
    instruction.loop = in.size() == 1 ? &same : &plus;
    instruction.arity = in.size() == 1 ? 1 : 2;
    if (in.size() == 1) p_.instructions.push_back(instruction);
    for (std::size_t k = 1; k < in.size(); ++k) {
      instruction.in[1] = register_of(in[k]);
      p_.instructions.push_back(instruction);
      instruction.in[0] = instruction.in[2] = instruction.out;
    }
    for (NodeId x : in) release(x, i);
  }

  void shift_temporaries() {
    const auto fix = [&](std::uint16_t& r) {
      if ((r & temporary) != 0) r = static_cast<std::uint16_t>(base() + (r & ~temporary));
    };
    for (Program::Instruction& i : p_.instructions) {
      for (std::uint16_t& r : i.in) fix(r);
      fix(i.out);
    }
  }

  const Graph& g_;
  NodeId begin_, end_;
  const std::vector<bool>& used_outside_;
  std::vector<NodeId>& operands_;
  std::vector<NodeId> last_use_;
  std::vector<std::uint32_t> registers_;
  std::unordered_map<NodeId, std::size_t> known_;
  std::vector<std::uint32_t> free_;
  std::uint32_t temporaries_ = 0;
  Program p_;
};

}  // namespace

Program make_program(const Graph& g, NodeId begin, NodeId end, const std::vector<bool>& used_outside,
                     std::vector<NodeId>& operands) {
  operands.clear();
  return Writer(g, begin, end, used_outside, operands).run();
}

bool operand_kind(const Shape& in, const Shape& out, OperandKind& kind) {
  if (in.rows() == out.rows() && in.cols() == out.cols()) {
    kind = OperandKind::full;
    return true;
  }
  if (in.size() == 1) {
    kind = OperandKind::scalar;
    return true;
  }
  if (in.rows() == 1 && in.cols() == out.cols()) {
    kind = OperandKind::row;
    return true;
  }
  // One number a row: every axis but the last is that of the output.
  if (in.rank() == out.rank() && in.cols() == 1 && in.rows() == out.rows()) {
    kind = OperandKind::column;
    return true;
  }
  return false;
}

bool fusible(const Graph& g, NodeId id) {
  const Node& n = g.nodes[id];
  if (!is_real(n.dtype) || (n.info->elementwise == nullptr && !g.is<AddN>(id)) || n.shape.size() == 0) return false;
  for (NodeId in : g.in(id)) {
    OperandKind kind{};
    if (g.is<Fill>(in)) continue;
    if (g.nodes[in].dtype != n.dtype || !operand_kind(g.nodes[in].shape, n.shape, kind)) return false;
  }
  return true;
}

}  // namespace rw::ir
