#include "shrink.h"

#include <algorithm>
#include <map>
#include <set>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "generate.h"

namespace rw::fuzz {
namespace {

template <class F>
void for_each_list(Program& p, F&& f) {
  f(p.before);
  f(p.body);
  f(p.after);
}

// Calls f(number) for every number of a value that is read.
template <class F>
void for_each_use(Program& p, F&& f) {
  for_each_list(p, [&](std::vector<Step>& list) {
    for (Step& s : list)
      for (int* i : {&s.a, &s.b})
        if (*i >= 0) f(*i);
  });
  for (Carried& c : p.carried) f(c.first), f(c.next);
  for (Kept& k : p.kept) f(k.each);
  for (int& o : p.outputs) f(o);
}

std::set<int> needed_values(Program& p) {
  std::set<int> needed(p.outputs.begin(), p.outputs.end());
  const auto has = [&](int i) { return needed.contains(i); };
  for (std::size_t before = 0; before != needed.size();) {
    before = needed.size();
    for_each_list(p, [&](std::vector<Step>& list) {
      for (const Step& s : list)
        if (has(s.out)) needed.insert({s.a, s.b});
    });
    for (const Carried& c : p.carried)
      if (has(c.value)) needed.insert({c.first, c.next});
    for (const Kept& k : p.kept)
      if (has(k.all)) needed.insert(k.each);
  }
  return needed;
}

// Shapes of all values, by number; of those inside of the loop in its last step.
std::map<int, Shape> shapes_of(const Trial& trial) {
  Tape tape(DType::f64);
  std::vector<Tensor> x;
  for (std::size_t i = 0; i < trial.program.leaves.size(); ++i)
    x.push_back(tape.variable(random_leaf(trial.program.leaves[i], i, DType::f64)));
  std::map<int, Shape> shapes;
  Program forward = trial.program;
  forward.gradient = Gradient::none;
  Run values(forward, tape);
  values(x);
  for (int i = 0; i < forward.values; ++i)
    if (values.value(i).valid()) shapes[i] = values.value(i).shape();
  return shapes;
}

class Shrinker {
 public:
  Shrinker(Trial trial, const std::function<bool(const Trial&)>& fails) : best_(std::move(trial)), fails_(fails) {}

  Trial run() {
    try_program(without_dead_code(best_.program));
    for (bool smaller = true; smaller;) {
      smaller = false;
      smaller = how_it_is_compiled() || smaller;
      smaller = steps() || smaller;
      smaller = outputs() || smaller;
      smaller = values() || smaller;
      smaller = ops_of_steps() || smaller;
      smaller = lengths() || smaller;
      smaller = leaves() || smaller;
    }
    return best_;
  }

 private:
  bool try_trial(const Trial& candidate) {
    if (!fails_(candidate)) return false;
    best_ = candidate;
    return true;
  }
  bool try_program(const Program& p) {
    Trial candidate = best_;
    candidate.program = p;
    return try_trial(candidate);
  }

  bool how_it_is_compiled() {
    bool any = false;
    Trial t = best_;
    t.threads = 1;
    t.side_by_side = false;
    if (best_.threads != 1 || best_.side_by_side) any = try_trial(t) || any;
    for (const PassSwitch& s : pass_switches) {
      t = best_;
      t.passes = t.passes - s.pass;
      if (best_.passes.has(s.pass)) any = try_trial(t) || any;
    }
    for (std::size_t k = best_.lengths.size(); k-- > 0;) {
      t = best_;
      t.lengths.erase(t.lengths.begin() + static_cast<std::ptrdiff_t>(k));
      any = try_trial(t) || any;
    }
    return any;
  }

  bool steps() {
    bool any = false;
    for (const Index n : {Index{1}, Index{2}, Index{3}, best_.program.steps / 2, best_.program.steps - 1}) {
      Program p = best_.program;
      if (n < 1 || n >= p.steps) continue;
      p.steps = n;
      any = try_program(p) || any;
    }
    return unrolled() || any;
  }

  // One step is no loop.
  bool unrolled() {
    Program p = best_.program;
    if (p.steps != 1 || !p.kept.empty()) return false;
    std::map<int, int> end;
    for (const Carried& c : p.carried) {
      for (Step& s : p.body)
        for (int* i : {&s.a, &s.b})
          if (*i == c.value) *i = c.first;
      end[c.value] = c.next;
    }
    const auto follow = [&](int& i) {
      if (end.contains(i)) i = end[i];
    };
    for (Step& s : p.after) follow(s.a), follow(s.b);
    for (int& o : p.outputs) follow(o);
    p.before.insert(p.before.end(), p.body.begin(), p.body.end());
    p.body.clear();
    p.carried.clear();
    p.steps = 0;
    return try_program(without_dead_code(p));
  }

  bool outputs() {
    bool any = false;
    for (const Gradient g : {Gradient::none, Gradient::recorded, Gradient::plain}) {
      Program p = best_.program;
      if (g >= p.gradient) continue;
      p.gradient = g;
      any = try_program(p) || any;
    }
    for (std::size_t k = best_.program.outputs.size(); k-- > 0 && best_.program.outputs.size() > 1;) {
      Program p = best_.program;
      p.outputs.erase(p.outputs.begin() + static_cast<std::ptrdiff_t>(k));
      any = try_program(without_dead_code(p)) || any;
    }
    // An output that lies before this one.
    for (std::size_t k = 0; k < best_.program.outputs.size(); ++k) {
      const Program from = best_.program;
      for (const std::vector<Step>* list : {&from.before, &from.after})
        for (const Step& s : *list)
          if (s.out == from.outputs[k])
            for (const int i : {s.a, s.b}) {
              Program p = from;
              if (i < 0) continue;
              p.outputs[k] = i;
              if (try_program(without_dead_code(p))) return true;
            }
    }
    return any;
  }

  // Another value of the same shape, or a new leaf, in the place of each.
  bool values() {
    const std::map<int, Shape> shapes = shapes_of(best_);
    std::vector<Step> all;
    for_each_list(best_.program, [&](std::vector<Step>& list) { all.insert(all.end(), list.begin(), list.end()); });
    for (std::size_t k = all.size(); k-- > 0;) {
      const Step& s = all[k];
      const auto shape = shapes.find(s.out);
      if (shape == shapes.end()) continue;
      std::vector<int> others{s.a, s.b};
      for (std::size_t i = 0; i < best_.program.leaves.size(); ++i) others.push_back(static_cast<int>(i));
      for (int other : others) {
        const auto same = shapes.find(other);
        if (other >= 0 && same != shapes.end() && same->second == shape->second && replace(s.out, other)) return true;
      }
      if (as_leaf(s.out, shape->second)) return true;
    }
    for (const Carried& c : best_.program.carried)
      if (replace(c.value, c.first)) return true;
    for (const Kept& kept : best_.program.kept)
      if (const auto shape = shapes.find(kept.all); shape != shapes.end() && as_leaf(kept.all, shape->second))
        return true;
    return false;
  }
  bool replace(int value, int other) {
    Program p = best_.program;
    for_each_use(p, [&](int& i) {
      if (i == value) i = other;
    });
    return try_program(without_dead_code(p));
  }
  bool as_leaf(int value, const Shape& shape) {
    if (best_.program.leaves.size() > 8) return false;
    Program p = best_.program;
    const int number = static_cast<int>(p.leaves.size());
    const auto shift = [&](int& i) { i = i == value ? number : i + (i >= number ? 1 : 0); };
    for_each_use(p, shift);
    for_each_list(p, [&](std::vector<Step>& list) {
      for (Step& s : list) s.out += 1;
    });
    for (Carried& c : p.carried) c.value += 1;
    for (Kept& k : p.kept) k.all += 1;
    p.values += 1;
    p.leaves.push_back({shape, 1, false});
    return try_program(without_dead_code(p));
  }

  // The plainest op that takes as many values.
  bool ops_of_steps() {
    bool any = false;
    const auto number = [](const std::string& text) {
      return static_cast<std::size_t>(
          std::find_if(ops().begin(), ops().end(), [&](const Op& op) { return op.text == text; }) - ops().begin());
    };
    const std::size_t one = number("tanh(a)"), two = number("a * b");
    for (auto list : {&Program::before, &Program::body, &Program::after})
      for (std::size_t k = 0; k < (best_.program.*list).size(); ++k) {
        Program p = best_.program;
        Step& s = (p.*list)[k];
        const std::size_t plain = s.b < 0 ? one : two;
        if (s.op == plain) continue;
        s.op = plain;
        any = try_program(p) || any;
      }
    return any;
  }

  bool lengths() {
    std::set<Index> all;
    for (const Leaf& leaf : best_.program.leaves)
      for (Index d : leaf.shape) all.insert(d);
    bool any = false;
    for (const Index d : all)
      for (const Index smaller : {Index{1}, Index{2}, Index{3}, d / 2, d - 1})
        if (smaller > 0 && smaller < d && with_length(d, smaller)) {
          any = true;
          break;
        }
    return any;
  }
  bool with_length(Index from, Index to) {
    Program p = best_.program;
    const auto change = [&](Shape& shape) {
      std::vector<Index> dims(shape.begin(), shape.end());
      std::replace(dims.begin(), dims.end(), from, to);
      shape = Shape(std::span<const Index>(dims));
    };
    for (Leaf& leaf : p.leaves) change(leaf.shape);
    for_each_list(p, [&](std::vector<Step>& list) {
      for (Step& s : list) {
        change(s.shape);
        s.length = std::min(s.length, std::max<Index>(to / 2, 1));
        s.start = std::min(s.start, to - s.length);
        s.other = std::min(s.other, to - s.length);
      }
    });
    return try_program(p);
  }

  bool leaves() {
    bool any = false;
    for (std::size_t i = 0; i < best_.program.leaves.size(); ++i) {
      Program p = best_.program;
      if (!p.leaves[i].is_parameter) continue;
      p.leaves[i].is_parameter = false;
      any = try_program(p) || any;
    }
    return any;
  }

  Trial best_;
  const std::function<bool(const Trial&)>& fails_;
};

std::string passes_text(Passes passes) {
  std::string text = "Passes::none()";
  for (const PassSwitch& s : pass_switches)
    if (passes.has(s.pass)) text += fmt::format(" | Pass::{}", s.name);
  return text;
}

}  // namespace

Program without_dead_code(const Program& from) {
  Program p = from;
  const std::set<int> needed = needed_values(p);
  const auto dead = [&](int i) { return !needed.contains(i); };
  for_each_list(p, [&](std::vector<Step>& list) { std::erase_if(list, [&](const Step& s) { return dead(s.out); }); });
  std::erase_if(p.carried, [&](const Carried& c) { return dead(c.value); });
  std::erase_if(p.kept, [&](const Kept& k) { return dead(k.all); });
  if (p.body.empty() && p.carried.empty() && p.kept.empty()) p.steps = 0;
  std::map<int, int> number;
  std::vector<Leaf> leaves;
  for (std::size_t i = 0; i < p.leaves.size(); ++i)
    if (!dead(static_cast<int>(i)) || i == 0) {  // the first one is an argument, and gives the real type
      number[static_cast<int>(i)] = static_cast<int>(leaves.size());
      leaves.push_back(p.leaves[i]);
    }
  p.leaves = leaves;
  std::erase_if(p.sequences, [&](int i) { return !number.contains(i); });
  for (int& i : p.sequences) i = number[i];
  p.values = static_cast<int>(leaves.size());
  const auto rename = [&](int& i) {
    const auto [at, fresh] = number.emplace(i, p.values);
    p.values += fresh ? 1 : 0;
    i = at->second;
  };
  for_each_list(p, [&](std::vector<Step>& list) {
    for (Step& s : list) rename(s.out);
  });
  for (Carried& c : p.carried) rename(c.value);
  for (Kept& k : p.kept) rename(k.all);
  for_each_use(p, rename);
  return p;
}

Trial shrunk(Trial trial, const std::function<bool(const Trial&)>& fails) {
  return Shrinker(std::move(trial), fails).run();
}

std::string report(const Trial& trial, const std::string& wrong, std::uint64_t seed) {
  std::string options = fmt::format("{{.passes = {}", passes_text(trial.passes));
  if (trial.watched) options += ", .watch_memory = true";
  if (trial.tight) options += ", .memory = 0 /* the least: see the Error */";
  options += trial.side_by_side ? ", .branch_from = 0}" : "}";
  return fmt::format("// seed {}, threads {}: {}\n{}", seed, trial.threads, wrong,
                     to_cpp(trial.program, trial.dtype, fmt::format("fuzz {}", seed), options,
                            trial.program.sequences.empty() ? std::vector<Index>() : trial.lengths));
}

// ---- Its tests ----

namespace {

bool has_op(const Program& p, const std::string& text) {
  for (const std::vector<Step>* list : {&p.before, &p.body, &p.after})
    for (const Step& s : *list)
      if (ops()[s.op].text == text) return true;
  return false;
}
std::size_t size_of(const Program& p) { return p.before.size() + p.body.size() + p.after.size() + p.leaves.size(); }

TEST_CASE("a program is the same for its seed, and without its dead code") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    const Program p = random_program(seed);
    CHECK(to_cpp(p, DType::f32, "a", "{}") == to_cpp(random_program(seed), DType::f32, "a", "{}"));
    Program forward = p;
    forward.gradient = Gradient::none;
    const Program live = without_dead_code(forward);
    CHECK(size_of(live) <= size_of(p));
    CHECK(reference(forward, DType::f64).size() == reference(live, DType::f64).size());
  }
}

TEST_CASE("what fails shrinks to what makes it fail") {
  int found = 0;
  for (std::uint64_t seed = 0; seed < 300 && found < 5; ++seed) {
    const auto fails = [](const Trial& t) {  // stands for a compiler that cannot do it
      try {
        reference(t.program, DType::f64);
      } catch (const Error&) {
        return false;
      }
      return has_op(without_dead_code(t.program), "softmax(a, axis)") && t.passes.has(Pass::fuse);
    };
    const Trial trial = random_trial(seed);
    if (!fails(trial)) continue;
    ++found;
    CAPTURE(seed);
    const Trial small = shrunk(trial, fails);
    CHECK(fails(small));
    CHECK(size_of(small.program) <= 3);  // two leaves and the op
    CHECK(small.program.steps <= 1);
    CHECK(small.program.leaves[0].shape.size() == 1);
    CHECK(small.threads == 1);
    CHECK(!small.passes.has(Pass::batch));
    CHECK(small.lengths.empty());
  }
  CHECK(found == 5);
}

}  // namespace

}  // namespace rw::fuzz
