#pragma once

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <rewind/core/error.h>
#include <rewind/models/weights/file.h>

#include "../../paths.h"

// Runs the real `rewind`, as a shell would.

/// A folder of its own for one test, removed at its end.
struct Scratch {
  std::filesystem::path path;

  Scratch() {
    std::string pattern = std::filesystem::temp_directory_path() / "rewind_cli_XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) throw rw::Error("no folder for the test");
    path = pattern;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::string file(const std::string& name) const { return path / name; }
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path / name, std::ios::binary) << bytes;
    return file(name);
  }
  bool has(const std::string& name) const { return std::filesystem::exists(path / name); }
  std::string read(const std::string& name) const { return rw::read_file(path / name); }
};

struct Result {
  int code = 0;
  std::string out, err;

  /// Exactly one line on standard error, an exit code of 1 or 2, and these words in the line.
  bool refused(const std::string& words) const {
    return (code == 1 || code == 2) && err.find(words) != std::string::npos && err.starts_with("rewind") &&
           err.find('\n') == err.size() - 1;
  }
};

/// `before` goes ahead of the command: "ulimit -f 10; ".
inline Result run_rewind(const Scratch& in, const std::string& arguments, const std::string& before = "") {
  const std::string command = "cd '" + in.path.string() + "' && { " + before + " '" + rewind_command() + "' " +
                              arguments + "; } >stdout.txt 2>stderr.txt";
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), in.read("stdout.txt"),
          in.read("stderr.txt")};
}

/// A subcommand in a folder of its own. `environment` goes ahead of it: "PATH=/nowhere".
struct Command {
  std::string name;
  Scratch scratch{};
  std::string out{}, err{};

  int operator()(const std::string& arguments, const std::string& environment = "") {
    const Result result = run_rewind(scratch, name + " " + arguments, environment);
    out = result.out;
    err = result.err;
    return result.code;
  }
};

/// Starts the command and sends it a signal as soon as it has said `words` on standard error.
inline Result signal_rewind(const Scratch& in, const std::string& arguments, const std::string& words, int signal) {
  in.write("stderr.txt", "");
  const std::string command =
      "cd '" + in.path.string() + "' && exec '" + rewind_command() + "' " + arguments + " >stdout.txt 2>stderr.txt";
  const pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (in.read("stderr.txt").find(words) != std::string::npos) {
      kill(child, signal);
      waitpid(child, &status, 0);
      break;
    }
    usleep(2000);
  }
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), in.read("stdout.txt"),
          in.read("stderr.txt")};
}
