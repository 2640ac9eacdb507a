#include <rewind/tools/cli/thread_choice.h>

namespace rw::cli {

namespace {

constexpr int trial_steps = 4;
constexpr double stay = 20;  // times a trial's duration

}  // namespace

void ThreadChoice::turn_to(int candidate, bool trying) {
  at_ = candidate;
  trying_ = trying;
  steps_ = 0;
  spent_ = 0;
}

void ThreadChoice::took(double seconds) {
  if (threads_[0] == 1 || ++steps_ == 0) return;
  spent_ += seconds;
  if (trying_ && steps_ == trial_steps) {
    mean_[at_] = spent_ / steps_;
    trial_ = spent_;
    const int other = 1 - at_;
    if (mean_[other] == 0) return turn_to(other, true);
    turn_to(mean_[0] <= mean_[1] ? 0 : 1, false);
  } else if (!trying_ && steps_ >= trial_steps && spent_ >= stay * trial_) {
    mean_[at_] = spent_ / steps_;
    turn_to(1 - at_, true);
  }
}

}  // namespace rw::cli
