#include <memory>

#include <CLI/CLI.hpp>

#include <rewind/core/threads.h>
#include <rewind/tools/cli/commands.h>
#include <rewind/tools/cli/train_run.h>

namespace rw::cli {

namespace {

int train(TrainCommand& command) {
  std::optional<ArrayFile> checkpoint;
  if (command.resume.empty()) {
    complete(command);
  } else {
    checkpoint = load_arrays(command.resume);
    complete(command, read_checkpoint(*checkpoint, command.resume));
  }
  if (command.threads > 0) set_threads(command.threads);
  return TrainRun(command, checkpoint).run();
}

}  // namespace

void add_train(CLI::App& rewind) {
  CLI::App* app = rewind.add_subcommand("train", "Train a character model on text files");
  const auto command = std::make_shared<TrainCommand>();
  add_train_options(*app, *command);
  app->footer(
      "Ctrl-C, SIGTERM and SIGHUP save a checkpoint after the step that runs and end with exit code 128 + the "
      "signal's\n"
      "number. Without a text file that is new, `rewind train --resume CHECKPOINT` reads the same files again.");
  app->callback([command] { exit_code = train(*command); });
}

}  // namespace rw::cli
