#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <rewind/models/optim/early_stopping.h>
#include <rewind/models/optim/optimizer.h>
#include <rewind/models/optim/schedule.h>
#include <rewind/models/optim/weight_average.h>
#include <rewind/models/parallel/local_steps.h>
#include <rewind/models/parallel/sharded.h>
#include <rewind/models/text/char_model.h>
#include <rewind/models/text/data.h>
#include <rewind/tools/cli/shard.h>
#include <rewind/tools/cli/train_options.h>

namespace rw::cli {

/// The text of a run: its characters as numbers, and a mark by which a checkpoint knows it again.
struct Corpus {
  Vocabulary vocabulary;
  std::vector<std::int32_t> symbols;
  /// Number of characters and a hash of them.
  std::string mark;
};

/// Reads text files one after the other. Throws Error for one that cannot be read, is no UTF-8, or is empty.
Corpus read_corpus(const std::vector<std::string>& paths);

/// A training run that can be saved between any two updates, and goes on from there to the same bits. The batch is
/// split into shards: how many is an option of the run and does not depend on the machine. The processes of a group
/// share them out, and threads within each do, and neither number changes a bit. All processes of the group make the
/// calls of `step`, `held_out_loss`, `save` and `require_equal_processes` together.
class Trainer {
 public:
  /// Throws Error for a text that is too short.
  Trainer(const TrainOptions& options, const Budget& budget, Corpus corpus, Group& group = alone());

  /// Throws Error, in all processes, unless each has the same version, options, text and weights, and computes the same
  /// bits from them: products of another instruction set may not.
  void require_equal_processes();

  /// One update with the next chunk, of each shard's copy of the model with `local_steps`, of which every so many meet;
  /// returns its loss before the update. Throws Error when the loss or a gradient is not finite any more.
  double step();
  /// The run is over: copies that have not met since their last step do so; gives whether there were any.
  bool finish();
  /// Mean loss of the held-out chunks, read from a zero state, without dropout, with averaged weights if there are.
  double held_out_loss();
  /// After an epoch whose held-out loss this is, where options say `looks()`: the rate may fall, the run may be done.
  void observe(double held_out);
  /// Saves the model with the weights that are to be kept: the averages or, of a run that stops early, the best ones.
  /// Training may go on.
  void save_model(const std::string& path);
  /// The loss of the best weights so far, of a run that stops early.
  std::optional<double> best_held_out() const;

  /// Updates made, also before a checkpoint, and where that is.
  Index steps() const { return local_ ? local_done_ : optimizer_->steps(); }
  /// Updates of the whole run; 0 when time sets the end.
  Index all_steps() const;
  double epochs() const { return static_cast<double>(steps()) / static_cast<double>(data_.train_chunks()); }
  bool at_epoch_end() const { return steps() > 0 && steps() % data_.train_chunks() == 0; }
  /// How much of the budget is used, given the seconds spent so far, and whether that is all.
  double fraction(double seconds) const;
  bool done(double seconds) const { return fraction(seconds) >= 1 || stopped(); }
  /// Whether the held-out loss no longer falls.
  bool stopped() const { return stopping_ && stopping_->stopped(); }
  double rate() const { return optimizer_->rate(); }
  /// Sets the learning rate for the next step, `fraction` of the way.
  void schedule(double fraction);

  const CharModel& model() const { return model_; }
  const TextData& data() const { return data_; }
  const TrainOptions& options() const { return options_; }

  /// Everything that the next step depends on, and the files that the run works on. For process 0 to write: that of the
  /// others lacks what only process 0 collects.
  ArrayFile save(const RunFiles& files) const;
  /// Throws Error, which begins with `source`, when it does not fit.
  void restore(const ArrayFile& file, const std::string& source);

 private:
  /// Of this process.
  using Shards = std::vector<std::unique_ptr<Shard>>;
  Shards make_shards(bool learn) const;
  std::unique_ptr<Shard> make_shard(Index number, bool learn, const CharModel& model) const;
  /// The part of the batch that is this shard's.
  double share_of(Index number) const;
  /// With `local_steps`: what trains a shard's copy of the model.
  struct Worker {
    CharModel model;
    std::vector<NamedParameter> parameters;
    std::unique_ptr<Optimizer> optimizer;
  };
  Worker& worker(Index number) const { return *workers_[static_cast<std::size_t>(number - sharded_.first())]; }
  std::vector<std::unique_ptr<Worker>> make_workers() const;
  double step_together(Index chunk);
  double step_apart(Index chunk);
  void meet();
  Shard& own(const Shards& shards, Index number) const {
    return *shards[static_cast<std::size_t>(number - sharded_.first())];
  }
  /// What process 0 needs of the other processes to save them, of all shards, in order: their carried states, and with
  /// `local_steps` their workers' arrays.
  std::vector<SavedState> all_shard_arrays() const;
  /// Those of a shard of this process.
  SavedState shard_arrays(Index number) const;
  void set_shard_arrays(Index number, const SavedState& arrays);
  /// The same types and shapes, of any shard.
  SavedState like_shard_arrays(Index number) const;
  void clip(std::span<const NamedParameter> parameters) const;
  /// Arrays of those of them that there are.
  std::vector<NamedArray> helper_state() const;
  void set_helper_state(const ArrayFile& file);
  void set_local_state(const ArrayFile& file);

  TrainOptions options_;
  Budget budget_;
  std::string mark_;
  TextData data_;
  CharModel model_;
  std::vector<NamedParameter> parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<Plateau> plateau_;
  std::optional<EarlyStopping> stopping_;
  std::optional<WeightAverage> average_;
  ShardedGradients sharded_;
  std::vector<std::unique_ptr<Worker>> workers_;
  Shards shards_, held_out_shards_;
  std::optional<LocalSteps> local_;
  Index local_done_ = 0, local_met_ = 0;  // steps, and those before the last meeting
};

/// Writes into a checkpoint which files its run works on.
void set_files(ArrayFile& checkpoint, const RunFiles& files);

/// Options and budget as a checkpoint has them.
std::string text_of(const TrainOptions& options, const Budget& budget);

/// What a checkpoint says of its run: options, budget and files. Throws Error, which begins with `source`, unless the
/// file is a checkpoint that `Trainer::restore` may take.
TrainCommand read_checkpoint(const ArrayFile& file, const std::string& source);

}  // namespace rw::cli
