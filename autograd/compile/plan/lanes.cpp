#include <algorithm>
#include <chrono>
#include <thread>

#include <rewind/autograd/compile/plan/lane_needs.h>
#include <rewind/autograd/compile/plan/lanes.h>
#include <rewind/core/threads.h>

namespace rw::ir {

Lanes::Lanes(const Graph& g, const Layout& layout, std::span<const LaneUnit> units,
             std::span<const std::pair<std::uint32_t, std::uint32_t>> after) {
  std::uint32_t lanes = 0;
  for (const LaneUnit& u : units) lanes = std::max(lanes, u.lane + 1);
  lanes_.resize(lanes);
  states_ = std::make_unique<State[]>(lanes);
  make_tasks(units, lane_needs(g, layout, units, after));
}

// Tasks as long as can be: one begins where a lane waits, and ends where another one waits for it. What a lane has
// waited for once it need not wait for again.
void Lanes::make_tasks(std::span<const LaneUnit> units, const std::vector<std::uint32_t>& needs) {
  const std::size_t lanes = lanes_.size();
  std::vector<std::uint32_t> known(lanes * lanes), open(units.size() * lanes);
  std::vector<bool> begins(units.size()), ends(units.size());
  for (std::size_t u = 0; u < units.size(); ++u)
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const std::uint32_t need = needs[u * lanes + lane];
      std::uint32_t& so_far = known[units[u].lane * lanes + lane];
      if (need <= so_far) continue;
      open[u * lanes + lane] = so_far = need;
      begins[u] = ends[need - 1] = true;
    }
  std::vector<std::uint32_t> number(units.size());  // of tasks in its lane up to and with it
  for (std::uint32_t lane = 0; lane < lanes; ++lane) {
    const auto first = static_cast<std::uint32_t>(tasks_.size());
    bool fresh = true;
    for (std::size_t u = 0; u < units.size(); ++u) {
      if (units[u].lane != lane) continue;
      if (fresh || begins[u]) {
        const auto step = static_cast<std::uint32_t>(steps_.size()), wait = static_cast<std::uint32_t>(waits_.size());
        tasks_.push_back({step, step, wait, wait});
        for (std::uint32_t other = 0; other < lanes; ++other)
          if (open[u * lanes + other] != 0) waits_.push_back({other, open[u * lanes + other]});
        tasks_.back().last_wait = static_cast<std::uint32_t>(waits_.size());
      }
      for (std::uint32_t s = units[u].first; s < units[u].last; ++s) steps_.push_back(s);
      tasks_.back().last_step = static_cast<std::uint32_t>(steps_.size());
      number[u] = static_cast<std::uint32_t>(tasks_.size()) - first;
      fresh = ends[u];
    }
    lanes_[lane] = {first, static_cast<std::uint32_t>(tasks_.size())};
  }
  for (Wait& w : waits_) w.tasks = number[w.tasks - 1];
}

void Lanes::run(RunStep f, void* context) {
  for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
    states_[lane].progress.store({0, 0}, std::memory_order_relaxed);
    states_[lane].has_thread.store(false, std::memory_order_relaxed);
  }
  failed_.store(false, std::memory_order_relaxed);
  parallel_for(static_cast<Index>(lanes_.size()),
               [&](Index lane) { work(static_cast<std::size_t>(lane), f, context); });
}

// A thread runs its own lane. Another one's it runs only when nobody else does, or the one who should has been away
// for a while: its numbers are in another cache.
void Lanes::work(std::size_t own, RunStep f, void* context) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::microseconds patience(20);
  states_[own].has_thread.store(true, std::memory_order_relaxed);
  Clock::time_point since;
  for (bool waits = false; !failed_.load(std::memory_order_relaxed);) {
    const bool impatient = waits && Clock::now() > since + patience;
    bool finished = true, ran = false;
    for (std::size_t k = 0; k < lanes_.size() && !ran; ++k) {
      const std::size_t lane = (own + k) % lanes_.size();
      if (k > 0 && !impatient && states_[lane].has_thread.load(std::memory_order_relaxed)) {
        finished = false;
        continue;
      }
      const Outcome outcome = advance(lane, f, context);
      ran = outcome == Outcome::ran;
      finished = finished && outcome == Outcome::finished;
    }
    if (finished) return;
    if (!ran && !waits) since = Clock::now();
    waits = !ran;
    if (ran) continue;
    if (impatient) std::this_thread::yield();
#if defined(__x86_64__)
    for (int i = 0; i < 8; ++i) __builtin_ia32_pause();
#endif
  }
}

Lanes::Outcome Lanes::advance(std::size_t lane, RunStep f, void* context) {
  State& state = states_[lane];
  Progress now = state.progress.load(std::memory_order_acquire);
  const std::uint32_t number = lanes_[lane].first + now.done;
  if (number == lanes_[lane].last) return Outcome::finished;
  if (now.running == 1) return Outcome::waits;
  const Task& task = tasks_[number];
  for (std::uint32_t w = task.first_wait; w < task.last_wait; ++w)
    if (states_[waits_[w].lane].progress.load(std::memory_order_acquire).done < waits_[w].tasks) return Outcome::waits;
  Progress begun = now;
  begun.running = 1;
  if (!state.progress.compare_exchange_strong(now, begun, std::memory_order_acquire)) return Outcome::waits;
  try {
    for (std::uint32_t s = task.first_step; s < task.last_step; ++s) f(context, steps_[s]);
  } catch (...) {
    failed_.store(true, std::memory_order_relaxed);
    throw;
  }
  ++now.done;
  state.progress.store(now, std::memory_order_release);
  return Outcome::ran;
}

}  // namespace rw::ir
