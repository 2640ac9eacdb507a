// One thread against all cores, on a machine that has nothing else to do and on one whose last core is busy.

#include <csignal>
#include <memory>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "comparisons.h"
#include "recurrent.h"
#include "settings.h"

namespace rw::bench {

namespace {

/// Another program that keeps a core busy while it lives.
class BusyCore {
 public:
  BusyCore() : child_(fork()) {
    if (child_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    cpu_set_t last;
    CPU_ZERO(&last);
    CPU_SET(static_cast<std::size_t>(last_core()), &last);
    sched_setaffinity(0, sizeof last, &last);
    for (;;) asm volatile("");
  }
  ~BusyCore() {
    if (child_ <= 0) return;
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  BusyCore(const BusyCore&) = delete;
  BusyCore& operator=(const BusyCore&) = delete;

 private:
  pid_t child_;
};

Field field(const Problem& p, const Setting& setting, bool busy) {
  const auto spinner = busy ? std::make_shared<BusyCore>() : nullptr;
  Field out;
  Setting one = setting;
  one.threads = 2;  // leaves the plain loops out
  Field all = recurrent_field(p, one);
  out.absent = std::move(all.absent);
  for (const Contender& c : all.contenders)
    for (int threads : {1, setting.threads}) {
      Contender with = c;
      with.name = fmt::format("{}, {} thread{}", c.name, threads, threads == 1 ? "" : "s");
      with.prepare = [spinner, threads] { use_threads(threads); };
      out.contenders.push_back(std::move(with));
    }
  return out;
}

}  // namespace

std::vector<Comparison> thread_comparisons() {
  std::vector<Comparison> all;
  const Problem sizes[] = {{.T = 50, .N = 32, .I = 128, .H = 128},
                           {.T = 50, .N = 64, .I = 256, .H = 256},
                           {.T = 50, .N = 64, .I = 512, .H = 512}};
  for (bool busy : {false, true})
    for (Problem p : sizes) {
      p.gradient_of_x = true;
      Comparison c;
      c.name = fmt::format("threads/{}/{}", busy ? "busy" : "idle", p.shape());
      c.note = busy ? "LSTM training step, the last core kept busy by another program" : "LSTM training step";
      c.note += ", everybody computes the gradient of x too";
      c.work = 2 * p.work();
      c.only_all_cores = c.pairs = true;
      c.make = [p, busy](const Setting& setting) { return field(p, setting, busy); };
      all.push_back(std::move(c));
    }
  return all;
}

}  // namespace rw::bench
