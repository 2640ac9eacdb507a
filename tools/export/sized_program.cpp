#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include <rewind/autograd/program/graph.h>
#include <rewind/core/error.h>
#include <rewind/tools/export/sized_program.h>

namespace rw::detail {
namespace {

constexpr std::size_t sizes = RecordedSequence::sizes.size();

ir::Graph graph_of(const RecordedSequence::Trace& trace) {
  std::vector<Tensor> inputs{trace.x}, outputs{trace.y};
  inputs.insert(inputs.end(), trace.state.begin(), trace.state.end());
  outputs.insert(outputs.end(), trace.last.begin(), trace.last.end());
  ir::Graph g = ir::sorted(ir::from_tape(trace.tape, outputs, inputs));
  if (!g.effects.empty())
    throw Error(
        "export: the function adds to gradients of parameters, by backward(): what is exported cannot, use grad()");
  for (NodeId i = 0; i < g.size(); ++i)
    for (const NodeId x : g.in(i))
      if (g.is<RandomKey>(x))
        throw Error("export: " + g.describe(i) +
                    " draws random numbers, which is for training only: call eval() before the model is exported");
  return g;
}

}  // namespace

SizedProgram::SizedProgram(const RecordedSequence& sequence) {
  for (const RecordedSequence::Trace& trace : sequence.traces) programs_.push_back(ir::fold(graph_of(trace)));
  for (const ir::Program& p : programs_) places_.emplace_back(p);
  check_same();
}

void SizedProgram::throw_changes(const std::string& what) const {
  throw Error("export: the program depends on the length or the batch in a way that cannot be exported: " + what);
}

void SizedProgram::check_same() const {
  const ir::Program& a = programs_[0];
  for (const ir::Program& b : programs_) {
    if (a.items.size() != b.items.size() || a.ops.size() != b.ops.size() || a.leaves.size() != b.leaves.size())
      throw_changes(fmt::format("{} ops at one size, {} at another", a.ops.size(), b.ops.size()));
    for (std::size_t i = 0; i < a.items.size(); ++i)
      if (a.items[i].size != b.items[i].size || a.items[i].op != b.items[i].op ||
          (a.items[i].steps == 0) != (b.items[i].steps == 0))
        throw_changes("loops differ");
    for (std::uint32_t i = 0; i < a.ops.size(); ++i)
      if (a.ops[i].node.info != b.ops[i].node.info || a.ops[i].node.arity != b.ops[i].node.arity)
        throw_changes(describe(i));
  }
}

std::string SizedProgram::describe(std::uint32_t op) const {
  const ir::Program& p = program();
  ir::Graph g;
  g.real = p.real;
  g.store = p.store;
  ir::Node node = p.ops[op].node;
  node.first = node.arity = 0;
  g.nodes.push_back(node);
  return g.describe(0);
}

Length SizedProgram::length_of(std::array<Index, 3> values, std::uint32_t op) const {
  const Index first = values[0], longer = values[1], wider = values[2];
  constexpr auto size = RecordedSequence::sizes;
  Length l;
  l.steps = longer != first;
  l.batch = wider != first;
  l.factor = first / ((l.steps ? size[0].steps : 1) * (l.batch ? size[0].batch : 1));
  const auto value = [&](std::size_t k) {
    return l.factor * (l.steps ? size[k].steps : 1) * (l.batch ? size[k].batch : 1) + l.more;
  };
  const auto fits = [&] { return value(0) == first && value(1) == longer && value(2) == wider; };
  if (fits()) return l;
  l.factor = 1;
  l.more = first - value(0);
  if (l.steps != l.batch && fits()) return l;
  throw_changes(fmt::format("{} has lengths {}, {} and {} at {}, {} and {} steps of {}, {} and {} sequences",
                            op == ir::no_entry ? "an input" : describe(op), first, longer, wider, size[0].steps,
                            size[1].steps, size[2].steps, size[0].batch, size[1].batch, size[2].batch));
}

Length SizedProgram::length_in(const std::array<double, 3>& numbers, std::uint32_t op) const {
  constexpr double most = 1e15;  // all lengths are below
  std::array<Index, 3> whole{};
  for (std::size_t k = 0; k < 3; ++k) {
    if (!(std::abs(numbers[k]) < most) || numbers[k] != std::floor(numbers[k]))
      throw Error("export: " + describe(op) + " has a number that depends on the length or the batch");
    whole[k] = static_cast<Index>(numbers[k]);
  }
  return length_of(whole, op);
}

Length SizedProgram::trips(std::size_t item) const {
  return length_of({programs_[0].items[item].steps, programs_[1].items[item].steps, programs_[2].items[item].steps},
                   ir::no_entry);
}

Lengths SizedProgram::shape_of(std::uint32_t op) const {
  Lengths out;
  const Shape& a = programs_[0].ops[op].node.shape;
  for (const ir::Program& p : programs_)
    if (p.ops[op].node.shape.rank() != a.rank()) throw_changes(describe(op));
  for (int d = 0; d < a.rank(); ++d)
    out.push_back(length_of({a[d], programs_[1].ops[op].node.shape[d], programs_[2].ops[op].node.shape[d]}, op));
  return out;
}

Lengths SizedProgram::leaf_shape(std::int32_t leaf) const {
  Lengths out;
  const auto shape = [&](std::size_t k) -> const Shape& {
    return programs_[k].leaves[static_cast<std::size_t>(leaf)].node.shape;
  };
  for (int d = 0; d < shape(0).rank(); ++d)
    out.push_back(length_of({shape(0)[d], shape(1)[d], shape(2)[d]}, ir::no_entry));
  return out;
}

DType SizedProgram::dtype_of(const SizedSource& s) const {
  return s.leaf >= 0 ? program().leaves[static_cast<std::size_t>(s.leaf)].node.dtype : program().ops[s.op].node.dtype;
}

bool SizedProgram::is_same_constant(std::int32_t leaf) const {
  std::array<std::vector<double>, sizes> numbers;
  for (std::size_t k = 0; k < sizes; ++k) {
    const ir::Node& node = programs_[k].leaves[static_cast<std::size_t>(leaf)].node;
    if (node.role != Role::constant) return true;
    numbers[k] = programs_[k].store->constants[node.leaf].to_vector<double>();
  }
  const auto fits = [&](const std::vector<double>& more) {
    return std::mismatch(numbers[0].begin(), numbers[0].end(), more.begin(), more.end()).first == numbers[0].end();
  };
  return fits(numbers[1]) && fits(numbers[2]);
}

Length SizedProgram::count(std::uint32_t op, std::uint32_t input) const {
  std::array<Index, 3> all{};
  for (std::size_t k = 0; k < sizes; ++k) all[k] = programs_[k].reads[programs_[k].ops[op].node.first + input].count;
  return length_of(all, op);
}

template <class At>
SizedSource SizedProgram::sized(std::uint32_t op, At&& at) const {
  std::array<ir::Source, 3> found;
  for (std::size_t k = 0; k < sizes; ++k) found[k] = at(k);
  SizedSource out{.op = found[0].op, .leaf = found[0].leaf};
  for (const ir::Source& s : found)
    if (s.op != out.op || s.leaf != out.leaf || s.steps.size() != found[0].steps.size()) throw_changes(describe(op));
  for (std::size_t j = 0; j < found[0].steps.size(); ++j) {
    SizedStep step{.first = length_of({found[0].steps[j].first, found[1].steps[j].first, found[2].steps[j].first}, op)};
    for (std::size_t l = 0; l < ir::most_nested; ++l) step.per[l] = static_cast<std::int32_t>(found[0].steps[j].per[l]);
    out.steps.push_back(step);
  }
  return out;
}

const ir::Read& SizedProgram::read(std::size_t size, const ReadOf& r) const {
  const std::vector<ir::Read>& reads = programs_[size].reads;
  const ir::Read* out = &reads[programs_[size].ops[r.op].node.first + r.input];
  for (const std::uint32_t l : r.at_first) out = &reads[out->start[l]];
  return *out;
}

std::optional<ReadOf> SizedProgram::operand(std::uint32_t op, std::uint32_t number) const {
  for (std::uint32_t input = 0; input < inputs(op); ++input) {
    const Length many = count(op, input);
    if (!many.is_number()) return std::nullopt;
    const auto values = static_cast<std::uint32_t>(many.factor + many.more);
    if (number < values) return ReadOf{.op = op, .input = input, .further = number};
    number -= values;
  }
  return std::nullopt;
}

std::optional<SizedSource> SizedProgram::source(const ReadOf& of, const ir::PerLoop& at, std::int32_t after) const {
  std::array<std::optional<ir::Source>, sizes> found;
  for (std::size_t k = 0; k < sizes; ++k) {
    ir::Read r = read(k, of);
    for (std::size_t l = 0; l < at.size(); ++l) {
      if (at[l] < 0) continue;
      r.first += r.per[l] * at[l];
      r.per[l] = 0;
    }
    found[k] = places_[k].of(of.op, r, static_cast<std::int32_t>(of.further) * r.stride, after);
    if (!found[k]) return std::nullopt;
  }
  SizedSource out = sized(of.op, [&](std::size_t k) { return *found[k]; });
  out.after = after;
  return out;
}

std::optional<SizedSource> SizedProgram::rule(const ReadOf& of, const ir::PerLoop& at) const {
  const ir::ProgramOp& op = program().ops[of.op];
  const std::int32_t steps = op.depth > 0 && at[0] < 0 ? op.steps[0] : 1;
  for (std::int32_t after = 0; after < steps; ++after)
    if (auto s = source(of, at, after)) return s;
  return std::nullopt;
}

SizedSource SizedProgram::source(const ReadOf& of, const ir::PerLoop& at) const {
  if (auto s = rule(of, at)) return *std::move(s);
  throw Error("export: " + describe(of.op) + " reads values without a rule");
}

Index SizedProgram::before_loop(ReadOf r, const ir::PerLoop& at) const {
  constexpr Index most = RecordedSequence::sizes[0].steps / 2;
  const auto op_at = [&](Index k) {
    r.further = k;
    const auto s = rule(r, at);
    const auto loops = s && s->op != ir::no_entry ? loops_around(s->op) : std::span<const std::uint32_t>();
    const bool varies = std::any_of(loops.begin(), loops.end(), [&](auto l) { return !trips(l).is_number(); });
    return varies ? s->op : ir::no_entry;
  };
  for (Index k = 0; k < most; ++k)
    if (op_at(k) != ir::no_entry && op_at(k) == op_at(k + 1)) return k;
  return 0;
}

SizedSource SizedProgram::output(std::size_t k) const {
  std::array<ir::Source, 3> found;
  for (std::size_t i = 0; i < sizes; ++i) found[i] = places_[i].of_node(programs_[i].outputs[k]);
  return sized(found[0].op == ir::no_entry ? 0 : found[0].op, [&](std::size_t i) { return found[i]; });
}

std::array<std::vector<std::uint64_t>, 3> SizedProgram::attributes_at(std::uint32_t op,
                                                                      const ir::PerLoop& steps) const {
  std::array<std::vector<std::uint64_t>, 3> out;
  for (std::size_t k = 0; k < sizes; ++k) {
    const ir::ProgramOp& o = programs_[k].ops[op];
    out[k].resize((o.node.info->attribute_size + 7) / 8);
    std::vector<std::uint64_t> scratch;
    const void* bytes = ir::attributes_at(o, steps, scratch);
    if (bytes != nullptr && o.node.info->attribute_size > 0)
      std::memcpy(out[k].data(), bytes, o.node.info->attribute_size);
  }
  return out;
}

SizedProgram::Attributes SizedProgram::attributes(std::uint32_t op, const ir::PerLoop& at) const {
  ir::PerLoop steps{};
  for (std::size_t l = 0; l < at.size(); ++l) steps[l] = std::max(at[l], 0);
  const auto next = [&](std::uint32_t l) {
    ir::PerLoop there = steps;
    there[l] = 1;
    return attributes_at(op, there);
  };
  Attributes out{attributes_at(op, steps), attributes_at(op, steps)};
  for (std::uint32_t l = 1; l < program().ops[op].depth; ++l)
    if (at[l] < 0 && next(l) != out.first)
      throw Error("export: " + describe(op) + " depends on the step of a loop around its own");
  if (program().ops[op].depth > 0 && at[0] < 0) out.second = next(0);
  return out;
}

}  // namespace rw::detail
