// The `rewind` command. Exit codes: 0 done; 1 an error, with one line on standard error; 2 arguments that make no
// sense; 128 + n ended by signal n, with a checkpoint saved when there was training to save.
#include <csignal>
#include <exception>
#include <iostream>
#include <new>
#include <string>

#include <CLI/CLI.hpp>

#include <rewind/core/version.h>
#include <rewind/tools/cli/commands.h>
#include <rewind/tools/cli/messages.h>
#include <rewind/tools/cli/numbers.h>

namespace {

int run(int argc, char** argv) {
  CLI::App app("Train and look at recurrent networks.", "rewind");
  app.set_version_flag("--version", "rewind " + std::string(rw::version()));
  app.require_subcommand(1);
  rw::cli::add_train(app);
  rw::cli::add_sample(app);
  rw::cli::add_graph(app);
  rw::cli::add_gradcheck(app);
  rw::cli::add_flow(app);
  rw::cli::add_export(app);
  rw::cli::add_tune(app);
  rw::cli::check_whole_numbers(app);
  try {
    app.parse(argc, argv);
    std::cout.flush();
    return rw::cli::exit_code;
  } catch (const CLI::Success& asked_for_help) {
    return app.exit(asked_for_help);
  } catch (const CLI::ParseError& error) {
    rw::cli::message("rewind: " + rw::cli::one_line(error.what()) + " (see rewind --help)\n");
    return 2;
  }
}

}  // namespace

int main(int argc, char** argv) {
  rw::cli::open_standard_files();
  std::signal(SIGXFSZ, SIG_IGN);  // a file that grows too large is then an error of write, as on a full disk
  try {
    std::ios::sync_with_stdio(false);
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    rw::cli::message("rewind: not enough memory\n");
  } catch (const std::exception& error) {
    std::cout.flush();
    rw::cli::message("rewind: " + rw::cli::one_line(error.what()) + "\n");
  }
  return 1;
}
