#include <cmath>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/choices.h>
#include <rewind/tools/cli/numbers.h>
#include <rewind/tools/cli/places.h>
#include <rewind/tools/cli/train_options.h>

namespace rw::cli {

namespace {

void need(bool good, const char* option, double value, const char* what) {
  if (!good) throw Error(fmt::format("{} is {}: it must be {}", option, value, what));
}

void need_one_of(const char* option, const std::string& value, std::span<const std::string_view> names) {
  std::string list;
  for (std::string_view name : names) {
    if (value == name) return;
    list += (list.empty() ? "" : ", ") + std::string(name);
  }
  throw Error(fmt::format("{} is {}: it must be one of {}", option, value, list));
}

void check_cell(const std::string& name, Index embedding) {
  try {
    check_cell_name(name);
  } catch (const Error& error) {
    throw Error(fmt::format("--cell is {}: {}", name, error.what()));
  }
  const detail::CellChoices choices(name);
  if (choices.has("learned"))
    throw Error(fmt::format(
        "--cell is {}: learned is for many short sequences, and a text is one, which begins once an epoch", name));
  if (embedding == 0 && choices.number("drop-x") != 0)
    throw Error(fmt::format(
        "--cell is {}: a one-hot character has no features to drop; give --embedding, or leave drop-x out", name));
}

bool positive(double x) { return std::isfinite(x) && x > 0; }
bool not_negative(double x) { return std::isfinite(x) && x >= 0; }

void need_one_of(const char* option, const std::string& value, std::initializer_list<std::string_view> names) {
  need_one_of(option, value, std::span(names.begin(), names.size()));
}

template <class T>
CLI::Option* add(CLI::App& app, const char* name, T& value, const std::string& help) {
  if constexpr (std::is_same_v<T, bool>)
    return app.add_flag(name, value, help);
  else
    return app.add_option(name, value, help)->capture_default_str();
}

template <class T>
void option(CLI::App& app, TrainCommand& command, const char* group, const char* name, T TrainOptions::*field,
            const std::string& help) {
  CLI::Option* added = add(app, name, command.options.*field, help)->group(group);
  command.given.push_back(
      {name, added, [field](const TrainOptions& from, TrainOptions& to) { to.*field = from.*field; }});
}

void add_model_options(CLI::App& app, TrainCommand& c) {
  using O = TrainOptions;
  option(app, c, "Model", "--cell", &O::cell, cells_with_options());
  option(app, c, "Model", "--layers", &O::layers, "Layers of cells");
  option(app, c, "Model", "--hidden", &O::hidden, "Numbers in a layer's state");
  option(app, c, "Model", "--embedding", &O::embedding, "Length of the vector for a character; 0: one-hot");
  option(app, c, "Model", "--dropout", &O::dropout, "Part of a layer's outputs that is dropped while training");
  option(app, c, "Model", "--init", &O::init, "Start of the weights: default, glorot, orthogonal, uniform or normal");
  option(app, c, "Model", "--init-scale", &O::init_scale, "Half width of uniform, deviation of normal");
}

void add_training_options(CLI::App& app, TrainCommand& c) {
  using O = TrainOptions;
  option(app, c, "Data", "--batch", &O::batch, "Streams that are read side by side");
  option(app, c, "Data", "--sequence", &O::sequence, "Steps from one update to the next");
  option(app, c, "Data", "--shards", &O::shards,
         "Parts of the batch that threads, and processes of mpirun, work on at the same time");
  option(app, c, "Data", "--local-steps", &O::local_steps,
         "Updates that each shard makes by itself between two meetings (DiLoCo, for slow networks); 0: all together");
  option(app, c, "Data", "--split", &O::held_out, "Part of the text that is held out");
  option(app, c, "Data", "--seed", &O::seed, "Seed of the starting weights and of dropout");

  option(app, c, "Optimizer", "--optimizer", &O::optimizer, "sgd, momentum, rmsprop, adam or adamw");
  option(app, c, "Optimizer", "--rate", &O::rate, "Learning rate");
  option(app, c, "Optimizer", "--schedule", &O::schedule,
         "constant; steps: times --decay after each epoch from --decay-after on; exponential: times --decay an epoch, "
         "evenly; cosine: up, then down to the run's end; plateau: times --decay (0.5 unless given) after --patience "
         "epochs without a better held-out loss");
  option(app, c, "Optimizer", "--decay", &O::decay, "Factor of the rate, for steps, exponential and plateau");
  option(app, c, "Optimizer", "--decay-after", &O::decay_after, "Epochs before the first decay, for steps");
  option(app, c, "Optimizer", "--patience", &O::patience, "Epochs without a better held-out loss, for plateau");
  option(app, c, "Optimizer", "--warm-up", &O::warm_up,
         "Updates in which the rate grows to what the schedule says; 0: none (cosine: 3% of the run)");
  option(app, c, "Optimizer", "--average", &O::average,
         "Save the moving average of the weights, of which so much stays at each update, as 0.999; 0: the last ones");
  option(app, c, "Optimizer", "--clip", &O::clip, "Most that the norm of all gradients may be; 0: any");
  option(app, c, "Optimizer", "--clip-value", &O::clip_value, "Most that a number of a gradient may be; 0: any");
}

void add_run_options(CLI::App& app, TrainCommand& c) {
  app.add_option("--epochs", c.budget.epochs, "End after so many passes over the text (10, when nothing else ends it)")
      ->group("Run");
  app.add_option("--steps", c.budget.steps, "End after so many updates; 0: no such limit")->group("Run");
  app.add_option("--seconds", c.budget.seconds, "End after so much time")->group("Run");
  app.add_option("--out", c.files.out, "The model, a safetensors file (model.safetensors)")->group("Run");
  app.add_option("--curve", c.files.curve, "Draw the losses into this SVG file")->group("Run");
  app.add_option("--checkpoint", c.files.checkpoint,
                 "Save the run here after epochs, at its end and on Ctrl-C (which else saves to OUT.checkpoint)")
      ->group("Run");
  app.add_option("--resume", c.resume, "Go on from this checkpoint, to the same bits as a run that was never stopped")
      ->group("Run");
  option(app, c, "Run", "--early-stop", &TrainOptions::early_stop,
         "End after so many epochs without a better held-out loss, and save the best weights; 0: go on");
  option(app, c, "Run", "--eager", &TrainOptions::eager,
         "Run op by op; otherwise a step is traced once, optimised and replayed");
  option(app, c, "Run", "--portable-bits", &TrainOptions::portable_bits,
         "Use products that have the same bits on all processors of a kind, which take several times as long");
  app.add_option("--pause-after", c.pause_after, "Stop after so many updates, as Ctrl-C would; go on with --resume")
      ->group("Run");
  app.add_option("--threads", c.threads, "Threads to use; 0: as many as processors")->group("Run");
  app.add_flag("--quiet", c.quiet, "Show no progress")->group("Run");
}

bool is_empty(const Budget& b) { return b.epochs == 0 && b.seconds == 0 && b.steps == 0; }

bool was_given(const TrainCommand& command, const std::string& name) {
  for (const auto& given : command.given)
    if (given.name == name) return given.option->count() > 0;
  return false;
}

void check_rest(const TrainCommand& c) {
  if (c.files.texts.empty()) throw Error("which TEXT to learn? (see rewind train --help)");
  need_count("--threads", c.threads, 0, 1024);
  need_count("--pause-after", c.pause_after, 0);
  check(c.budget);
}

}  // namespace

void check(const TrainOptions& o) {
  check_cell(o.cell, o.embedding);
  need_count("--layers", o.layers);
  need_count("--hidden", o.hidden);
  need_count("--embedding", o.embedding, 0);
  need(o.dropout >= 0 && o.dropout < 1, "--dropout", o.dropout, "at least 0 and below 1");
  need_count("--batch", o.batch);
  need_count("--sequence", o.sequence);
  need_count("--shards", o.shards);
  need_count("--local-steps", o.local_steps, 0);
  need(o.held_out >= 0 && o.held_out < 1, "--split", o.held_out, "at least 0 and below 1");
  need_one_of("--optimizer", o.optimizer, {"sgd", "momentum", "rmsprop", "adam", "adamw"});
  need_one_of("--schedule", o.schedule, {"constant", "steps", "exponential", "cosine", "plateau"});
  need(positive(o.rate), "--rate", o.rate, "a positive number");
  need(positive(o.decay) && o.decay <= 1, "--decay", o.decay, "above 0 and at most 1");
  need_count("--decay-after", o.decay_after, 0);
  need(o.decay < 1 || o.schedule != "plateau", "--decay", o.decay, "below 1 for --schedule plateau");
  need_count("--patience", o.patience, 0);
  need_count("--warm-up", o.warm_up, 0);
  need_count("--early-stop", o.early_stop, 0);
  need(o.average >= 0 && o.average < 1, "--average", o.average, "at least 0 and below 1");
  need(o.held_out > 0 || !o.looks(), "--split", o.held_out, "above 0 for --schedule plateau and --early-stop");
  need(not_negative(o.clip), "--clip", o.clip, "a positive number, or 0 for none");
  need(not_negative(o.clip_value), "--clip-value", o.clip_value, "a positive number, or 0 for none");
  need_one_of("--init", o.init, {"default", "glorot", "orthogonal", "uniform", "normal"});
  need(positive(o.init_scale), "--init-scale", o.init_scale, "a positive number");
}

void check(const Budget& b) {
  need(not_negative(b.epochs), "--epochs", b.epochs, "a positive number");
  need(not_negative(b.seconds), "--seconds", b.seconds, "a positive number");
  need_count("--steps", b.steps, 0);
  if ((b.epochs > 0) + (b.seconds > 0) + (b.steps > 0) != 1)
    throw Error("how long to train: give one of --epochs, --steps and --seconds, above 0");
}

TrainOptions char_rnn_recipe() {
  return {.layers = 2,
          .hidden = 128,
          .embedding = 0,
          .batch = 50,
          .sequence = 50,
          .held_out = 0.05,
          .optimizer = "rmsprop",
          .schedule = "steps",
          .rate = 2e-3,
          .decay = 0.97,
          .decay_after = 10,
          .clip = 0,
          .clip_value = 5,
          .init = "uniform",
          .init_scale = 0.08};
}

void add_train_options(CLI::App& app, TrainCommand& c) {
  app.add_option("TEXT", c.files.texts, "Text files in UTF-8, read one after the other");
  app.add_option("--recipe", c.recipe, "Begin with somebody's options: char-rnn (Karpathy, 2015)");
  add_model_options(app, c);
  add_training_options(app, c);
  add_run_options(app, c);
}

void complete(TrainCommand& c) {
  const TrainOptions said = c.options;
  if (!c.recipe.empty()) {
    need_one_of("--recipe", c.recipe, {"char-rnn"});
    c.options = char_rnn_recipe();
    for (const auto& given : c.given)
      if (given.option->count() > 0) given.copy(said, c.options);
  }
  if (was_given(c, "--decay") && !was_given(c, "--schedule")) c.options.schedule = "steps";
  if (!was_given(c, "--decay") && c.options.schedule == "plateau") c.options.decay = 0.5;
  if (is_empty(c.budget)) c.budget.epochs = 10;
  if (c.files.out.empty()) c.files.out = "model.safetensors";
  check(c.options);
  check_rest(c);
}

void complete(TrainCommand& c, const TrainCommand& saved) {
  if (!c.recipe.empty()) throw Error("--recipe cannot be given with --resume: the checkpoint has all options");
  for (const auto& given : c.given)
    if (given.option->count() > 0) throw Error(given.name + " cannot be given with --resume: the checkpoint has it");
  c.options = saved.options;
  if (is_empty(c.budget)) c.budget = saved.budget;
  const auto taken_over = [&](const char* option, std::string& path, const std::string& from) {
    if (!path.empty() || from.empty()) return;
    if (!lies_beside(c.resume, from))
      throw Error(fmt::format("{} would write {}, outside of its folder: give {} to say where", c.resume,
                              shown(from, 1000), option));
    path = from;
  };
  if (c.files.texts.empty()) c.files.texts = saved.files.texts;
  taken_over("--out", c.files.out, saved.files.out);
  taken_over("--curve", c.files.curve, saved.files.curve);
  taken_over("--checkpoint", c.files.checkpoint, saved.files.checkpoint);
  check_rest(c);
}

void fit_to_text(TrainCommand& c, Index characters) {
  TrainOptions& o = c.options;
  const auto too_few = [&] { return characters / o.batch / o.sequence < 20; };
  if (!c.recipe.empty()) return;
  if (!was_given(c, "--batch"))
    while (o.batch > 1 && too_few()) o.batch /= 2;
  if (!was_given(c, "--sequence"))
    while (o.sequence > 8 && too_few()) o.sequence /= 2;
}

}  // namespace rw::cli
