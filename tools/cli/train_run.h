#pragma once

#include <chrono>
#include <optional>

#include <rewind/tools/cli/curve.h>
#include <rewind/tools/cli/progress.h>
#include <rewind/tools/cli/thread_choice.h>
#include <rewind/tools/cli/trainer.h>

namespace rw::cli {

/// `rewind train`: trains, shows how it goes, and saves.
class TrainRun {
 public:
  /// `command` is complete. Reads the texts, and takes up the run of `checkpoint` if there is one. Throws Error, before
  /// any training, for texts that cannot be learned, and for places that cannot be written to.
  TrainRun(TrainCommand command, const std::optional<ArrayFile>& checkpoint);

  /// Trains to the end of the budget, or until a signal comes or it is time for a pause; then saves. Returns the exit
  /// code.
  int run();

 private:
  using Clock = std::chrono::steady_clock;

  void step();
  void validate();
  void say_start();
  Status status() const;
  ArrayFile checkpoint(const std::string& path) const;
  void save_on_the_way();
  std::string save_somewhere();
  std::string resume_command(const std::string& path) const;
  void save_model();
  void restore(const ArrayFile& checkpoint);
  std::optional<int> pause(int signal);
  int finish();
  /// Seconds of training, also before the checkpoint.
  double seconds() const;

  TrainCommand command_;
  Trainer trainer_;
  RunFiles places_;  // absolute
  Progress progress_;
  ThreadChoice threads_;
  Curve curve_;
  double seconds_before_ = 0;
  double loss_ = 0;  // smoothed
  double held_out_ = 0;
  Index first_step_ = 0, validated_step_ = -1;
  double steps_per_second_ = 0;
  Clock::time_point start_ = Clock::now(), validated_ = start_, saved_ = start_;
  Clock::time_point next_try_{};  // to save a run that has to end; zero: not tried yet
};

}  // namespace rw::cli
