#include <algorithm>

#include <rewind/autograd/structural.h>
#include <rewind/tools/export/leaves.h>
#include <rewind/tools/export/onnx/recurrent.h>

namespace rw::detail {
namespace {

/// What is added up in a gate before it is squashed: columns of products, and biases.
struct Term {
  enum class Kind { input, fed_back, reset, bias } kind = Kind::bias;
  std::int32_t leaf = -1;
  Index first = 0;     // column
  bool inner = false;  // of what a reset gate multiplies
};

/// Looks at one loop.
class Match {
 public:
  Match(const SizedProgram& program, std::size_t item, const Recognizer::Look& look)
      : p_(program), item_(item), look_(look) {}

  std::optional<Recurrent> lstm(std::uint32_t h) {
    if (!named(h, "mul")) return std::nullopt;
    for (const std::uint32_t side : {0u, 1u}) {
      const auto squashed = mine(h, 1 - side);
      if (!squashed || !named(*squashed, "tanh")) continue;
      const auto c = mine(*squashed, 0);
      if (!c || !named(*c, "add")) continue;
      for (const std::uint32_t kept : {0u, 1u})
        if (auto r = lstm(h, *c, mine(h, side), mine(*c, kept), mine(*c, 1 - kept))) return r;
    }
    return std::nullopt;
  }

  std::optional<Recurrent> gru(std::uint32_t h) {
    if (!named(h, "add")) return std::nullopt;
    for (const std::uint32_t side : {0u, 1u}) {
      const auto n = mine(h, side), step = mine(h, 1 - side);
      if (!n || !step || !named(*step, "mul")) continue;
      for (const std::uint32_t k : {0u, 1u}) {
        const auto z = mine(*step, k), d = mine(*step, 1 - k);
        if (!z || !d || !named(*d, "sub") || !before(*d, 0, h) || mine(*d, 1) != n) continue;
        if (auto r = gru(h, *n, *z)) return r;
      }
    }
    return std::nullopt;
  }

  std::optional<Recurrent> rnn(std::uint32_t h) {
    begin(Recurrent::Kind::rnn, h);
    r_.relu = named(h, "relu");
    if (!gate(h, r_.relu ? "relu" : "tanh")) return std::nullopt;
    return finish();
  }

 private:
  // ---- What ops read

  const ir::Node& node(std::uint32_t op) const { return p_.program().ops[op].node; }
  bool named(std::uint32_t op, std::string_view name) const { return node(op).info->name == name; }
  bool in_loop(const SizedSource& s) const {
    if (s.op == ir::no_entry) return false;
    const auto loops = p_.loops_around(s.op);
    return !loops.empty() && loops.back() == item_;
  }
  /// Whether it is known when the loop begins: a leaf, or of the loops around it.
  bool is_beside(const SizedSource& s) const {
    if (s.op == ir::no_entry) return s.leaf >= 0;
    const auto loops = p_.loops_around(s.op), around = p_.loops_around(r_.h);
    return loops.size() + 1 == around.size() && std::equal(loops.begin(), loops.end(), around.begin());
  }
  static bool is_step(const SizedSource& s, Index more) {
    return s.steps.back().per[0] == 1 && s.steps.back().first == Length{.factor = more};
  }
  /// The op of the same step that is read.
  std::optional<std::uint32_t> mine(std::uint32_t op, std::uint32_t input) const {
    const SizedSource s = look_(op, input, false);
    return in_loop(s) && is_step(s, 0) ? std::optional(s.op) : std::nullopt;
  }
  /// Whether `of` of the step before is read.
  bool before(std::uint32_t op, std::uint32_t input, std::uint32_t of) const {
    const SizedSource s = look_(op, input, false);
    return in_loop(s) && s.op == of && is_step(s, -1);
  }
  bool is_last_axis(std::uint32_t op) const {
    return node(op).info == &op_info<Slice>() &&
           static_cast<const Slice*>(node(op).op)->axis + 1 == node(op).shape.rank() && !p_.attributes(op).change();
  }

  // ---- The three operators

  void begin(Recurrent::Kind kind, std::uint32_t h) {
    r_ = {.kind = kind, .h = h};
    r_.hidden = node(h).shape.rank() == 2 ? node(h).shape[1] : 0;
    has_x_ = has_h_ = false;
  }

  std::optional<Recurrent> lstm(std::uint32_t h, std::uint32_t c, std::optional<std::uint32_t> o,
                                std::optional<std::uint32_t> kept, std::optional<std::uint32_t> taken) {
    if (!o || !kept || !taken || !named(*kept, "mul") || !named(*taken, "mul")) return std::nullopt;
    for (const std::uint32_t k : {0u, 1u}) {
      if (!before(*kept, 1 - k, c)) continue;
      for (const std::uint32_t t : {0u, 1u}) {
        begin(Recurrent::Kind::lstm, h);
        r_.c = c;
        r_.start_c = look_(*kept, 1 - k, true);
        const auto f = mine(*kept, k), i = mine(*taken, t), g = mine(*taken, 1 - t);
        if (f && i && g && gate(*i, "sigmoid") && gate(*o, "sigmoid") && gate(*f, "sigmoid") && gate(*g, "tanh"))
          return finish();
      }
    }
    return std::nullopt;
  }

  std::optional<Recurrent> gru(std::uint32_t h, std::uint32_t n, std::uint32_t z) {
    begin(Recurrent::Kind::gru, h);
    reset_ = {};
    if (!gate(z, "sigmoid")) return std::nullopt;
    // The candidate says which gate resets; its numbers come last.
    std::vector<Term> terms;
    const auto sum = squashes(n, "tanh");
    if (!sum || !collect(sum->first, sum->second, 0, false, terms) || !reset_ || !gate(reset_->first, reset_->second))
      return std::nullopt;
    return put(terms) ? finish() : std::nullopt;
  }

  std::optional<Recurrent> finish() {
    if (!has_x_ || !has_h_ || r_.hidden == 0) return std::nullopt;
    return r_;
  }

  // ---- Gates

  using Columns = std::pair<std::uint32_t, Index>;  // of an op, from this one on

  /// What is behind slices.
  std::optional<Columns> uncut(std::uint32_t op, Index first) const {
    while (is_last_axis(op)) {
      first += static_cast<const Slice*>(node(op).op)->start;
      const auto next = mine(op, 0);
      if (!next) return std::nullopt;
      op = *next;
    }
    return Columns{op, first};
  }
  /// The sum that is squashed in these columns.
  std::optional<Columns> squashes(std::uint32_t op, std::string_view by, Index first = 0) const {
    const auto at = uncut(op, first);
    if (!at || !named(at->first, by)) return std::nullopt;
    const auto sum = mine(at->first, 0);
    return sum ? std::optional(Columns{*sum, at->second}) : std::nullopt;
  }
  bool gate(std::uint32_t op, std::string_view by) { return gate(op, 0, by); }
  bool gate(std::uint32_t op, Index first) { return gate(op, first, "sigmoid"); }
  bool gate(std::uint32_t op, Index first, std::string_view by) {
    std::vector<Term> terms;
    const auto sum = squashes(op, by, first);
    return sum && collect(sum->first, sum->second, 0, false, terms) && put(terms);
  }

  /// The terms of a sum in columns from `first` on.
  bool collect(std::uint32_t op, Index first, int depth, bool inner, std::vector<Term>& to) {
    if (depth > 32) return false;
    if (is_last_axis(op)) {
      const auto at = uncut(op, first);
      return at && collect(at->first, at->second, depth + 1, inner, to);
    }
    if (named(op, "add")) return part(op, 0, first, depth, inner, to) && part(op, 1, first, depth, inner, to);
    if (node(op).info->product != nullptr) return product(op, first, inner, to);
    if (named(op, "reshape")) {
      const auto cut = mine(op, 0);
      return cut && node(*cut).info == &op_info<Slice>() && !inner && sequence(*cut, first, depth, to);
    }
    if (named(op, "mul") && !inner && r_.kind == Recurrent::Kind::gru) return reset_product(op, first, depth, to);
    return false;
  }
  bool part(std::uint32_t op, std::uint32_t input, Index first, int depth, bool inner, std::vector<Term>& to) {
    const SizedSource s = look_(op, input, false);
    if (in_loop(s)) return is_step(s, 0) && collect(s.op, first, depth + 1, inner, to);
    return bias(s, first, inner, to);
  }
  bool bias(const SizedSource& s, Index first, bool inner, std::vector<Term>& to) const {
    if (s.leaf < 0 || !is_known_leaf(p_, s.leaf) || p_.leaf_shape(s.leaf).size() != 1) return false;
    to.push_back({.kind = Term::Kind::bias, .leaf = s.leaf, .first = first, .inner = inner});
    return true;
  }
  /// The second operand of a product: a leaf, or columns of one.
  bool weights(std::uint32_t op, Index& first, std::int32_t& leaf) const {
    SizedSource s = look_(op, 1, false);
    if (in_loop(s) && is_step(s, 0) && is_last_axis(s.op)) {
      first += static_cast<const Slice*>(node(s.op).op)->start;
      s = look_(s.op, 0, false);
    }
    leaf = s.leaf;
    return leaf >= 0 && is_known_leaf(p_, leaf) && p_.leaf_shape(leaf).size() == 2;
  }
  bool product(std::uint32_t op, Index first, bool inner, std::vector<Term>& to) {
    const ProductFact fact = node(op).info->product(node(op).op);
    Term t{.kind = Term::Kind::fed_back, .leaf = -1, .first = first, .inner = inner};
    if (fact.ta || fact.tb || !weights(op, t.first, t.leaf)) return false;
    if (!before(op, 0, r_.h)) {  // the reset gate's share of the state, or a step of the sequence itself
      const auto left = mine(op, 0);
      if (!left) return false;
      if (named(*left, "mul")) {
        t.kind = Term::Kind::reset;
        if (!resets(*left)) return false;
      } else {
        t.kind = Term::Kind::input;
        const auto cut = named(*left, "reshape") ? mine(*left, 0) : std::nullopt;
        if (!cut || inner || !whole(*cut) || !same_x(look_(*cut, 0, false))) return false;
      }
    } else if (!same_start(op)) {
      return false;
    }
    to.push_back(t);
    return true;
  }
  bool same_start(std::uint32_t op) {
    const SizedSource start = look_(op, 0, true);
    if (has_h_ && (start.op != r_.start_h.op || start.leaf != r_.start_h.leaf)) return false;
    r_.start_h = start;
    return has_h_ = true;
  }
  bool same_x(const SizedSource& x) {
    if (!is_beside(x)) return false;
    const Lengths shape = p_.shape_of(x);
    if (shape.size() != 3 || (has_x_ && (x.op != r_.x.op || x.leaf != r_.x.leaf))) return false;
    r_.x = x;
    return has_x_ = true;
  }

  /// r (h R + b), in columns of the whole.
  bool reset_product(std::uint32_t op, Index first, int depth, std::vector<Term>& to) {
    for (const std::uint32_t k : {0u, 1u}) {
      const auto r = mine(op, k), rest = mine(op, 1 - k);
      if (!r || !rest || !squashes(*r, "sigmoid")) continue;
      r_.reset_after = true;
      return first == 0 && reset_by(*r) && collect(*rest, 0, depth + 1, true, to);
    }
    return false;
  }
  /// Whether a product is r h.
  bool resets(std::uint32_t op) {
    for (const std::uint32_t k : {0u, 1u}) {
      const auto r = mine(op, k);
      if (r && before(op, 1 - k, r_.h) && squashes(*r, "sigmoid")) {
        r_.start_h = look_(op, 1 - k, true);
        return r_.kind == Recurrent::Kind::gru && reset_by(*r);
      }
    }
    return false;
  }
  bool reset_by(std::uint32_t gate) {
    if (reset_ && reset_->first != gate) return false;
    reset_ = Columns{gate, 0};
    return true;
  }

  /// Whether a slice takes step after step of a sequence, all of it; notes in which direction.
  bool whole(std::uint32_t cut) {
    const SizedProgram::Attributes words = p_.attributes(cut);
    if (node(cut).info != &op_info<Slice>() || !words.change()) return false;
    const auto& first = words.as<Slice>(words.first[0]);
    const Index per = words.as<Slice>(words.second[0]).start - first.start;
    const Index steps = RecordedSequence::sizes[0].steps;
    const bool all = first.length == 1 && first.axis == 0 &&
                     ((per == 1 && first.start == 0) || (per == -1 && first.start == steps - 1)) &&
                     p_.trips(item_) == Length{.factor = 1, .steps = true} &&
                     p_.shape_of(look_(cut, 0, false))[0] == p_.trips(item_);
    if (!all || (has_x_ && r_.backwards != (per < 0))) return false;
    r_.backwards = per < 0;
    return true;
  }
  /// Steps of x W + b, which was computed for all of them.
  bool sequence(std::uint32_t cut, Index first, int depth, std::vector<Term>& to) {
    return whole(cut) && of_sequence(look_(cut, 0, false), first, depth, to);
  }
  bool of_sequence(const SizedSource& s, Index first, int depth, std::vector<Term>& to) {
    if (depth > 32) return false;
    if (s.op == ir::no_entry) return bias(s, first, false, to);
    if (!is_beside(s)) return false;
    if (named(s.op, "add"))
      return of_sequence(look_(s.op, 0, false), first, depth + 1, to) &&
             of_sequence(look_(s.op, 1, false), first, depth + 1, to);
    if (node(s.op).info->product == nullptr) return false;
    const ProductFact fact = node(s.op).info->product(node(s.op).op);
    Term t{.kind = Term::Kind::input, .leaf = -1, .first = first};
    if (fact.ta || fact.tb || !weights(s.op, t.first, t.leaf) || !same_x(look_(s.op, 0, false))) return false;
    to.push_back(t);
    return true;
  }

  // ---- Numbers

  bool put(const std::vector<Term>& terms) {
    const Index H = r_.hidden;
    const auto size = [](Index n) { return static_cast<std::size_t>(n); };
    std::vector<double> R(size(H * H)), b(size(H)), rb(size(H)), W;
    for (const Term& t : terms) {
      const Array value = leaf_value(p_, t.leaf);
      const std::vector<double> from = value.to_vector<double>();
      const Index columns = value.shape().cols(), rows = value.shape().rows();
      if (t.first < 0 || t.first + H > columns) return false;
      const bool input = t.kind == Term::Kind::input;
      if (t.kind != Term::Kind::bias && !input && rows != H) return false;
      if (input && W.empty()) W.resize(size(H * rows));
      if (input && W.size() != size(H * rows)) return false;
      std::vector<double>& to = t.kind == Term::Kind::bias ? (t.inner ? rb : b) : input ? W : R;
      for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < H; ++j) to[size(j * rows + i)] += from[size(i * columns + t.first + j)];
      (t.kind == Term::Kind::bias ? r_.leaf_b : input ? r_.leaf_W : r_.leaf_R) = t.leaf;
      if (!input && t.kind != Term::Kind::bias) has_h_ = true;
    }
    if (W.empty() || (r_.gates > 0 && r_.in != static_cast<Index>(W.size()) / H)) return false;
    r_.in = static_cast<Index>(W.size()) / H;
    ++r_.gates;
    const auto append = [](std::vector<double>& to, const std::vector<double>& more) {
      to.insert(to.end(), more.begin(), more.end());
    };
    append(r_.W, W);
    append(r_.R, R);
    append(r_.b, b);
    append(r_.rb, rb);
    return true;
  }

  const SizedProgram& p_;
  std::size_t item_;
  const Recognizer::Look& look_;
  Recurrent r_;
  std::optional<Columns> reset_;
  bool has_x_ = false, has_h_ = false;
};

}  // namespace

Recognizer::Recognizer(const SizedProgram& program) : program_(program) {
  const ir::Program& p = program.program();
  struct Located {
    std::uint32_t op = 0;
    bool last = false;
  };
  std::vector<Located> places(p.nodes);
  for (std::uint32_t op = 0; op < p.ops.size(); ++op)
    ir::each_step(p.ops[op], [&](const ir::PerLoop& t) {
      places[static_cast<std::size_t>(ir::position_at(p.ops[op], t))] = {op, t[0] + 1 == p.ops[op].steps[0]};
    });
  const auto look = [&](std::span<const std::uint32_t> around, std::int32_t at) {
    if (at < 0 || static_cast<std::size_t>(at) >= places.size()) return;
    const Located place = places[static_cast<std::size_t>(at)];
    const auto loops = program.loops_around(place.op);
    if (loops.empty() || (!around.empty() && around.back() == loops.back())) return;
    outside_.insert(place.op);
    if (!place.last) everywhere_.insert(place.op);
  };
  for (std::uint32_t op = 0; op < p.ops.size(); ++op)
    ir::each_step(p.ops[op], [&](const ir::PerLoop& t) {
      const ir::Node& n = p.ops[op].node;
      for (std::uint32_t k = 0; k < n.arity; ++k) {
        const ir::Read* r = &p.reads[n.first + k];
        for (std::uint32_t l = p.ops[op].depth; l-- > 0;)
          if (t[l] == 0 && r->start[l] != ir::no_entry) r = &p.reads[r->start[l]];
        std::int32_t at = r->first;
        for (std::size_t l = 0; l < t.size(); ++l) at += r->per[l] * t[l];
        for (std::int32_t i = 0; i < r->count; ++i) look(program.loops_around(op), at + i * r->stride);
      }
    });
  for (const NodeId o : p.outputs) {
    const auto before = std::count_if(p.leaves.begin(), p.leaves.end(), [&](const auto& l) { return l.id < o; });
    if (std::none_of(p.leaves.begin(), p.leaves.end(), [&](const auto& l) { return l.id == o; }))
      look({}, static_cast<std::int32_t>(o) - static_cast<std::int32_t>(before));
  }
}

std::optional<Recurrent> Recognizer::operator()(std::size_t item, const Look& look) const {
  Match match(program_, item, look);
  const ir::Program& p = program_.program();
  std::vector<std::uint32_t> seen;  // ops of the loop that somebody reads
  for (std::size_t i = item + 1; i <= item + p.items[item].size; ++i) {
    if (p.items[i].steps != 0) return std::nullopt;
    if (outside_.contains(p.items[i].op)) seen.push_back(p.items[i].op);
  }
  const auto only_states = [&](const std::optional<Recurrent>& r) {
    return r && std::all_of(seen.begin(), seen.end(),
                            [&](std::uint32_t op) { return op == r->h || (op == r->c && !everywhere_.contains(op)); });
  };
  for (std::size_t i = item + p.items[item].size; i > item; --i) {
    const std::uint32_t h = p.items[i].op;
    if (auto r = match.lstm(h); only_states(r)) return r;
    if (auto r = match.gru(h); only_states(r)) return r;
    if (auto r = match.rnn(h); only_states(r)) return r;
  }
  return std::nullopt;
}

}  // namespace rw::detail
