// Learning to execute (Zaremba and Sutskever, 2014): read a small program, character by character, and write what it
// prints. Programs are made as in their algorithm 1, from --nesting operations (+, -, small *, if-else, assignment,
// for) on numbers of up to --length digits. A quarter of all programs, chosen by hash, is for tests and never trained
// on. Four curricula with as many updates each: baseline (only the hardest programs), naive (from the easiest on), mix
// (any difficulty), combined (each program by naive or by mix). Accuracy is on 2,000 programs of the hardest kind: by
// character, given the right ones before it, as in the paper; and whole.
//
// At length 2 and nesting 1 there are only 800 products, and those of the test were never seen: they, and loops, which
// are learnt last, have nearly all the mistakes.
//
// Longer: learning_to_execute --length 4 --nesting 2 --hidden 256 --steps 100000 --rate 0.002
#include <algorithm>
#include <iomanip>
#include <sstream>

#include <rewind/rewind.h>

#include "string_model.h"
#include "task.h"

using namespace rw;

namespace {

struct Difficulty {
  Index length = 1, nesting = 1;
};

/// Part of a program: statements, and an expression with its value.
struct Piece {
  std::string statements, expression;
  Index value = 0;
};

class Programs {
 public:
  explicit Programs(Rng rng) : rng_(rng) {}

  /// A program of this difficulty, for training or for tests.
  StringPair draw(Difficulty difficulty, bool test) {
    for (;;) {
      length_ = difficulty.length;
      stack_.clear();
      variables_ = 0;
      for (Index i = 0; i < difficulty.nesting; ++i) stack_.push_back(operation());
      const Piece p = stack_.back();
      const std::string text = p.statements + "print(" + p.expression + ")\n";
      if ((hash(text) % 4 == 0) == test) return {text + "@", std::to_string(p.value) + "."};
    }
  }
  /// Any difficulty up to this one.
  StringPair mixed(Difficulty most) {
    const Index length = 1 + rng_.below(most.length);
    return draw({length, 1 + rng_.below(most.nesting)}, false);
  }
  bool one_in(Index n) { return rng_.below(n) == 0; }

 private:
  bool coin() { return one_in(2); }
  Piece number() {
    Index end = 1;
    for (Index i = 0; i < length_; ++i) end *= 10;
    const Index value = rng_.below(end);
    return {"", std::to_string(value), value};
  }
  Piece operand() {
    if (stack_.empty() || coin()) return number();
    Piece p = std::move(stack_.back());
    stack_.pop_back();
    return p;
  }
  Index small() { return 1 + rng_.below(4 * length_); }
  std::string variable() { return std::string(1, static_cast<char>('a' + variables_++)); }

  Piece operation() {
    switch (rng_.below(6)) {
      case 0: return sum(true);
      case 1: return sum(false);
      case 2: return product();
      case 3: return choice();
      case 4: return assignment();
      default: return loop();
    }
  }
  Piece sum(bool plus) {
    const Piece a = operand(), b = operand();
    return sum(a, b, plus);
  }
  static Piece sum(const Piece& a, const Piece& b, bool plus) {
    return {a.statements + b.statements, '(' + a.expression + (plus ? '+' : '-') + b.expression + ')',
            plus ? a.value + b.value : a.value - b.value};
  }
  Piece product() {
    const Piece a = operand();
    const Index times = small();
    return {a.statements, '(' + a.expression + '*' + std::to_string(times) + ')', a.value * times};
  }
  Piece choice() {
    const Piece a = operand(), b = operand(), left = number(), right = number();
    const bool less = coin();
    return {a.statements + b.statements,
            '(' + a.expression + " if " + left.expression + (less ? '<' : '>') + right.expression + " else " +
                b.expression + ')',
            (less ? left.value < right.value : left.value > right.value) ? a.value : b.value};
  }
  Piece assignment() {
    const Piece a = operand(), b = operand();
    const std::string name = variable();
    return sum({a.statements + name + '=' + a.expression + '\n', name, a.value}, b, coin());
  }
  Piece loop() {
    const Piece a = operand(), step = number();
    const std::string name = variable();
    const Index times = small();
    const bool plus = coin();
    return {a.statements + name + '=' + a.expression + "\nfor x in range(" + std::to_string(times) + "):" + name +
                (plus ? "+=" : "-=") + step.expression + '\n',
            name, plus ? a.value + times * step.value : a.value - times * step.value};
  }
  static std::uint64_t hash(const std::string& text) {  // FNV-1a; its high bits are the good ones
    std::uint64_t h = 0xcbf29ce484222325;
    for (char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return h >> 32;
  }

  Rng rng_;
  Index length_ = 1;
  int variables_ = 0;
  std::vector<Piece> stack_;
};

/// The naive curriculum, `done` of the way: length 1 and nesting 1 first, then longer, then deeper and short again, for
/// as long each.
Difficulty naive(Difficulty most, double done) {
  const Index stages = most.length * most.nesting;
  const auto stage = std::min(stages - 1, static_cast<Index>(done * static_cast<double>(stages)));
  return {1 + stage % most.length, 1 + stage / most.length};
}

StringPair draw_pair(const std::string& curriculum, Programs& programs, Difficulty most, double done) {
  if (curriculum == "mix" || (curriculum == "combined" && programs.one_in(2))) return programs.mixed(most);
  return programs.draw(curriculum == "baseline" ? most : naive(most, done), false);
}

StringScores train(Task& task, const std::string& curriculum, Difficulty most, Index updates) {
  Rng rng(task.seed());
  Programs programs(rng.split(1)), fresh(rng.split(2));
  StringModel model("0123456789abcdefghijklmnopqrstuvwxyz()+-*=<>:\n@.", rng,
                    {.layers = task.count("layers", 1),
                     .hidden = task.count("hidden"),
                     .rate = falling(task.number("rate"), updates, 0.5),
                     .eager = task.eager()});
  while (model.updates() < updates) {
    const double done = static_cast<double>(model.updates()) / static_cast<double>(updates);
    std::vector<StringPair> batch;
    for (int n = 0; n < 4 * 32; ++n) batch.push_back(draw_pair(curriculum, programs, most, done));
    const double loss = model.train(std::move(batch));
    task.progress(curriculum, model.updates(), updates, "cross entropy ", loss);
  }
  std::vector<StringPair> test;
  for (int n = 0; n < 2000; ++n) test.push_back(fresh.draw(most, true));
  return model.test(test);
}

std::string percent(double share) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(1) << 100 * share << '%';
  return out.str();
}

int learning_to_execute(Task& task) {
  const Difficulty most{task.count("length", 1, 10), task.count("nesting", 1, 5)};
  Programs programs(Rng(task.seed()));
  for (Index i = 0; i < task.count("show"); ++i) {
    const StringPair e = programs.draw(most, true);
    std::cout << e.read << ' ' << e.write << '\n';
  }
  std::vector<std::string> curricula{"baseline", "naive", "mix", "combined"};
  const std::string& only = task.text("only");
  if (only != "all") std::erase_if(curricula, [&](const std::string& c) { return c != only; });
  if (curricula.empty()) throw Error("--only takes all, baseline, naive, mix or combined, not '" + only + "'");
  std::vector<StringScores> scores(curricula.size());
  parallel_for(static_cast<Index>(curricula.size()), [&](Index i) {  // each with a network of its own
    const auto c = static_cast<std::size_t>(i);
    scores[c] = train(task, curricula[c], most, task.count("steps"));
  });
  std::string text;
  for (std::size_t i = 0; i < curricula.size(); ++i)
    text += ", " + curricula[i] + ' ' + percent(scores[i].characters) + " (" + percent(scores[i].whole) + ')';
  const double combined = scores.back().characters;
  const bool better = only != "all" || combined > scores.front().characters;
  return task.result(combined > (task.quick() ? 0.35 : 0.9) && better, "length ", most.length, ", nesting ",
                     most.nesting, ", characters (whole results) right", text);
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv,
                  {{"steps", "75000", "800"},
                   {"length", "2", "1"},
                   {"nesting", "1", "1"},
                   {"show", "0", "0"},
                   {"layers", "2", "2"},
                   {"only", "all", "combined"},
                   {"hidden", "64", "64"},
                   {"threads", "2", "1"},
                   {"rate", "0.005", "0.01"}},
                  learning_to_execute);
}
