#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <numbers>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/core/threads.h>
#include <rewind/models/text/bigram.h>
#include <rewind/tools/cli/interrupt.h>
#include <rewind/tools/cli/messages.h>
#include <rewind/tools/cli/places.h>
#include <rewind/tools/cli/train_run.h>

namespace rw::cli {

namespace {

std::string fallback_checkpoint(const RunFiles& files) {
  std::error_code none;  // beside a device there is no place
  const bool device = std::filesystem::exists(files.out, none) && !std::filesystem::is_regular_file(files.out, none);
  return device ? "model.safetensors.checkpoint" : files.out + ".checkpoint";
}

/// A path as a person can paste it into a shell.
std::string for_shell(const std::string& path) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("_./+=:,-@%").find(c) != std::string::npos;
  };
  if (std::all_of(path.begin(), path.end(), plain)) return path;
  std::string out = "'";
  for (const char c : path) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return shown(out + "'", 10000);
}

/// What can fail at the end of a run is tried before it begins.
TrainCommand with_checked_places(TrainCommand command) {
  const RunFiles& f = command.files;
  if (!f.curve.empty()) require_gnuplot();
  std::vector<Input> inputs;
  for (const std::string& text : f.texts) inputs.push_back({"TEXT", text});
  std::vector<Output> outputs = {{"--out", f.out, FileKind::safetensors}, {"--curve", f.curve, FileKind::svg}};
  if (!f.checkpoint.empty()) outputs.push_back({"--checkpoint", f.checkpoint, FileKind::safetensors});
  check_places(inputs, outputs);
  if (!command.resume.empty())  // the only place that a run may both read and write is its checkpoint
    check_places({{"--resume", command.resume}}, {outputs[0], outputs[1]});
  if (f.checkpoint.empty()) check_places(inputs, {{"the checkpoint", fallback_checkpoint(f), FileKind::safetensors}});
  return command;
}

/// Paths that mean the same after the working folder has changed, or is gone.
RunFiles absolute(RunFiles files) {
  const auto make = [](std::string& path) {
    if (!path.empty()) path = std::filesystem::absolute(path);
  };
  for (std::string& text : files.texts) make(text);
  for (std::string* path : {&files.out, &files.checkpoint, &files.curve}) make(*path);
  return files;
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
  if (array.dtype() != DType::f64) throw Error("the points of its curve are no numbers of 64 bits");
  const auto numbers = array.span<double>();
  for (std::size_t i = 0; i + 1 < numbers.size(); i += 2) out.push_back({numbers[i], numbers[i + 1]});
  return out;
}

double seconds_in(const Metadata& metadata) {
  const auto found = metadata.find("seconds");
  double seconds = -1;
  if (found != metadata.end()) {
    const char* const end = found->second.data() + found->second.size();
    const auto [stop, error] = std::from_chars(found->second.data(), end, seconds);
    if (error != std::errc() || stop != end) seconds = -1;
  }
  if (!(seconds >= 0 && std::isfinite(seconds))) throw Error("it does not say for how many seconds the run went on");
  return seconds;
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

TrainRun::TrainRun(TrainCommand command, const std::optional<ArrayFile>& checkpoint, Group& group)
    : group_(group),
      command_(chief() ? with_checked_places(std::move(command)) : std::move(command)),
      trainer_(command_.options, command_.budget, corpus_for(command_, checkpoint.has_value()), group),
      places_(absolute(command_.files)),
      progress_(command_.quiet || !chief()),
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
    seconds_before_ = seconds_in(checkpoint.metadata);
  } catch (const Error& error) {
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
  const Index shards = std::min(o.shards, o.batch);
  if (group_.size() > 1)
    progress_.say(fmt::format("{} shards on {} processes{}", shards, group_.size(), idle_text(shards, o.batch)));
  if (!command_.resume.empty())
    progress_.say(fmt::format("resumed from {} at step {}; the model goes to {}", command_.resume, trainer_.steps(),
                              command_.files.out));
}

/// Of processes without a shard: ": 2 have none, --shards 4 would use them all".
std::string TrainRun::idle_text(Index shards, Index batch) const {
  const Index size = group_.size();
  if (size <= shards) return "";
  return fmt::format(": {} {} none, {}--shards {} would use them all", size - shards,
                     size - shards == 1 ? "has" : "have", batch < size ? fmt::format("--batch {} and ", size) : "",
                     size);
}

int TrainRun::run() {
  ignore_broken_pipes();
  const Interrupt interrupt;
  say_start();
  start_ = Clock::now();
  now_ = agreed();
  validated_ = saved_ = now_.seconds;
  first_step_ = trainer_.steps();
  while (!trainer_.done(now_.seconds)) {  // each step ends with another moment
    const bool time = command_.pause_after > 0 && trainer_.steps() - first_step_ >= command_.pause_after;
    if (now_.signal != 0 || time)
      if (const std::optional<int> code = pause(now_.signal)) return *code;
    step();
  }
  return finish();
}

TrainRun::Moment TrainRun::agreed() const {
  const std::vector<Moment> all = gather_values(group_, Moment{seconds(), Interrupt::signal()});
  Moment out = all.front();
  for (const Moment& other : all) out.signal = std::max(out.signal, other.signal);
  return out;
}

void TrainRun::step() {
  const auto begin = Clock::now();
  trainer_.schedule(trainer_.fraction(now_.seconds));
  if (threads_.next() != threads()) set_threads(threads_.next());  // a change stops and starts workers
  const double loss = trainer_.step();
  const double time = std::chrono::duration<double>(Clock::now() - begin).count(), rate = 1 / std::max(time, 1e-9);
  threads_.took(time);
  const bool first = trainer_.steps() == first_step_ + 1;
  steps_per_second_ = first ? rate : 0.95 * steps_per_second_ + 0.05 * rate;
  loss_ = curve_.train.empty() ? loss : 0.98 * loss_ + 0.02 * loss;
  constexpr std::size_t most_points = 8192;  // a run of any length takes so much memory, and no more
  if (curve_.train.size() >= most_points) curve_.train = thinned(curve_.train, most_points / 2);
  curve_.train.push_back({trainer_.epochs(), loss});
  if (Interrupt::signal() == 0) progress_.show(status());
  // Often enough for a curve, seldom enough to cost little: after an epoch, but every 5 s at most and 30 s at least.
  now_ = agreed();
  const double waited = now_.seconds - validated_;
  const bool looks = trainer_.at_epoch_end() && trainer_.options().looks();
  if (looks || (trainer_.at_epoch_end() && waited > 5) || waited > 30) validate();
  if (looks) trainer_.observe(held_out_);
  const bool old = now_.seconds - saved_ > 5;
  if (trainer_.at_epoch_end() && old && !command_.files.checkpoint.empty()) save_on_the_way();
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
  validated_ = now_.seconds;
  if (curve_.bigram == 0 || validated_step_ == trainer_.steps()) return;
  validated_step_ = trainer_.steps();
  held_out_ = trainer_.held_out_loss();
  curve_.held_out.push_back({trainer_.epochs(), held_out_});
  progress_.say(fmt::format("epoch {:.2f}  train {:.3f}  held out {:.3f} nats ({:.3f} bits) per character",
                            trainer_.epochs(), loss_, held_out_, held_out_ / std::numbers::ln2));
}

RunFiles TrainRun::files_at(const std::string& checkpoint) const {
  RunFiles files = places_;
  files.checkpoint = std::filesystem::absolute(checkpoint);
  return files;
}

ArrayFile TrainRun::checkpoint(const std::string& path) const {
  ArrayFile file = trainer_.save(files_at(path));
  file.arrays.push_back({train_points, to_array(curve_.train)});
  file.arrays.push_back({held_out_points, to_array(curve_.held_out)});
  file.metadata["seconds"] = fmt::format("{}", seconds());
  return file;
}

/// The one before it stays, and room may be made until the next.
void TrainRun::save_on_the_way() {
  const ArrayFile file = checkpoint(places_.checkpoint);
  try {
    if (chief()) save_arrays(places_.checkpoint, file);
  } catch (const std::exception& error) {
    progress_.warn(fmt::format("no checkpoint this time: {}", error.what()));
  }
  saved_ = now_.seconds;
}

/// Where a checkpoint is saved of a run that has to end now: where it should be, or in the next best place. Throws
/// Error, with the first reason, when none takes it.
std::string TrainRun::save_somewhere(ArrayFile file) const {
  std::vector<std::string> paths = {fallback_checkpoint(places_)};
  if (!places_.checkpoint.empty()) paths.insert(paths.begin(), places_.checkpoint);
  std::error_code none;
  const std::filesystem::path temporary = std::filesystem::temp_directory_path(none);
  if (!none) paths.push_back(temporary / fmt::format("rewind-{}.checkpoint", getpid()));
  std::string reason;
  for (const std::string& path : paths) {
    try {
      set_files(file, files_at(path));
      save_arrays(path, file);
      return path;
    } catch (const std::exception& error) {
      if (reason.empty()) reason = error.what();
    }
  }
  throw Error("the run could not be saved: " + reason);
}

std::string TrainRun::resume_command(const std::string& path) const {
  std::string typed = path;
  if (path == places_.checkpoint) typed = command_.files.checkpoint;
  if (path == fallback_checkpoint(places_)) typed = fallback_checkpoint(command_.files);
  std::string command = "rewind train --resume " + for_shell(typed);
  if (!lies_beside(path, places_.out)) command += " --out " + for_shell(command_.files.out);
  if (!places_.curve.empty() && !lies_beside(path, places_.curve))
    command += " --curve " + for_shell(command_.files.curve);
  return command;
}

/// Saves the run; the exit code. While no place takes it, training goes on, and it is tried again every second: work
/// is lost only when somebody sends a second signal.
std::optional<int> TrainRun::pause(int signal) {
  if (next_try_ && now_.seconds < *next_try_) return std::nullopt;
  ArrayFile file = checkpoint(fallback_checkpoint(places_));
  std::string path;
  char saved = 1;
  try {
    if (chief()) path = save_somewhere(std::move(file));
  } catch (const Error& error) {
    if (!next_try_) progress_.warn(fmt::format("{}; make room: it goes on, and ends when it is saved", error.what()));
    saved = 0;
  }
  if (gather_values(group_, saved).front() == 0) {
    next_try_ = now_.seconds + 1;
    return std::nullopt;
  }
  const int code = signal != 0 ? 128 + signal : 0;
  if (!chief()) return code;
  progress_.clear();
  result(fmt::format("{} after step {}; go on with: {}\n", signal != 0 ? "interrupted" : "paused", trainer_.steps(),
                     resume_command(path)));
  return code;
}

/// The model comes first; the run is saved in any case when that fails.
void TrainRun::save_model() {
  std::optional<std::string> error;
  try {
    if (chief()) trainer_.save_model(places_.out);
  } catch (const std::exception& e) {
    error = e.what();
  }
  const char needed = error.has_value() || !places_.checkpoint.empty() ? 1 : 0;
  if (gather_values(group_, needed).front() == 0) return;
  ArrayFile file = checkpoint(places_.checkpoint.empty() ? fallback_checkpoint(places_) : places_.checkpoint);
  if (!chief()) return;
  if (error)
    throw Error(fmt::format("{}; the run is saved: make room, and go on with: {}", *error,
                            resume_command(save_somewhere(std::move(file)))));
  save_arrays(places_.checkpoint, file);
}

int TrainRun::finish() {
  if (trainer_.finish()) validated_step_ = -1;  // the weights are others
  validate();
  if (trainer_.stopped())
    progress_.say(fmt::format("stopped: {} epochs without a better held-out loss", trainer_.options().early_stop));
  save_model();
  if (!chief()) return 0;
  held_out_ = trainer_.best_held_out().value_or(held_out_);
  progress_.clear();
  result(fmt::format("{}: {} parameters, {} steps in {}\n", shown(command_.files.out, 1000),
                     counted(trainer_.model().parameter_count()), trainer_.steps(), time_text(seconds())));
  if (curve_.bigram > 0)
    result(fmt::format("held-out loss: {}\nbigram model:  {}\n", loss_text(held_out_), loss_text(curve_.bigram)));
  if (!places_.curve.empty()) write_curve(places_.curve, curve_);
  return 0;
}

}  // namespace rw::cli
