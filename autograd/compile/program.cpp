#include <algorithm>
#include <cstring>
#include <unordered_map>

#include <rewind/autograd/compile/combine.h>
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
      : g_(g),
        begin_(begin),
        end_(end),
        used_outside_(used_outside),
        operands_(operands),
        last_use_(end - begin, 0),
        part_of_(end - begin, no_node) {}

  Program run() {
    p_.dtype = g_.nodes[begin_].dtype;
    p_.rows = g_.nodes[begin_].shape.rows();
    p_.cols = g_.nodes[begin_].shape.cols();
    registers_.assign(end_ - begin_, none);
    combine();
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

  Arithmetic arithmetic(NodeId i) const {
    const Node& n = g_.nodes[i];
    if (n.info->elementwise != nullptr) return n.info->elementwise->arithmetic;
    return g_.is<AddN>(i) && n.inputs == 2 ? Arithmetic::add : Arithmetic::none;
  }
  // The node whose instruction computes node i.
  NodeId writer_of(NodeId i) const { return part_of_[i - begin_] == no_node ? i : part_of_[i - begin_]; }

  // What only a sum or product reads is computed in the same loop.
  void combine() {
    std::vector<std::uint32_t> uses(end_ - begin_);
    for (NodeId i = begin_; i < end_; ++i)
      if (g_.nodes[i].info->alias == nullptr)
        for (NodeId in : g_.in(i))
          if (const NodeId x = through_views(in); inside(x)) ++uses[x - begin_];
    for (NodeId i = end_; i-- > begin_;) {
      if (!combines(arithmetic(i)) || part_of_[i - begin_] != no_node) continue;
      for (NodeId in : g_.in(i)) {
        const NodeId x = through_views(in);
        if (inside(x) && !used_outside_[x] && uses[x - begin_] == 1 && combines(arithmetic(x)))
          part_of_[x - begin_] = i;
      }
    }
  }

  // Operands get the first registers, so they are collected first.
  void collect() {
    for (NodeId i = begin_; i < end_; ++i) {
      if (g_.nodes[i].info->alias != nullptr) continue;
      for (NodeId raw : g_.in(i)) {
        const NodeId in = through_views(raw);
        if (inside(in)) {
          last_use_[in - begin_] = std::max(last_use_[in - begin_], writer_of(i));
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
    if (n.info->alias != nullptr || part_of_[i - begin_] != no_node) return;
    if (combines(arithmetic(i)) && write_combined(i)) return;
    if (n.info->elementwise == nullptr) return write_sum(i);
    Program::Instruction instruction = instruction_of(i, n.info->elementwise->value);
    instruction.fn = n.op;
    instruction.equal = n.info->equal;
    emit(instruction, i, g_.in(i));
  }

  Program::Instruction instruction_of(NodeId i, const VectorLoop& loop) const {
    Program::Instruction instruction;
    instruction.node = i;
    instruction.loop = &loop;
    instruction.fn = &no_attributes;
    return instruction;
  }

  // The inputs are read; the result may stand where one of them stood, since a loop may write over what it reads.
  void emit(Program::Instruction instruction, NodeId i, std::span<const NodeId> in) {
    instruction.arity = static_cast<std::uint16_t>(in.size());
    for (std::size_t k = 0; k < Program::most_inputs; ++k)
      instruction.in[k] = k < in.size() ? register_of(in[k]) : instruction.in[0];
    for (NodeId x : in) release(x, i);
    std::uint32_t& to = registers_[i - begin_];
    if (to == none) to = take();
    instruction.out = static_cast<std::uint16_t>(to);
    p_.instructions.push_back(instruction);
  }

  // An op together with those of its inputs that are parts of it.
  bool write_combined(NodeId i) {
    const NodeId a = through_views(g_.in(i, 0)), b = through_views(g_.in(i, 1));
    const auto is_part = [&](NodeId x) { return inside(x) && part_of_[x - begin_] == i; };
    std::vector<NodeId> in;
    const auto inputs_of = [&](NodeId x) { in.insert(in.end(), g_.in(x).begin(), g_.in(x).end()); };
    if (is_part(a) && is_part(b)) {
      inputs_of(a);
      inputs_of(b);
      emit(instruction_of(i, paired_loop(arithmetic(a), arithmetic(b), arithmetic(i))), i, in);
    } else if (is_part(a) || is_part(b)) {
      const NodeId part = is_part(a) ? a : b;
      inputs_of(part);
      in.push_back(is_part(a) ? g_.in(i, 1) : g_.in(i, 0));
      emit(instruction_of(i, chained_loop(arithmetic(part), arithmetic(i), is_part(b))), i, in);
    }
    return is_part(a) || is_part(b);
  }

  // From left to right, two terms at a time.
  void write_sum(NodeId i) {
    static const VectorLoop plus = vector_loop<Plus, 2>(), same = vector_loop<Same, 1>();
    const auto in = g_.in(i);
    std::uint32_t& to = registers_[i - begin_];
    if (to == none) to = take();
    const auto out = static_cast<std::uint16_t>(to);
    std::uint16_t total = register_of(in[0]);
    const auto add = [&](const VectorLoop& loop, std::uint16_t arity, std::uint16_t b, std::uint16_t c) {
      Program::Instruction instruction = instruction_of(i, loop);
      instruction.arity = arity;
      const std::uint16_t operands[] = {total, b, c, total};
      std::copy_n(operands, Program::most_inputs, instruction.in);
      instruction.out = total = out;
      p_.instructions.push_back(instruction);
    };
    if (in.size() == 1) add(same, 1, total, total);
    std::size_t k = 1;
    for (; k + 1 < in.size(); k += 2)
      add(chained_loop(Arithmetic::add, Arithmetic::add, false), 3, register_of(in[k]), register_of(in[k + 1]));
    if (k < in.size()) add(plus, 2, register_of(in[k]), total);
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
  std::vector<NodeId> part_of_;  // the node whose instruction computes this one too
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
