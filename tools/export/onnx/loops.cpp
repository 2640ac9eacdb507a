#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>

#include <rewind/autograd/structural.h>
#include <rewind/core/error.h>
#include <rewind/tools/export/leaves.h>
#include <rewind/tools/export/onnx/loops.h>

namespace rw::detail {
namespace {

Length number(Index value) { return {.factor = value}; }
Index value_of(const Length& l) { return l.factor + l.more; }

/// a + more.
Length plus(Length a, Index more) {
  if (a.is_number())
    a.factor += more;
  else
    a.more += more;
  return a;
}

bool all_zero(const std::vector<double>& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](double x) { return x == 0; });
}

Lengths with_steps(const Length& steps, const Lengths& shape) {
  Lengths out{steps};
  out.insert(out.end(), shape.begin(), shape.end());
  return out;
}

}  // namespace

ProgramWriter::ProgramWriter(const SizedProgram& program, Nodes& nodes, std::vector<std::string> inputs,
                             const std::vector<NamedParameter>& names)
    : program_(program), nodes_(nodes), inputs_(std::move(inputs)), names_(names), recognizer_(program) {}

template <class F>
auto ProgramWriter::outside(F&& f) {
  if (scan_ == nullptr) return f();
  onnx::GraphProto* body = nodes_.into(scan_->outer);
  auto out = f();
  nodes_.into(body);
  return out;
}

// ---- Items

void ProgramWriter::items(std::size_t at, std::size_t end) {
  for (; at < end; ++at) {
    const ir::ProgramItem& item = program_.program().items[at];
    if (item.steps == 0)
      op(item.op);
    else
      loop(at);
    at += item.size;
  }
}

void ProgramWriter::loop(std::size_t at) {
  const Length trips = program_.trips(at);
  if (!trips.is_number()) {
    if (scan_ != nullptr || !trips.is_steps())
      throw Error("write_onnx: a loop over the steps within another one has no form in ONNX");
    if (const auto r = recognized(at))
      recurrent(at, *r);
    else
      scan(at, trips);
    return;
  }
  around_.push_back({.item = at});
  for (Index t = 0; t < value_of(trips); ++t) {
    around_.back().t = t;
    items(at + 1, at + 1 + program_.program().items[at].size);
  }
  around_.pop_back();
}

/// The operator that the loop is. Runtimes have those of floats alone.
std::optional<Recurrent> ProgramWriter::recognized(std::size_t at) {
  if (nodes_.real() != DType::f32) return std::nullopt;
  around_.push_back({.item = at, .kept = true});
  const auto look = [&](std::uint32_t op, std::uint32_t input, bool at_first) {
    const auto operand = program_.operand(op, input);
    if (!operand) return SizedSource{};
    ReadOf read = read_now(*operand);
    if (at_first) read.at_first.push_back(0);
    SizedSource s = program_.source(read, steps_now(op));
    return s.after > 0 ? SizedSource{} : s;
  };
  auto found = recognizer_(at, look);
  around_.pop_back();
  return found;
}

void ProgramWriter::scan(std::size_t at, const Length& trips) {
  Scan s{.trips = trips};
  s.outer = nodes_.into(&s.body);
  scan_ = &s;
  around_.push_back({.item = at, .kept = true});
  items(at + 1, at + 1 + program_.program().items[at].size);
  finish(at, s);
  around_.pop_back();
  scan_ = nullptr;
}

void ProgramWriter::finish(std::size_t at, Scan& s) {
  if (s.elements.empty()) {  // a Scan goes over something
    const std::string zeros = outside([&] { return nodes_.add("Expand", {nodes_.number(0), nodes_.length(s.trips)}); });
    element(zeros, 0, number(0), false, s.trips, {}, nodes_.real());
  }
  nodes_.into(&s.body);
  Written w{.trips = s.trips};
  Inputs in, out;
  std::vector<std::int64_t> axes, directions;
  for (const Carried& c : s.carried) {
    const SizedSource source{.op = c.of.op};
    *s.body.add_input() = value_info(c.name, program_.shape_of(c.of.op), program_.dtype_of(source));
    const std::string next = nodes_.add("Identity", {c.next.empty() ? values_.at(c.of) : c.next});
    *s.body.add_output() = value_info(next, program_.shape_of(c.of.op), program_.dtype_of(source));
    in.push_back(c.start);
    out.push_back(nodes_.fresh("last"));
    if (c.next.empty()) w.last[c.of] = out.back();
  }
  for (const Element& e : s.elements) {
    in.push_back(e.from);
    axes.push_back(e.axis);
    directions.push_back(e.backwards ? 1 : 0);
  }
  nodes_.into(s.outer);
  onnx::GraphProto& outer = *s.outer;
  s.body.set_name(nodes_.fresh("step"));
  // Inputs of elements were appended to the body as they were found: carried values go before them.
  std::rotate(s.body.mutable_input()->pointer_begin(),
              s.body.mutable_input()->pointer_begin() + static_cast<std::ptrdiff_t>(s.elements.size()),
              s.body.mutable_input()->pointer_end());
  nodes_.add("Scan", in, out.empty() ? Inputs{nodes_.fresh("none")} : out,
             {{"num_scan_inputs", static_cast<std::int64_t>(s.elements.size())},
              {"scan_input_axes", axes},
              {"scan_input_directions", directions},
              {"body", s.body}});
  w.node = outer.mutable_node(outer.node_size() - 1);
  if (out.empty()) w.node->clear_output();
  w.node->set_name(s.body.name() + "s");
  w.body = w.node->mutable_attribute(w.node->attribute_size() - 1)->mutable_g();
  std::vector<Index> steps;
  for (std::size_t j = 0; j + 1 < around_.size(); ++j) steps.push_back(around_[j].t);
  written_[{at, steps}] = std::move(w);
}

void ProgramWriter::recurrent(std::size_t at, const Recurrent& r) {
  static constexpr std::array<const char*, 3> types{"LSTM", "GRU", "RNN"};
  const auto weights = [&](const std::vector<double>& from, const Shape& shape, std::int32_t leaf) {
    return nodes_.weights(Array(from, shape).to(nodes_.real()), leaf < 0 ? "bias" : leaf_name(program_, leaf, names_));
  };
  const auto start = [&](const SizedSource& s, std::uint32_t op) {
    std::string name = value(s, nullptr);
    if (program_.shape_of(s) != program_.shape_of(op))
      name = nodes_.add("Expand", {name, nodes_.lengths(program_.shape_of(op))});
    return nodes_.add("Unsqueeze", {name, nodes_.integers({0})});
  };
  const Index rows = r.gates * r.hidden;
  const bool no_bias = r.leaf_b < 0 && all_zero(r.b) && all_zero(r.rb);
  std::vector<double> biases = r.b;
  biases.insert(biases.end(), r.rb.begin(), r.rb.end());
  Inputs in{value(r.x, nullptr),
            weights(r.W, {1, rows, r.in}, r.leaf_W),
            weights(r.R, {1, rows, r.hidden}, r.leaf_R),
            no_bias ? "" : weights(biases, {1, 2 * rows}, r.leaf_b),
            "",
            start(r.start_h, r.h)};
  if (r.c) in.push_back(start(r.start_c, *r.c));
  Attributes attributes{{"hidden_size", r.hidden}, {"direction", std::string(r.backwards ? "reverse" : "forward")}};
  if (r.relu) attributes.emplace_back("activations", std::vector<std::string>{"Relu"});
  if (r.reset_after) attributes.emplace_back("linear_before_reset", std::int64_t{1});
  Inputs out{nodes_.fresh("outputs"), nodes_.fresh("last_h")};
  if (r.c) out.push_back(nodes_.fresh("last_c"));
  nodes_.add(types[static_cast<std::size_t>(r.kind)], in, out, attributes);

  Key h{.op = r.h};
  for (const Around& a : around_) h.steps.push_back(a.t);
  const std::vector<Index> around = h.steps;
  h.steps.push_back(any);
  Written w{.trips = program_.trips(at)};
  const std::string in_time = nodes_.add("Squeeze", {out[0], nodes_.integers({1})});
  w.stacked[h] = r.backwards ? reversed(in_time) : in_time;
  if (r.backwards) w.reversed[h] = in_time;
  w.last[h] = nodes_.add("Squeeze", {out[1], nodes_.integers({0})});
  if (r.c) w.last[{*r.c, h.steps}] = nodes_.add("Squeeze", {out[2], nodes_.integers({0})});
  written_[{at, around}] = std::move(w);
}

/// The same along the first axis from its end.
std::string ProgramWriter::reversed(const std::string& name) {
  return nodes_.add("Slice", {name, nodes_.integers({-1}), nodes_.integers({std::numeric_limits<std::int32_t>::min()}),
                              nodes_.integers({0}), nodes_.integers({-1})});
}

// ---- Ops

ProgramWriter::Key ProgramWriter::key_of(std::uint32_t op) const {
  Key key{.op = op};
  for (const Around& a : around_) key.steps.push_back(a.kept ? any : a.t);
  return key;
}

void ProgramWriter::op(std::uint32_t i) {
  if (element_of_slice(i)) return;
  const ir::Node& node = program_.program().ops[i].node;
  const std::vector<Operand> in = operands(i);
  const Lengths shape = program_.shape_of(i);
  if (node.info == &op_info<Reshape>()) {
    const auto beside = uncut_.find(in[0].name);
    if (beside != uncut_.end() && beside->second.second == shape) {
      values_[key_of(i)] = beside->second.first;
      return;
    }
  }
  // A sum or a sequence of one thing is that thing.
  const bool gathers = node.info == &op_info<Concat>() || node.info == &op_info<AddN>();
  values_[key_of(i)] = gathers && in.size() == 1 ? in[0].name : write_op(nodes_, program_, i, in, steps_now(i));
}

/// Whether it is the part of a sequence that belongs to the step.
bool ProgramWriter::element_of_slice(std::uint32_t i) {
  if (scan_ == nullptr || program_.program().ops[i].node.info != &op_info<Slice>()) return false;
  const SizedProgram::Attributes words = program_.attributes(i, steps_now(i));
  if (!words.change()) return false;
  const auto& s = words.as<Slice>(words.first[0]);
  std::array<Index, 3> starts{};
  for (std::size_t k = 0; k < 3; ++k) starts[k] = words.as<Slice>(words.first[k]).start;
  const Index per = words.as<Slice>(words.second[0]).start - s.start;
  if (s.length != 1 || (per != 1 && per != -1) || !around_.back().kept)
    throw Error("write_onnx: " + program_.describe(i) + " takes parts of a sequence that a Scan cannot take");
  const Lengths shape = program_.shape_of(i);
  Lengths without = shape;
  without.erase(without.begin() + s.axis);
  const Operand whole = one(i, 0, 0);
  const std::string e =
      element(whole.name, s.axis, program_.length_of(starts, i), per < 0, whole.shape[static_cast<std::size_t>(s.axis)],
              without, program_.program().ops[i].node.dtype);
  const std::string cut = nodes_.add("Unsqueeze", {e, nodes_.integers({s.axis})});
  values_[key_of(i)] = cut;
  uncut_[cut] = {e, without};
  return true;
}

/// What a Scan takes of a sequence, one element at a step from the `first` on.
std::string ProgramWriter::element(std::string from, std::int64_t axis, const Length& first, bool backwards,
                                   const Length& length, const Lengths& shape, DType dtype) {
  if (length != scan_->trips) {
    const Length start = backwards ? number(first.more - scan_->trips.more + 1) : first;
    const Length end = backwards ? plus(first, 1) : plus(scan_->trips, value_of(first));
    from = outside([&] {
      return nodes_.add("Slice", {from, nodes_.length(start), nodes_.length(end), nodes_.integers({axis})});
    });
  }
  for (const Element& e : scan_->elements)
    if (e.from == from && e.axis == axis && e.backwards == backwards) return e.name;
  std::string name = nodes_.fresh("at");
  scan_->elements.push_back({.from = from, .name = name, .axis = axis, .backwards = backwards});
  *scan_->body.add_input() = value_info(name, shape, dtype);
  return name;
}

// ---- What ops read

std::vector<Operand> ProgramWriter::operands(std::uint32_t i) {
  std::vector<Operand> out;
  for (std::uint32_t input = 0; input < program_.inputs(i); ++input) {
    const Length count = program_.count(i, input);
    const ReadOf first = read_now({.op = i, .input = input});
    const Index single = count.is_number() ? value_of(count) : program_.before_loop(first, steps_now(i));
    for (Index k = 0; k < single; ++k) out.push_back(one(i, input, k));
    if (!count.is_number()) out.push_back(many(i, input, single, plus(count, -single)));
  }
  return out;
}

/// The steps of the loops around an op, the innermost first; -1 of one that is kept.
ir::PerLoop ProgramWriter::steps_now(std::uint32_t i) const {
  ir::PerLoop out{};
  const std::size_t depth = program_.loops_around(i).size();
  for (std::size_t j = 0; j < depth; ++j)
    out[depth - 1 - j] = around_[j].kept ? -1 : static_cast<std::int32_t>(around_[j].t);
  return out;
}

/// What an op reads here: something else at the first steps of loops that are written out.
ReadOf ProgramWriter::read_now(ReadOf out) const {
  const ir::PerLoop at = steps_now(out.op);
  for (auto l = static_cast<std::uint32_t>(program_.loops_around(out.op).size()); l-- > 0;) {
    if (at[l] != 0 || program_.read(out).start[l] == ir::no_entry) continue;
    out.at_first.push_back(l);
  }
  return out;
}

Operand ProgramWriter::one(std::uint32_t i, std::uint32_t input, Index further) {
  const ReadOf reader = read_now({.op = i, .input = input, .further = further});
  const SizedSource s = program_.source(reader, steps_now(i));
  return {value(s, &reader), program_.shape_of(s)};
}

/// The values of all steps of a loop: end to end, or added.
Operand ProgramWriter::many(std::uint32_t i, std::uint32_t input, Index further, const Length& count) {
  const ir::Node& node = program_.program().ops[i].node;
  ReadOf reader = read_now({.op = i, .input = input, .further = further});
  const SizedSource first = program_.source(reader, steps_now(i));
  ++reader.further;
  const SizedSource second = program_.source(reader, steps_now(i));
  const auto no_rule = [&]() -> Error {
    return Error("write_onnx: " + program_.describe(i) + " reads many values in an order that has no form in ONNX");
  };
  if (first.op == ir::no_entry || first.op != second.op || scan_ != nullptr) throw no_rule();
  const auto loops = program_.loops_around(first.op);
  std::size_t j = 0;
  while (j < loops.size() && first.steps[j].first == second.steps[j].first) ++j;
  if (j == loops.size() || program_.trips(loops[j]) != count) throw no_rule();
  const bool forwards = first.steps[j].first == number(0) && second.steps[j].first == number(1);
  if (!forwards && (first.steps[j].first != plus(count, -1) || second.steps[j].first != plus(count, -2)))
    throw no_rule();
  Key key{.op = first.op};
  for (std::size_t k = 0; k < loops.size(); ++k) {
    const auto step = fixed(first.steps[k]);
    if (k != j && (!step || !step->is_number())) throw no_rule();
    key.steps.push_back(k == j ? any : value_of(*step));
  }
  Operand all{stacked(written(loops[j], key, j), key), program_.shape_of(first)};
  if (!forwards) {
    const Written& w = written(loops[j], key, j);
    const auto known = w.reversed.find(key);
    all.name = known != w.reversed.end() ? known->second : reversed(all.name);
  }
  if (node.info == &op_info<AddN>()) {
    all.name = nodes_.add("ReduceSum", {all.name, nodes_.integers({0})}, {{"keepdims", std::int64_t{0}}});
    return all;
  }
  if (node.info != &op_info<Concat>()) throw no_rule();
  const auto axis = static_cast<std::size_t>(*static_cast<const Index*>(node.op));
  const Lengths beside = with_steps(count, all.shape);
  std::string turned = all.name;
  if (axis > 0) {
    std::vector<std::int64_t> axes;
    for (std::size_t a = 0; a < all.shape.size(); ++a) {
      if (a == axis) axes.push_back(0);
      axes.push_back(static_cast<std::int64_t>(a) + 1);
    }
    turned = nodes_.add("Transpose", {turned}, {{"perm", axes}});
  }
  Lengths end_to_end = all.shape;
  const Length one = end_to_end[axis];
  if (one.steps || one.more != 0) throw no_rule();
  end_to_end[axis] = {.factor = one.factor, .steps = true, .batch = one.batch, .more = one.factor * count.more};
  // Fewer steps of a batch are no Length; the file finds that one out by itself if it knows the others.
  const auto known = std::count_if(end_to_end.begin(), end_to_end.end(), [](const Length& l) { return l.is_number(); });
  if (one.batch && count.more != 0 && known + 1 < static_cast<std::ptrdiff_t>(end_to_end.size())) throw no_rule();
  const std::string joined = nodes_.add("Reshape", {turned, nodes_.shape(end_to_end)});
  if (axis == 0) uncut_[joined] = {all.name, beside};
  return {joined, end_to_end};
}

std::optional<Length> ProgramWriter::fixed(const SizedStep& step) const {
  Length at = step.first;
  for (std::size_t j = 0; j < around_.size(); ++j) {
    const Index per = step.per[around_.size() - 1 - j];
    if (per != 0 && around_[j].kept) return std::nullopt;
    at = plus(at, per * around_[j].t);
  }
  return at;
}

std::string ProgramWriter::value(const SizedSource& s, const ReadOf* reader) {
  if (s.op == ir::no_entry && s.after == 0) return leaf(s.leaf);
  if (s.op == ir::no_entry) throw Error("export: steps read different constants, which has no form in ONNX");
  const auto loops = program_.loops_around(s.op);
  Key key{.op = s.op};
  std::optional<std::size_t> kept;
  bool same = true;  // the loop around the reader
  for (std::size_t j = 0; j < loops.size(); ++j) {
    same = same && j < around_.size() && around_[j].item == loops[j];
    if (program_.trips(loops[j]).is_number()) {
      const auto step = fixed(s.steps[j]);
      if (!step || !step->is_number()) throw Error("write_onnx: a value is read at steps without a form in ONNX");
      key.steps.push_back(value_of(*step));
    } else {
      kept = j;
      key.steps.push_back(any);
    }
  }
  const bool own = kept && scan_ != nullptr && *kept < around_.size() && around_[*kept].item == loops[*kept];
  if (!own && s.after > 0)
    throw Error("export: a loop begins to read another one in the middle, which has no form in ONNX");
  if (!kept) return values_.at(key);
  return own ? in_loop(s, *reader, std::move(key), *kept) : of_written(s, reader, std::move(key), *kept);
}

/// A value of the loop that the reader is in: of its own step, or of an earlier one.
std::string ProgramWriter::in_loop(const SizedSource& s, const ReadOf& reader, Key key, std::size_t j) {
  const std::size_t l = around_.size() - 1 - j;
  const SizedStep& step = s.steps[j];
  const Index back = step.first.is_number() ? -value_of(step.first) : -1;
  const bool is_rule = step.per[l] == 1 && back >= 0 && (s.after == 0 || l == 0) && s.after <= back;
  if (is_rule && back == 0) return values_.at(key);
  if (is_rule && (back == 1 || l == 0)) return carried(key, reader, back);
  throw Error("export: " + program_.describe(reader.op) + " reads earlier steps in a way that has no form in ONNX");
}

/// What a reader in the loop that is kept reads at its step t.
SizedSource ProgramWriter::at_step(const ReadOf& reader, Index t) const {
  std::size_t j = 0;
  while (!around_[j].kept) ++j;
  const auto l = static_cast<std::uint32_t>(around_.size() - 1 - j);
  ReadOf read = reader;
  ir::PerLoop steps = steps_now(reader.op);
  if (t == 0 && program_.read(reader).start[l] != ir::no_entry)
    read.at_first.push_back(l);
  else
    steps[l] = static_cast<std::int32_t>(t);
  return program_.source(read, steps);
}

/// The value of as many steps before: each step passes on what the one before it has got.
std::string ProgramWriter::carried(const Key& key, const ReadOf& reader, Index back) {
  const Lengths shape = program_.shape_of(key.op);
  std::string name;
  for (Index i = 1; i <= back; ++i) {
    const SizedSource from = at_step(reader, back - i);
    const std::string start = outside([&] {
      const std::string value_there = value(from, nullptr);
      return program_.shape_of(from) == shape ? value_there
                                              : nodes_.add("Expand", {value_there, nodes_.lengths(shape)});
    });
    name = carried(key, start, name);
  }
  return name;
}

std::string ProgramWriter::carried(const Key& key, const std::string& start, const std::string& next) {
  for (const Carried& c : scan_->carried)
    if (c.of == key && c.start == start && c.next == next) return c.name;
  scan_->carried.push_back({.of = key, .start = start, .name = nodes_.fresh("before"), .next = next});
  return scan_->carried.back().name;
}

/// A value of a loop that has been written: at one step, or at a step that goes along with the reader's.
std::string ProgramWriter::of_written(const SizedSource& s, const ReadOf* reader, Key key, std::size_t j) {
  Written& w = written(program_.loops_around(s.op)[j], key, j);
  if (const auto at = fixed(s.steps[j])) {
    if (*at == plus(w.trips, -1))
      if (const auto last = w.last.find(key); last != w.last.end()) return last->second;
    return outside([&] {
      const std::string all = stacked(w, key);
      const std::string step = nodes_.add("Squeeze", {nodes_.length(*at), nodes_.integers({0})});
      return nodes_.add("Gather", {all, step}, {{"axis", std::int64_t{0}}});
    });
  }
  const std::size_t l = around_.size() - 1 - [&] {
    std::size_t k = 0;
    while (!around_[k].kept) ++k;
    return k;
  }();
  const Index per = s.steps[j].per[l];
  if (reader == nullptr || (per != 1 && per != -1))
    throw Error("write_onnx: a loop reads another one at steps without a form in ONNX");
  return element(stacked(w, key), 0, s.steps[j].first, per < 0, w.trips, program_.shape_of(s.op), program_.dtype_of(s));
}

ProgramWriter::Written& ProgramWriter::written(std::size_t item, const Key& key, std::size_t j) {
  const auto found = written_.find({item, {key.steps.begin(), key.steps.begin() + static_cast<std::ptrdiff_t>(j)}});
  if (found == written_.end()) throw Error("write_onnx: a loop is read before it has run");
  return found->second;
}

std::string ProgramWriter::stacked(Written& w, const Key& key) {
  std::string& name = w.stacked[key];
  if (!name.empty()) return name;
  if (w.body == nullptr) throw Error("write_onnx: an operator does not tell " + program_.describe(key.op));
  const SizedSource source{.op = key.op};
  name = nodes_.fresh("steps");
  onnx::GraphProto* here = nodes_.into(w.body);
  const std::string out = nodes_.add("Identity", {values_.at(key)});
  nodes_.into(here);
  *w.body->add_output() = value_info(out, program_.shape_of(key.op), program_.dtype_of(source));
  w.node->add_output(name);
  return name;
}

std::string ProgramWriter::leaf(std::int32_t i) {
  std::string& name = leaves_[i];
  if (!name.empty()) return name;
  const ir::Node& node = program_.program().leaves[static_cast<std::size_t>(i)].node;
  if (node.role == Role::input) return name = inputs_[node.leaf];
  const Lengths shape = program_.leaf_shape(i);
  const Array value = leaf_value(program_, i);
  if (!program_.is_same_constant(i))
    throw Error("write_onnx: a constant " + value.shape().str() +
                " has numbers that depend on the length or the batch");
  if (std::all_of(shape.begin(), shape.end(), [](const Length& l) { return l.is_number(); })) {
    const bool weights = is_weight(program_, i, names_) || shape.empty();
    return name = weights ? nodes_.weights(value, leaf_name(program_, i, names_)) : nodes_.constant(value);
  }
  const std::vector<double> numbers = value.to_vector<double>();
  if (!is_real(value.dtype()) || std::any_of(numbers.begin(), numbers.end(), [&](double x) { return x != numbers[0]; }))
    throw Error("write_onnx: a constant " + value.shape().str() + " has numbers for each sequence or step");
  onnx::GraphProto* here = nodes_.into(&nodes_.top());
  name = nodes_.add("Expand", {nodes_.number(numbers[0]), nodes_.lengths(shape)});
  nodes_.into(here);
  return name;
}

// ---- The file's own things

onnx::ValueInfoProto value_info(const std::string& name, const Lengths& shape, DType dtype) {
  onnx::ValueInfoProto out;
  out.set_name(name);
  onnx::TypeProto::Tensor& tensor = *out.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(onnx_type(dtype));
  onnx::TensorShapeProto& dims = *tensor.mutable_shape();
  for (const Length& l : shape) {
    auto& dim = *dims.add_dim();
    if (l.is_number()) dim.set_dim_value(l.factor + l.more);
    if (l == Length{.factor = 1, .steps = true}) dim.set_dim_param("T");
    if (l == Length{.factor = 1, .batch = true}) dim.set_dim_param("N");
  }
  return out;
}

namespace {

void names_used(const onnx::GraphProto& graph, std::set<std::string>& used) {
  for (const onnx::NodeProto& n : graph.node()) {
    used.insert(n.input().begin(), n.input().end());
    for (const onnx::AttributeProto& a : n.attribute())
      if (a.has_g()) names_used(a.g(), used);
  }
  for (const onnx::ValueInfoProto& o : graph.output()) used.insert(o.name());
}

void prune_nodes(onnx::GraphProto& graph) {
  std::set<std::string> used;
  for (const onnx::ValueInfoProto& o : graph.output()) used.insert(o.name());
  std::vector<onnx::NodeProto> kept;
  for (int i = graph.node_size(); i-- > 0;) {
    onnx::NodeProto& n = *graph.mutable_node(i);
    if (std::none_of(n.output().begin(), n.output().end(), [&](const std::string& o) { return used.contains(o); }))
      continue;
    for (onnx::AttributeProto& a : *n.mutable_attribute()) {
      if (!a.has_g()) continue;
      prune_nodes(*a.mutable_g());
      names_used(a.g(), used);
    }
    used.insert(n.input().begin(), n.input().end());
    kept.push_back(std::move(n));
  }
  graph.clear_node();
  std::for_each(kept.rbegin(), kept.rend(), [&](onnx::NodeProto& n) { *graph.add_node() = std::move(n); });
}

void names_made(const onnx::GraphProto& graph, std::set<std::string>& made) {
  for (const onnx::ValueInfoProto& i : graph.input()) made.insert(i.name());
  for (const onnx::NodeProto& n : graph.node()) {
    made.insert(n.output().begin(), n.output().end());
    for (const onnx::AttributeProto& a : n.attribute())
      if (a.has_g()) names_made(a.g(), made);
  }
}

void rename_reads(onnx::GraphProto& graph, const std::string& from, const std::string& to) {
  for (onnx::NodeProto& n : *graph.mutable_node()) {
    for (std::string& i : *n.mutable_input())
      if (i == from) i = to;
    for (onnx::AttributeProto& a : *n.mutable_attribute())
      if (a.has_g()) rename_reads(*a.mutable_g(), from, to);
  }
}

}  // namespace

void prune(onnx::GraphProto& graph, const std::map<std::string, std::string>& other_names) {
  prune_nodes(graph);
  std::set<std::string> used;
  names_used(graph, used);
  for (int i = graph.initializer_size(); i-- > 0;)
    if (!used.contains(graph.initializer(i).name())) graph.mutable_initializer()->DeleteSubrange(i, 1);
  names_made(graph, used);
  for (onnx::TensorProto& t : *graph.mutable_initializer()) {
    const auto wanted = other_names.find(t.name());
    if (wanted == other_names.end() || !used.insert(wanted->second).second) continue;
    rename_reads(graph, t.name(), wanted->second);
    t.set_name(wanted->second);
  }
}

}  // namespace rw::detail
