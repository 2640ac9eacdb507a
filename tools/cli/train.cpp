#include <memory>

#include <CLI/CLI.hpp>

#include <rewind/core/gemm/gemm.h>
#include <rewind/core/threads.h>
#include <rewind/models/parallel/mpi.h>
#include <rewind/tools/cli/commands.h>
#include <rewind/tools/cli/messages.h>
#include <rewind/tools/cli/train_run.h>

namespace rw::cli {

namespace {

std::unique_ptr<TrainRun> prepared(TrainCommand& command, Group& group) {
  std::optional<ArrayFile> checkpoint;
  if (command.resume.empty()) {
    complete(command);
  } else {
    checkpoint = load_arrays(command.resume);
    complete(command, read_checkpoint(*checkpoint, command.resume));
  }
  if (command.options.portable_bits) set_portable_bits(true);
  if (command.threads > 0) set_threads(command.threads);
  return std::make_unique<TrainRun>(command, checkpoint, group);
}

/// What one of several processes lacks, all get to know; process 0 says it.
int train_together(TrainCommand& command, Group& group) {
  std::unique_ptr<TrainRun> run;
  std::optional<std::string> error;
  try {
    run = prepared(command, group);
  } catch (const std::exception& e) {
    error = e.what();
  }
  try {
    throw_errors_of_any(group, error);
    run->require_equal_processes();
    return run->run();
  } catch (const GroupError& e) {
    if (group.rank() == 0) message("rewind: " + one_line(e.what()) + "\n");
    return 1;
  }
}

int train(TrainCommand& command) {
  const std::unique_ptr<Group> group = open_group();
  return group->size() == 1 ? prepared(command, *group)->run() : train_together(command, *group);
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
