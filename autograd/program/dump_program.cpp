#include <algorithm>
#include <optional>
#include <span>

#include <fmt/format.h>

#include <rewind/autograd/characters.h>
#include <rewind/autograd/program/places.h>
#include <rewind/autograd/program/text_writer.h>

namespace rw::ir {
namespace {

using rw::detail::continues_name;
using rw::detail::is_digit;

bool is_word_or_point(char c) { return continues_name(c) || c == '.'; }

/// A text cut at its whole numbers: text, number, text, ..., text.
std::vector<std::string> cut_at_numbers(const std::string& text) {
  std::vector<std::string> out(1);
  for (std::size_t i = 0; i < text.size();) {
    const bool begins = (i == 0 || !is_word_or_point(text[i - 1])) &&
                        (is_digit(text[i]) || (text[i] == '-' && i + 1 < text.size() && is_digit(text[i + 1])));
    std::size_t end = i + 1;
    while (begins && end < text.size() && is_digit(text[end])) ++end;
    if (!begins || (end < text.size() && is_word_or_point(text[end]))) {
      out.back() += text[i++];
      continue;
    }
    out.push_back(text.substr(i, end - i));
    out.emplace_back();
    i = end;
  }
  return out;
}

class ProgramWriter : TextWriter {
 public:
  ProgramWriter(const Program& p, const DumpOptions& options)
      : TextWriter(*p.store, p.real, options), p_(p), places_(p) {}

  std::string run() {
    begin();
    for (std::size_t i = 0; i < p_.leaves.size(); ++i) {
      const Node& n = p_.leaves[i].node;
      node(n, leaf_name(i), attributes_of(*n.info, n.op), "", scope_of(n.scope));
    }
    items(0, p_.items.size(), 0);
    if (!p_.outputs.empty()) {
      out_ += "return";
      for (NodeId o : p_.outputs) out_ += " " + result(o);
      out_ += '\n';
    }
    for (const Effect& e : p_.effects) out_ += fmt::format("gradient {} += {}\n", e.parameter, result(e.value));
    return std::move(out_);
  }

 private:
  static std::string leaf_name(std::size_t i) { return fmt::format("n{}", i); }
  std::string op_name(std::size_t i) const { return fmt::format("n{}", p_.leaves.size() + i); }
  static char letter(std::uint32_t depth, std::uint32_t l) { return "tuv"[depth - 1 - l]; }

  // ---- Lines

  void items(std::size_t at, std::size_t end, std::size_t depth) {
    for (; at < end; ++at) {
      const ProgramItem& item = p_.items[at];
      out_.append(2 * depth, ' ');
      if (item.steps == 0) {
        op(item.op);
        continue;
      }
      out_ += fmt::format("loop {} {}\n", "tuv"[depth], item.steps);
      items(at + 1, at + 1 + item.size, depth + 1);
      out_.append(2 * depth, ' ').append("end\n");
      at += item.size;
    }
  }

  void op(std::uint32_t id) {
    const ProgramOp& op = p_.ops[id];
    std::string inputs;
    for (std::uint32_t k = 0; k < op.node.arity; ++k) inputs += " " + text_of(id, p_.reads[op.node.first + k]);
    node(op.node, op_name(id), attributes(op), inputs, scope(op));
  }

  // 3+2*t, or 3+2*~t of what goes down: ~t counts from the last step on.
  static std::string linear_text(const ProgramOp& op, Linear x) {
    std::string terms;
    for (std::uint32_t l = op.depth; l-- > 0;) {
      if (x.per[l] < 0) x.first += x.per[l] * (op.steps[l] - 1);
      if (x.per[l] != 0)
        terms += fmt::format("+{}*{}{}", std::abs(x.per[l]), x.per[l] < 0 ? "~" : "", letter(op.depth, l));
    }
    return std::to_string(x.first) + terms;
  }

  using Parts = std::vector<std::string>;  // text, number, text, ..., text
  Parts attributes_in_parts(const ProgramOp& op, const PerLoop& t) {
    return cut_at_numbers(attributes_of(*op.node.info, attributes_at(op, t, words_)));
  }
  static bool same_but_for_numbers(const Parts& a, const Parts& b) {
    for (std::size_t i = 0; i < a.size() && a.size() == b.size(); i += 2)
      if (a[i] != b[i]) return false;
    return a.size() == b.size();
  }
  static PerLoop after(PerLoop t, std::uint32_t loop) {
    ++t[loop];
    return t;
  }

  // A step of each loop at which, and at the next one, all attributes are said that are said at any: those of a new op
  // are left out, and a number that counts steps may be one of them. It may be the step before the first.
  PerLoop telling_step(const ProgramOp& op) {
    const auto moves = [&](std::uint32_t l) { return op.attributes[l] != nullptr; };
    PerLoop second{};
    for (std::uint32_t l = 0; l < op.depth; ++l) second[l] = moves(l) ? 1 : 0;
    std::size_t most = std::max(attributes_in_parts(op, {}).size(), attributes_in_parts(op, second).size());
    for (std::uint32_t l = 0; l < op.depth; ++l)
      most = std::max(most, attributes_in_parts(op, after(second, l)).size());
    const auto tells = [&](const PerLoop& t) {
      const Parts here = attributes_in_parts(op, t);
      bool all = here.size() == most;
      for (std::uint32_t l = 0; l < op.depth; ++l)
        all = all && (!moves(l) || same_but_for_numbers(here, attributes_in_parts(op, after(t, l))));
      return all;
    };
    for (int choice = 0; choice < 27; ++choice) {
      PerLoop t{};
      int rest = choice;
      for (std::uint32_t l = 0; l < op.depth; ++l, rest /= 3) t[l] = moves(l) ? 1 - rest % 3 : 0;
      if (tells(t)) return t;
    }
    return second;
  }

  std::string attributes(const ProgramOp& op) {
    if (std::all_of(op.attributes.begin(), op.attributes.begin() + op.depth,
                    [](const void* a) { return a == nullptr; }))
      return attributes_of(*op.node.info, op.node.op);
    const PerLoop step = telling_step(op);
    const Parts parts = attributes_in_parts(op, step);
    std::vector<Linear> numbers(parts.size());
    for (std::size_t i = 1; i < parts.size(); i += 2) numbers[i].first = std::stoll(parts[i]);
    for (std::uint32_t l = 0; l < op.depth; ++l) {
      if (op.attributes[l] == nullptr) continue;
      const Parts next = attributes_in_parts(op, after(step, l));
      for (std::size_t i = 1; i < std::min(parts.size(), next.size()); i += 2)
        numbers[i].per[l] = std::stoll(next[i]) - std::stoll(parts[i]);
    }
    std::string out = parts[0];
    for (std::size_t i = 1; i + 1 < parts.size(); i += 2) {
      for (std::uint32_t l = 0; l < op.depth; ++l) numbers[i].first -= numbers[i].per[l] * step[l];
      out += linear_text(op, numbers[i]) + parts[i + 1];
    }
    return out;
  }

  // Numbers that count steps as rules; where names differ, or numbers follow no rule, the scope of the first step.
  std::string scope(const ProgramOp& op) const {
    const std::vector<std::uint32_t> path = path_of(op.node.scope);
    std::vector<Linear> numbers(path.size());
    for (std::size_t k = 0; k < path.size(); ++k) {
      numbers[k].first = store_.scopes[path[k]].number;
      for (std::uint32_t l = 0; l < op.depth; ++l) {
        PerLoop second{};
        second[l] = 1;
        const std::vector<std::uint32_t> next = path_of(scope_at(op, second));
        if (next.size() == path.size()) numbers[k].per[l] = store_.scopes[next[k]].number - numbers[k].first;
      }
    }
    const bool rules = follow(op, path, numbers);
    std::size_t k = 0;
    return scope_of(op.node.scope, [&](std::uint32_t s) {
      while (path[k] != s) ++k;
      return rules ? linear_text(op, numbers[k]) : std::to_string(store_.scopes[s].number);
    });
  }
  bool follow(const ProgramOp& op, const std::vector<std::uint32_t>& path, const std::vector<Linear>& numbers) const {
    bool all = true;
    each_step(op, [&](const PerLoop& t) {
      const std::vector<std::uint32_t> now = path_of(scope_at(op, t));
      all = all && now.size() == path.size();
      for (std::size_t k = 0; all && k < path.size(); ++k) {
        Index number = numbers[k].first;
        for (std::uint32_t l = 0; l < op.depth; ++l) number += numbers[k].per[l] * t[l];
        all = store_.scopes[now[k]].number == number;
      }
    });
    return all;
  }
  std::uint32_t scope_at(const ProgramOp& op, const PerLoop& t) const {
    std::int64_t scope = op.node.scope;
    std::size_t free = op.scopes, times = 1;
    for (std::uint32_t l = 0; l < op.depth; ++l) {
      scope += std::int64_t{op.scope[l]} * t[l];
      free += static_cast<std::size_t>(t[l]) * times;
      times *= static_cast<std::size_t>(op.steps[l]);
    }
    return op.scopes == no_entry ? static_cast<std::uint32_t>(scope) : p_.scopes[free];
  }

  // ---- Reads

  std::string result(NodeId id) const { return name_of({}, places_.of_node(id)); }

  using Loops = std::span<const std::uint32_t>;  // around a reader, the outermost first

  // How many of them stand around the op as well.
  std::size_t common(Loops reader, std::uint32_t op) const {
    const Loops own = places_.loops_around(op);
    return static_cast<std::size_t>(std::mismatch(reader.begin(), reader.end(), own.begin(), own.end()).first -
                                    reader.begin());
  }

  /// The step of loop `k` of the place, from the outermost on: t-1 of the reader's own loop; 3+2*t; or, from the end of
  /// the other loop on, -1-1*t.
  std::string step_text(Loops reader, const Source& place, std::size_t k) const {
    const ProgramOp& op = p_.ops[place.op];
    const auto depth = static_cast<std::uint32_t>(reader.size());
    const Linear& step = place.steps[k];
    if (k < common(reader, place.op) && step.per[depth - 1 - k] == 1) {
      std::string out(1, "tuv"[k]);
      return step.first == 0 ? out : out + fmt::format("{:+}", step.first);
    }
    const Index steps = op.steps[op.depth - 1 - k];
    bool down = step.first * 2 >= steps && step.first > 0;
    std::string terms;
    for (std::uint32_t l = depth; l-- > 0;) {
      if (step.per[l] != 0) terms += fmt::format("{:+}*{}", step.per[l], letter(depth, l));
      down = down || step.per[l] < 0;
    }
    return std::to_string(down ? step.first - steps : step.first) + terms;
  }
  std::string name_of(Loops reader, const Source& place) const {
    return place.op == no_entry ? leaf_name(static_cast<std::size_t>(place.leaf))
                                : op_name(place.op) + steps_text(reader, place, nullptr);
  }
  // [t, 0], or, to `last`, [t, 0..-1]; nothing where the steps are the reader's own.
  std::string steps_text(Loops reader, const Source& place, const Source* last) const {
    std::string out;
    bool own = last == nullptr && common(reader, place.op) == place.steps.size();
    for (std::size_t k = 0; k < place.steps.size(); ++k) {
      const std::string from = step_text(reader, place, k);
      own = own && from == std::string(1, "tuv"[k]);
      out += (k == 0 ? "[" : ", ") + from;
      if (last == nullptr) continue;
      const std::string to = step_text(reader, *last, k);
      if (to != from) out += ".." + to;
    }
    return own || out.empty() ? "" : out + "]";
  }

  std::string text_of(std::uint32_t reader, const Read& r) {
    const ProgramOp& op = p_.ops[reader];
    std::string out = r.count == 1 ? one(reader, r) : several(reader, r);
    if (out.empty()) return list(reader, r);
    for (std::uint32_t l = op.depth; l-- > 0;) {
      if (r.start[l] == no_entry) continue;
      const std::string start = text_of(reader, p_.reads[r.start[l]]);
      const bool plain = start.find('|') == std::string::npos;
      out += fmt::format("|{}=0:{}{}{}", letter(op.depth, l), plain ? "" : "(", start, plain ? "" : ")");
    }
    return out;
  }

  std::string one(std::uint32_t reader, const Read& r) const {
    const std::optional<Source> found = places_.of(reader, r);
    return found.has_value() ? name_of(places_.loops_around(reader), *found) : std::string();
  }

  // The values of many steps of one op; or one after the other.
  std::string several(std::uint32_t reader, const Read& r) {
    const std::optional<Source> first = places_.of(reader, r), last = places_.of(reader, r, (r.count - 1) * r.stride);
    if (first.has_value() && last.has_value() && first->op == last->op && first->op != no_entry) {
      std::size_t differ = 0;
      Index distance = 0;
      for (std::size_t k = 0; k < first->steps.size(); ++k) {
        if (first->steps[k].first == last->steps[k].first) continue;
        ++differ;
        distance = std::abs(last->steps[k].first - first->steps[k].first);
      }
      if (differ == 1 && distance == r.count - 1)
        return op_name(first->op) + steps_text(places_.loops_around(reader), *first, &*last);
    }
    std::string out;
    for (std::int32_t k = 0; k < r.count; ++k) {
      Read each = r;
      each.first += k * r.stride;
      each.count = 1;
      out += (k == 0 ? "" : " ") + text_of(reader, each);
    }
    return out;
  }

  // What the steps of the outermost loop that makes a difference read, one by one: {a b c}[t].
  std::string list(std::uint32_t reader, const Read& r) {
    const ProgramOp& op = p_.ops[reader];
    std::uint32_t l = op.depth - 1;
    while (l > 0 && r.per[l] == 0) --l;
    std::string out;
    for (std::int32_t t = 0; t < op.steps[l]; ++t) {
      Read each = r;
      each.first += t * r.per[l];
      each.per[l] = 0;
      each.start[l] = no_entry;
      if (t == 0 && r.start[l] != no_entry) each = p_.reads[r.start[l]];
      out += (t == 0 ? "{" : " ") + text_of(reader, each);
    }
    return out + fmt::format("}}[{}]", letter(op.depth, l));
  }

  const Program& p_;
  Places places_;
  std::vector<std::uint64_t> words_;
};

}  // namespace

std::string dump(const Program& p, const DumpOptions& options) { return ProgramWriter(p, options).run(); }

}  // namespace rw::ir
