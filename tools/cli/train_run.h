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
  /// `command` is complete; it is the same in all processes of the group. Reads the texts, and takes up the run of
  /// `checkpoint` if there is one. Throws Error, before any training, for texts that cannot be learned, and for places
  /// that cannot be written to.
  TrainRun(TrainCommand command, const std::optional<ArrayFile>& checkpoint, Group& group = alone());

  /// See Trainer.
  void require_equal_processes() { trainer_.require_equal_processes(); }

  /// Trains to the end of the budget, or until a signal comes or it is time for a pause; then saves. Returns the exit
  /// code.
  int run();

 private:
  using Clock = std::chrono::steady_clock;

  // What all processes have agreed on: the clock is that of process 0, and a signal to one is one to all.
  struct Moment {
    double seconds = 0;
    int signal = 0;
  };
  Moment agreed() const;
  /// Whether this process is the one that speaks and writes.
  bool chief() const { return group_.rank() == 0; }

  void step();
  void validate();
  void say_start();
  std::string idle_text(Index shards, Index batch) const;
  Status status() const;
  RunFiles files_at(const std::string& checkpoint) const;
  /// For all processes to call; the file of process 0 is the one to write.
  ArrayFile checkpoint(const std::string& path) const;
  void save_on_the_way();
  std::string save_somewhere(ArrayFile file) const;
  std::string resume_command(const std::string& path) const;
  void save_model();
  void restore(const ArrayFile& checkpoint);
  std::optional<int> pause(int signal);
  int finish();
  /// Seconds of training, also before the checkpoint.
  double seconds() const;

  Group& group_;
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
  Clock::time_point start_ = Clock::now();
  Moment now_;
  double validated_ = 0, saved_ = 0;  // when, in seconds of the run
  std::optional<double> next_try_;    // to save a run that has to end
};

}  // namespace rw::cli
