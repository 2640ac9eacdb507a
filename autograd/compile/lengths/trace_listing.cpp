#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <unordered_map>

#include <rewind/autograd/compile/lengths/trace_listing.h>
#include <rewind/autograd/detail/tape_data.h>
#include <rewind/core/threads.h>

namespace rw::ir {
namespace {

using Word = std::int64_t;

constexpr Word of_results = -1, of_effect = -2;  // in place of an op
constexpr std::size_t most_listed = 8;           // inputs; more are progressions of a fixed distance

/// The second of a node's fixed words.
struct Traits {
  std::uint8_t role = 0, dtype = 0, backward = 0, rank = 0;
  std::uint32_t inputs = 0;  // or progressions of them
  Word word() const { return std::bit_cast<Word>(*this); }
};
static_assert(sizeof(Traits) == sizeof(Word));

/// Inputs that are as far from each other: the first, their distance, how many.
struct Progression {
  Word first, distance, count;
};

void find_progressions(std::span<const NodeId> inputs, std::vector<Progression>& progressions) {
  progressions.clear();
  for (const NodeId id : inputs) {
    const Word at = id;
    if (!progressions.empty() &&
        (progressions.back().count == 1 ||
         at - progressions.back().first == progressions.back().count * progressions.back().distance)) {
      if (progressions.back().count == 1) progressions.back().distance = at - progressions.back().first;
      ++progressions.back().count;
    } else {
      progressions.push_back({at, 0, 1});
    }
  }
}

/// Writes records of a trace.
class TraceWriter {
 public:
  /// `learns`: whether constants that are new get a number.
  TraceWriter(const Recorded& recorded, Dictionary& words, bool learns)
      : r_(recorded), words_(words), learns_(learns) {}

  NodeId records() const { return r_.tape.size() + 1 + static_cast<NodeId>(r_.tape.data().effects.size()); }
  /// Whether record i is this one; quickly for all but leaves and ops of many inputs. Sets slots at their first step.
  bool is(NodeId i, const Pattern::Line& line, Slots& own) {
    if (i < r_.tape.size() && line.fixed.size() == 2) {
      const rw::Node& n = r_.tape.node(i);
      if (n.arity <= most_listed && n.info != &op_info<Fill>() && computes(*n.info)) return is_op(n, line);
    }
    scratch_.clear();
    write(i, scratch_);
    const Listing::Record& r = scratch_.records[0];
    const auto reals = scratch_.reals(r);
    if (!std::ranges::equal(scratch_.fixed(r), line.fixed) || !std::ranges::equal(scratch_.numbers(r), line.numbers) ||
        reals.size() != line.reals.size())
      return false;
    for (std::size_t k = 0; k < reals.size(); ++k) {
      if (line.slots[k] < 0 && reals[k] != line.reals[k]) return false;
      if (line.slots[k] < 0) continue;
      Word& slot = own[static_cast<std::size_t>(line.slots[k])];
      if (line.step == 0) slot = reals[k];
      if (reals[k] != slot) return false;
    }
    return true;
  }

  void write(NodeId i, Listing& to) {
    if (i < r_.tape.size()) return write_node(i, to);
    to.begin();
    if (i == r_.tape.size()) {
      ids_.clear();
      for (const Tensor& t : r_.results) ids_.push_back(r_.tape.id(t));
      to.fixed(of_results);
      to.fixed(inputs(ids_, to));
      to.fixed(threads());  // plans depend on it
    } else {
      const auto& [parameter, value] = r_.tape.data().effects[i - r_.tape.size() - 1];
      to.fixed(of_effect);
      write_parameter(parameter, to);
      to.number(value);
    }
    to.end();
  }

 private:
  static Traits traits_of(const rw::Node& n) {
    return {static_cast<std::uint8_t>(n.role), static_cast<std::uint8_t>(n.dtype), n.origin != no_node,
            static_cast<std::uint8_t>(n.shape.rank()), n.arity};
  }

  static bool is_op(const rw::Node& n, const Pattern::Line& line) {
    const std::size_t bytes = n.info->attribute_size;
    if (std::bit_cast<Word>(n.info) != line.fixed[0] || traits_of(n).word() != line.fixed[1] ||
        line.numbers.size() != static_cast<std::size_t>(n.shape.rank()) + n.arity + (bytes + 7) / 8)
      return false;
    const Word* expected = line.numbers.data();
    for (const std::int32_t d : n.shape)
      if (d != *expected++) return false;
    for (const NodeId id : n.in())
      if (id != *expected++) return false;
    return bytes == 0 || std::memcmp(n.op, expected, bytes) == 0 || n.info->equal(n.op, expected);
  }

  void write_node(NodeId i, Listing& to) {
    const rw::Node& n = r_.tape.node(i);
    to.begin(n.scope);
    for (const std::int32_t d : n.shape) to.number(d);
    Traits traits = traits_of(n);
    traits.inputs = inputs(n.in(), to);
    to.fixed(std::bit_cast<Word>(n.info));
    to.fixed(traits.word());
    if (!computes(*n.info))
      write_leaf(i, n, to);
    else if (n.info == &op_info<Fill>())
      to.real(static_cast<const Fill*>(n.op)->value);
    else
      attributes(n, to);
    to.end();
  }

  void write_leaf(NodeId i, const rw::Node& n, Listing& to) {
    if (n.role == Role::parameter)
      write_parameter(r_.tape.parameter_of(n), to);
    else if (i < r_.inputs.size())
      to.number(i);
    else if (n.data != nullptr)
      to.fixed(learns_ ? words_.constant(n.value()) : words_.known_constant(n.value()));
  }

  void write_parameter(const std::shared_ptr<Parameter::Data>& data, Listing& to) {
    to.fixed(words_.parameter(data));
    to.fixed(static_cast<Word>(data->value.dtype()));
    to.fixed(static_cast<Word>(data->grad.dtype()));
  }

  void attributes(const rw::Node& n, Listing& to) {
    for (std::size_t at = 0; at < n.info->attribute_size; at += sizeof(Word)) {
      Word word = 0;
      std::memcpy(&word, static_cast<const char*>(n.op) + at, std::min(sizeof word, n.info->attribute_size - at));
      to.number(word);
    }
  }

  std::uint32_t inputs(std::span<const NodeId> ids, Listing& to) {
    if (ids.size() <= most_listed) {
      for (const NodeId id : ids) to.number(id);
      return static_cast<std::uint32_t>(ids.size());
    }
    find_progressions(ids, progressions_);
    for (const Progression& progression : progressions_)
      to.number(progression.first), to.number(progression.distance), to.number(progression.count);
    return static_cast<std::uint32_t>(progressions_.size() + most_listed + 1);
  }

  Recorded r_;
  Dictionary& words_;
  bool learns_;
  std::vector<NodeId> ids_;
  std::vector<Progression> progressions_;
  Listing scratch_;
};

/// A node's record, read.
class NodeLine {
 public:
  explicit NodeLine(const Pattern::Line& line) : line_(line) {
    if (is_node()) traits_ = std::bit_cast<Traits>(line.fixed[1]);
  }
  bool is_node() const { return line_.fixed[0] > 0; }
  bool is_results() const { return line_.fixed[0] == of_results; }
  const OpInfo& info() const { return *std::bit_cast<const OpInfo*>(line_.fixed[0]); }
  Role role() const { return static_cast<Role>(traits_.role); }
  DType dtype() const { return static_cast<DType>(traits_.dtype); }
  bool backward() const { return traits_.backward != 0; }
  bool is_fill() const { return &info() == &op_info<Fill>(); }
  double value() const { return std::bit_cast<double>(line_.reals[0]); }
  Shape shape() const {
    std::array<Index, max_rank> dims{};
    for (std::size_t k = 0; k < traits_.rank; ++k) dims[k] = line_.numbers[k];
    return Shape(std::span<const Index>(dims.data(), traits_.rank));
  }
  /// The inputs, when they are few enough to be listed one by one.
  std::optional<std::span<const Word>> listed() const {
    if (traits_.inputs > most_listed) return {};
    return line_.numbers.subspan(traits_.rank, traits_.inputs);
  }
  void inputs(std::vector<NodeId>& to) const {
    const std::size_t at = is_node() ? traits_.rank : 0;
    const std::size_t count = is_node() ? traits_.inputs : static_cast<std::size_t>(line_.fixed[1]);
    to.clear();
    if (count <= most_listed) {
      for (const Word id : line_.numbers.subspan(at, count)) to.push_back(static_cast<NodeId>(id));
      return;
    }
    for (std::size_t k = 0; k < count - most_listed - 1; ++k)
      for (Word i = 0; i < line_.numbers[at + 3 * k + 2]; ++i)
        to.push_back(static_cast<NodeId>(line_.numbers[at + 3 * k] + i * line_.numbers[at + 3 * k + 1]));
  }
  const void* attributes() const {
    const std::size_t inputs = traits_.inputs <= most_listed ? traits_.inputs : 3 * (traits_.inputs - most_listed - 1);
    return line_.numbers.data() + traits_.rank + inputs;
  }

 private:
  const Pattern::Line& line_;
  Traits traits_;
};

// What an elementwise op makes of numbers, in its type, as `simplify` does it.
double value_of(const NodeLine& node, std::span<const double> inputs) {
  double value = 0;
  visit_real(node.dtype(), [&]<class T>() {
    T x[max_elementwise_inputs] = {}, y = 0;
    const T* at[max_elementwise_inputs] = {};
    for (std::size_t i = 0; i < inputs.size(); ++i) x[i] = static_cast<T>(inputs[i]), at[i] = &x[i];
    node.info().elementwise->value.of<T>()(node.attributes(), 1, at, &y);
    value = static_cast<double>(y);
  });
  return value;
}

}  // namespace

std::int64_t Recorded::length() const {
  Word length = tape.size();
  for (const Tensor& x : inputs)
    for (const std::int32_t d : x.shape()) length += d;
  return length;
}

Listing list(const Recorded& recorded, Dictionary& words) {
  TraceWriter writer(recorded, words, true);
  Listing out;
  for (NodeId i = 0; i < writer.records(); ++i) writer.write(i, out);
  return out;
}

bool matches(const Pattern& pattern, const Recorded& recorded, Dictionary& words, Slots& own) {
  TraceWriter writer(recorded, words, false);
  own.assign(pattern.slots(), 0);
  NodeId at = 0;
  const bool all = pattern.each(recorded.length(), {}, [&](const Pattern::Line& line) {
    return at < writer.records() && writer.is(at++, line, own);
  });
  return all && at == writer.records();
}

Slots constants_of(const Pattern& pattern, std::int64_t length, std::span<const std::int64_t> own) {
  Slots out(pattern.lines(), 0);
  std::unordered_map<Word, double> known;  // by node
  std::vector<double> x;
  pattern.each_first(length, own, [&](const Pattern::Line& line) {
    const NodeLine node(line);
    if (!node.is_node() || !is_real(node.dtype())) return true;
    const auto inputs = node.listed();
    x.clear();
    if (inputs.has_value())
      for (const Word in : *inputs)
        if (const auto at = known.find(in); at != known.end()) x.push_back(at->second);
    const bool all = inputs.has_value() && !inputs->empty() && x.size() == inputs->size();
    double value = 0;
    if (node.is_fill())
      value = node.value();
    else if (all && node.info().elementwise != nullptr)
      value = value_of(node, x);
    else if (all && x.size() == 1 && (node.info().alias != nullptr || &node.info() == &op_info<BroadcastTo>()))
      value = x[0];
    else
      return true;
    known.emplace(line.position, value);
    out[line.number] = std::bit_cast<Word>(value);
    return true;
  });
  return out;
}

Graph unfold(const Pattern& pattern, std::int64_t length, std::span<const std::int64_t> own, const Dictionary& words,
             DType real, const Store& names) {
  Graph g;
  g.real = real;
  g.store->parameters = words.parameters();
  g.store->constants = words.constants();
  g.store->scopes = names.scopes;
  g.store->scope_names = names.scope_names;
  std::vector<NodeId> inputs;
  pattern.each(length, own, [&](const Pattern::Line& line) {
    const NodeLine from(line);
    if (from.is_results()) return from.inputs(g.outputs), true;
    if (!from.is_node()) {
      g.effects.push_back({static_cast<std::uint32_t>(line.fixed[1]), static_cast<NodeId>(line.numbers[0])});
      return true;
    }
    Node n;
    n.info = &from.info();
    n.shape = from.shape();
    n.role = from.role();
    n.dtype = from.dtype();
    n.backward = from.backward();
    n.scope = line.note;
    static constexpr char none = 0;
    n.op = &none;
    if (!computes(*n.info)) {
      if (n.info == &op_info<RandomKey>())
        n.leaf = random_key_leaf;
      else
        n.leaf = static_cast<std::uint32_t>(line.fixed.size() > 2 ? line.fixed[2] : line.numbers.back());
      if (n.role != Role::parameter && line.fixed.size() > 2) n.info = &op_info<Constant>(), n.role = Role::constant;
    } else if (n.info->attribute_size > 0) {
      const Fill fill{n.shape, from.is_fill() ? from.value() : 0};
      void* copy = g.store->attributes.allocate(n.info->attribute_size);
      std::memcpy(copy, from.is_fill() ? static_cast<const void*>(&fill) : from.attributes(), n.info->attribute_size);
      n.op = copy;
    }
    from.inputs(inputs);
    g.append(n, inputs);
    return true;
  });
  return g;
}

}  // namespace rw::ir
