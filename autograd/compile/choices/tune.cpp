#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <memory>

#include <fmt/format.h>

#include <rewind/autograd/compile/check/check.h>
#include <rewind/autograd/compile/choices/tune.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/compile/plan/lowering.h>
#include <rewind/core/memory.h>
#include <rewind/core/threads.h>

namespace rw::ir {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double turn_seconds = 5e-4;  // of one candidate: its threads and caches are then as it wants them
constexpr double least_gain = 0.03;
constexpr std::size_t least_rounds = 9, most_rounds = 200;

/// A number of the choices that may be another one.
struct Change {
  const NumberField<Choices>* field = nullptr;
  double value = 0;
};

/// A plan that is measured.
struct Candidate {
  Change change;
  Choices choices;
  std::shared_ptr<Executor> plan;   // several may have one, and share its work in other ways
  std::vector<double> ratios = {};  // of its time to that of the first candidate, by round
  double seconds = 1e300;           // of a replay, at the least
};

double quantile(std::vector<double> x, double q) {
  const auto at = x.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(x.size() - 1));
  std::nth_element(x.begin(), at, x.end());
  return *at;
}

bool same_bits(const std::vector<Array>& a, const std::vector<Array>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Array& x, const Array& y) {
    const std::size_t bytes = static_cast<std::size_t>(x.size()) * size_of(x.dtype());
    return x.shape() == y.shape() && x.dtype() == y.dtype() &&
           (bytes == 0 || std::memcmp(x.view().data, y.view().data, bytes) == 0);
  });
}

// Whether two plans run the same steps in the same lanes.
bool same_steps(const Plan& a, const Plan& b) {
  NodeId where = 0;
  if (a.graph.size() != b.graph.size() || !same_graph(a.graph, b.graph, where)) return false;
  for (NodeId i = 0; i < a.graph.size(); ++i) {
    const Node &x = a.graph.nodes[i], &y = b.graph.nodes[i];
    if (x.kernel != y.kernel || !(x.lane == y.lane)) return false;
  }
  return std::equal(a.steps.begin(), a.steps.end(), b.steps.begin(), b.steps.end(),
                    [](const Plan::Step& x, const Plan::Step& y) { return x.kind == y.kind && x.node == y.node; });
}

class Tuner {
 public:
  Tuner(const Graph& traced, const CompileOptions& options, const Call& call)
      : traced_(traced), options_(options), call_(call), begin_(Clock::now()) {}

  Tuned run() {
    candidates_.push_back({{}, choices_of(options_), nullptr});
    candidates_[0] = compiled(candidates_[0].choices, {});
    estimated_ = replay_apart(*plan(0), call_);
    replay_seconds_ = 1e300;
    for (int k = 0; k < 3; ++k) replay_seconds_ = std::min(replay_seconds_, seconds_of(0, 1));
    if (static_cast<double>(least_rounds) * 2 * turn() > options_.tune) {
      say(fmt::format("as estimated: {} replays, {:.3g} ms each, of two candidates do not fit in {:g} s", least_rounds,
                      1e3 * replay_seconds_, options_.tune));
      return result();
    }
    // What was found has neighbours of its own, which get the rest of the time.
    for (const double end : {0.7 * options_.tune, options_.tune}) {
      add_neighbours(end);
      if (candidates_.size() == 1) {
        if (left_.field == nullptr) say("as estimated: no candidate was measured");
        break;
      }
      measure(end);
      if (!take_best()) break;
    }
    return result();
  }

 private:
  Executor* plan(std::size_t i) { return candidates_[i].plan.get(); }
  double passed() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }
  double seconds_of(std::size_t i, int replays) {
    plan(i)->share_as(candidates_[i].choices);
    return plan(i)->time_apart(call_.inputs, call_.seed, call_.step, replays);
  }
  void say(std::string line) { lines_.push_back("tuned: " + std::move(line)); }
  Tuned result() { return {candidates_[0].choices, std::move(lines_)}; }

  Candidate compiled(const Choices& choices, const Change& change) {
    CompileOptions options = options_;
    options.choices = choices_text(choices);
    Notes notes;
    return {change, choices, std::make_shared<Executor>(lower(optimise(traced_, options, notes), options), options)};
  }

  // ---- Candidates ----

  static std::string name(const Change& change) { return fmt::format("{}={:g}", change.field->name, change.value); }

  // The numbers near those of the first candidate. Where one thread is all there is, how threads share is no question.
  std::vector<Change> neighbours() const {
    const Choices& now = candidates_[0].choices;
    std::vector<Change> out;
    for (const NumberField<Choices>& f : choice_fields()) {
      const bool threads_matter = threads() > 1 && (now.one_thread == 0 || f.number == &Choices::one_thread);
      using Decides = NumberField<Choices>::Decides;
      if (f.decides == Decides::nothing || (f.decides == Decides::threads && !threads_matter)) continue;
      if (!f.keeps_bits && !options_.tune_other_bits) continue;
      const double value = now.*f.number;
      std::vector<double> others{value / 4, value * 4, never};
      if (f.most <= 2) others = {0, 1, 2};  // ways to do it
      if (value == never) others = {(Choices{}.*f.number)};
      for (double other : others) {
        if (f.whole) other = std::round(other);
        const bool was_worse = left_.field == &f && left_.value == other;
        if (other != value && !was_worse && other >= f.least && other <= f.most) out.push_back({&f, other});
      }
    }
    return out;
  }

  // Compiles them, those left out that would do the same, or take too much memory or, until `end`, too long.
  void add_neighbours(double end) {
    const double memory = static_cast<double>(detail::free_memory()) / 4, from = passed();
    double held = static_cast<double>(plan(0)->memory());
    for (const Change& change : neighbours()) {
      const double rounds = static_cast<double>(least_rounds * (candidates_.size() + 1));
      const bool no_time = passed() - from > (end - from) / 2 || rounds * turn() > end - passed();
      const bool no_memory = held + static_cast<double>(plan(0)->memory()) > memory;
      if (no_memory || passed() > end || (no_time && candidates_.size() > 1)) {
        say("some candidates were left out: there is no time or memory for them");
        return;
      }
      Choices choices = candidates_[0].choices;
      choices.*change.field->number = change.value;
      const bool shares = change.field->name.ends_with("share_from");
      Candidate c = shares ? Candidate{change, choices, candidates_[0].plan} : compiled(choices, change);
      if (!shares && change.field->number != &Choices::one_thread && is_known(c.plan->plan())) continue;
      if (change.field->keeps_bits && !has_bits_of_estimate(c)) {
        say(name(change) + ": left out, since it gives other bits");
        continue;
      }
      held += shares ? 0 : static_cast<double>(c.plan->memory());
      candidates_.push_back(std::move(c));
    }
  }

  bool is_known(const Plan& plan) const {
    return std::any_of(candidates_.begin(), candidates_.end(),
                       [&](const Candidate& c) { return same_steps(plan, c.plan->plan()); });
  }
  bool has_bits_of_estimate(const Candidate& c) const {
    c.plan->share_as(c.choices);
    const Outcome found = replay_apart(*c.plan, call_);
    return same_bits(found.results, estimated_.results) && same_bits(found.gradients, estimated_.gradients);
  }

  // ---- Measuring ----

  int replays() const { return static_cast<int>(std::clamp(turn_seconds / replay_seconds_, 1.0, 1000.0)); }
  // Seconds of a candidate's turn, with the replay that is not measured.
  double turn() const { return replay_seconds_ * (replays() + 1); }

  // Nine rounds, and more until `end`.
  void measure(double end) {
    for (Candidate& c : candidates_) c.ratios.clear();
    std::vector<double> seconds(candidates_.size());
    for (std::size_t round = 0; round < most_rounds && (passed() < end || round < least_rounds); ++round) {
      for (std::size_t k = 0; k < candidates_.size(); ++k) {
        const std::size_t i = (k + round) % candidates_.size();
        seconds[i] = seconds_of(i, replays());
        candidates_[i].seconds = std::min(candidates_[i].seconds, seconds[i]);
      }
      for (std::size_t i = 0; i < candidates_.size(); ++i) candidates_[i].ratios.push_back(seconds[i] / seconds[0]);
    }
  }

  static bool is_faster(const Candidate& c) {
    return quantile(c.ratios, 0.5) < 1 - least_gain && quantile(c.ratios, 0.75) < 1;
  }

  // The best candidate becomes the first, and the only one; false when none is better. Among many one may look good by
  // chance: so the best has to win again, beside the first alone.
  bool take_best() {
    const auto median = [](const Candidate& c) { return is_faster(c) ? quantile(c.ratios, 0.5) : 1; };
    const auto best = std::min_element(candidates_.begin() + 1, candidates_.end(),
                                       [&](const auto& a, const auto& b) { return median(a) < median(b); });
    report();
    std::swap(candidates_[1], *best);
    candidates_.resize(2);
    bool taken = is_faster(candidates_[1]);
    if (taken) {
      measure(0);
      taken = is_faster(candidates_[1]);
      say(fmt::format("again, beside the first alone: {}: {}", line_of(candidates_[1]), taken ? "taken" : "not taken"));
    } else {
      say("no candidate is faster by 3% and in three quarters of the rounds");
    }
    if (taken) {
      const NumberField<Choices>* const field = candidates_[1].change.field;
      left_ = {field, candidates_[0].choices.*field->number};
      std::swap(candidates_[0], candidates_[1]);
    }
    candidates_.resize(1);
    return taken;
  }

  static std::string line_of(const Candidate& c) {
    return fmt::format("{}: {:.4g} us, {:.3f} of it (half of the rounds {:.3f} to {:.3f})", name(c.change),
                       1e6 * c.seconds, quantile(c.ratios, 0.5), quantile(c.ratios, 0.25), quantile(c.ratios, 0.75));
  }
  void report() {
    const Candidate& first = candidates_[0];
    say(fmt::format("{}: {:.4g} us a replay at the least; {} rounds",
                    first.change.field == nullptr ? "as estimated" : name(first.change), 1e6 * first.seconds,
                    first.ratios.size()));
    for (std::size_t i = 1; i < candidates_.size(); ++i) say(line_of(candidates_[i]));
  }

  const Graph& traced_;
  CompileOptions options_;
  Call call_;
  Clock::time_point begin_;
  Outcome estimated_;
  double replay_seconds_ = 0;
  std::vector<Candidate> candidates_;  // first the one that is compared with
  Change left_;                        // what was so before it
  std::vector<std::string> lines_;
};

}  // namespace

Tuned tune(const Graph& traced, const CompileOptions& options, const Call& call) {
  try {
    return Tuner(traced, options, call).run();
  } catch (const std::exception& e) {  // a user's op may throw what it likes; the first call will say it again
    return {choices_of(options), {std::string("tuned: as estimated: a replay threw: ") + e.what()}};
  }
}

}  // namespace rw::ir
