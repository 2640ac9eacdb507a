#include <algorithm>
#include <filesystem>
#include <numbers>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/models/text/bigram.h>
#include <rewind/models/weights/file.h>
#include <rewind/tools/cli/interrupt.h>
#include <rewind/tools/cli/train_run.h>

namespace rw::cli {

namespace {

/// Throws Error when no file can be made beside `path`, so that a long run does not fail at its end.
void require_writable(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (path.empty()) return;
  if (fs::is_directory(path, ignored)) throw Error(path + ": cannot write: it is a folder");
  if (fs::exists(path, ignored) && !fs::is_regular_file(path, ignored)) return;  // a device: opened when written
  const std::string probe = path + ".probe";
  try {
    write_file(probe, "");
  } catch (const Error& e) {
    throw Error(path + std::string(e.what()).substr(probe.size()));  // the user knows of no probe
  }
  fs::remove(probe, ignored);
}

TrainCommand with_checked_places(TrainCommand command) {
  if (!command.files.curve.empty()) require_gnuplot();
  for (const std::string* path : {&command.files.out, &command.files.curve, &command.files.checkpoint})
    require_writable(*path);
  return command;
}

Corpus corpus_for(TrainCommand& command, bool resumed) {
  Corpus corpus = read_corpus(command.files.texts);
  if (!resumed) fit_to_text(command, static_cast<Index>(corpus.symbols.size()));
  return corpus;
}

Array to_array(const std::vector<Curve::Point>& points) {
  Array out({static_cast<Index>(points.size()), 2}, DType::f64);
  double* to = out.span<double>().data();
  for (const auto& p : points) {
    *to++ = p.epoch;
    *to++ = p.loss;
  }
  return out;
}

std::vector<Curve::Point> to_points(const Array& array) {
  std::vector<Curve::Point> out;
  const auto numbers = array.span<double>();
  for (std::size_t i = 0; i + 1 < numbers.size(); i += 2) out.push_back({numbers[i], numbers[i + 1]});
  return out;
}

/// 239297 as "239,297".
std::string counted(Index n) {
  std::string out = fmt::format("{}", n);
  for (int at = static_cast<int>(out.size()) - 3; at > 0; at -= 3) out.insert(static_cast<std::size_t>(at), ",");
  return out;
}

constexpr const char* train_points = "curve.train";
constexpr const char* held_out_points = "curve.held_out";

}  // namespace

TrainRun::TrainRun(TrainCommand command, const std::optional<ArrayFile>& checkpoint)
    : command_(with_checked_places(std::move(command))),
      trainer_(command_.options, command_.budget, corpus_for(command_, checkpoint.has_value())),
      progress_(command_.quiet),
      threads_(threads()) {
  if (checkpoint) restore(*checkpoint);
  if (trainer_.data().held_out_chunks() > 0)
    curve_.bigram = bigram_loss(trainer_.data(), trainer_.model().vocabulary().size());
}

void TrainRun::restore(const ArrayFile& checkpoint) {
  trainer_.restore(checkpoint, command_.resume);
  try {
    curve_.train = to_points(checkpoint.at(train_points));
    curve_.held_out = to_points(checkpoint.at(held_out_points));
    seconds_before_ = std::stod(checkpoint.metadata.at("seconds"));
  } catch (const std::exception& error) {
    throw Error(fmt::format("{}: a broken checkpoint: {}", command_.resume, error.what()));
  }
  if (!curve_.train.empty()) loss_ = curve_.train.back().loss;
}

double TrainRun::seconds() const {
  return seconds_before_ + std::chrono::duration<double>(Clock::now() - start_).count();
}

void TrainRun::say_start() {
  const CharModel& model = trainer_.model();
  const TrainOptions& o = trainer_.options();
  progress_.say(fmt::format("{}: {} x {}, {} parameters, {} different characters", o.cell, o.layers, o.hidden,
                            counted(model.parameter_count()), model.vocabulary().size()));
  progress_.say(fmt::format("text: {} streams x {} chunks of {} characters, the last {} chunks held out", o.batch,
                            trainer_.data().chunks(), o.sequence, trainer_.data().held_out_chunks()));
  if (!command_.resume.empty())
    progress_.say(fmt::format("resumed from {} at step {}", command_.resume, trainer_.steps()));
}

int TrainRun::run() {
  const Interrupt interrupt;
  say_start();
  start_ = validated_ = saved_ = Clock::now();
  first_step_ = trainer_.steps();
  while (!trainer_.done(seconds())) {
    if (const int signal = Interrupt::signal()) return pause(signal);
    if (command_.pause_after > 0 && trainer_.steps() - first_step_ >= command_.pause_after) return pause(0);
    step();
  }
  return finish();
}

void TrainRun::step() {
  const auto begin = Clock::now();
  trainer_.schedule(trainer_.fraction(seconds()));
  if (threads_.next() != threads()) set_threads(threads_.next());  // a change stops and starts workers
  const double loss = trainer_.step();
  const double time = std::chrono::duration<double>(Clock::now() - begin).count(), rate = 1 / std::max(time, 1e-9);
  threads_.took(time);
  const bool first = trainer_.steps() == first_step_ + 1;
  steps_per_second_ = first ? rate : 0.95 * steps_per_second_ + 0.05 * rate;
  loss_ = curve_.train.empty() ? loss : 0.98 * loss_ + 0.02 * loss;
  curve_.train.push_back({trainer_.epochs(), loss});
  progress_.show(status());
  // Often enough for a curve, seldom enough to cost little: after an epoch, but every 5 s at most and 30 s at least.
  const double waited = std::chrono::duration<double>(Clock::now() - validated_).count();
  const bool looks = trainer_.at_epoch_end() && trainer_.options().looks();
  if (looks || (trainer_.at_epoch_end() && waited > 5) || waited > 30) validate();
  if (looks) trainer_.observe(held_out_);
  const bool old = Clock::now() - saved_ > std::chrono::seconds(5);
  if (trainer_.at_epoch_end() && old && !command_.files.checkpoint.empty()) save_checkpoint(command_.files.checkpoint);
}

Status TrainRun::status() const {
  const double so_far = seconds(), fraction = trainer_.fraction(so_far);
  const Index all = trainer_.all_steps();
  const double left =
      all > 0 ? static_cast<double>(all - trainer_.steps()) / steps_per_second_ : command_.budget.seconds - so_far;
  return {.fraction = fraction,
          .step = trainer_.steps(),
          .steps = all,
          .epoch = (trainer_.steps() - 1) / trainer_.data().train_chunks() + 1,
          .loss = loss_,
          .characters_per_second = steps_per_second_ * static_cast<double>(trainer_.data().chunk_size()),
          .seconds_left = left};
}

void TrainRun::validate() {
  validated_ = Clock::now();
  if (curve_.bigram == 0 || validated_step_ == trainer_.steps()) return;
  validated_step_ = trainer_.steps();
  held_out_ = trainer_.held_out_loss();
  curve_.held_out.push_back({trainer_.epochs(), held_out_});
  progress_.say(fmt::format("epoch {:.2f}  train {:.3f}  held out {:.3f} nats ({:.3f} bits) per character",
                            trainer_.epochs(), loss_, held_out_, held_out_ / std::numbers::ln2));
}

void TrainRun::save_checkpoint(const std::string& path) {
  RunFiles files = command_.files;
  files.checkpoint = path;
  const auto absolute = [](std::string& p) {
    if (!p.empty()) p = std::filesystem::absolute(p);
  };
  for (std::string& text : files.texts) absolute(text);
  for (std::string* p : {&files.out, &files.checkpoint, &files.curve}) absolute(*p);
  ArrayFile file = trainer_.save(files);
  file.arrays.push_back({train_points, to_array(curve_.train)});
  file.arrays.push_back({held_out_points, to_array(curve_.held_out)});
  file.metadata["seconds"] = fmt::format("{}", seconds());
  save_arrays(path, file);
  saved_ = Clock::now();
}

int TrainRun::pause(int signal) {
  const std::string path =
      command_.files.checkpoint.empty() ? command_.files.out + ".checkpoint" : command_.files.checkpoint;
  save_checkpoint(path);
  progress_.clear();
  fmt::print("{} after step {}; go on with: rewind train --resume {}\n", signal != 0 ? "interrupted" : "paused",
             trainer_.steps(), path);
  return signal != 0 ? 128 + signal : 0;
}

int TrainRun::finish() {
  validate();
  if (!command_.files.checkpoint.empty()) save_checkpoint(command_.files.checkpoint);
  if (trainer_.stopped())
    progress_.say(fmt::format("stopped: {} epochs without a better held-out loss", trainer_.options().early_stop));
  trainer_.finish();
  held_out_ = trainer_.best_held_out().value_or(held_out_);
  progress_.clear();
  trainer_.model().save(command_.files.out);
  if (!command_.files.curve.empty()) write_curve(command_.files.curve, curve_);
  fmt::print("{}: {} parameters, {} steps in {}\n", command_.files.out, counted(trainer_.model().parameter_count()),
             trainer_.steps(), time_text(seconds()));
  if (curve_.bigram > 0) {
    fmt::print("held-out loss: {}\n", loss_text(held_out_));
    fmt::print("bigram model:  {}\n", loss_text(curve_.bigram));
  }
  return 0;
}

}  // namespace rw::cli
