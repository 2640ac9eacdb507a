#pragma once

// Internal to tools/.

#include <string>
#include <vector>

namespace rw::detail {

/// Runs a program found on the PATH, without a shell: `words` are its name and its arguments. Returns its exit code
/// (128 + n when signal n ended it), or -1 when there is no such program. What it says on standard error goes to the
/// file `messages`, when that is given. Throws Error when it cannot be started.
int run_program(std::vector<std::string> words, const std::string& messages = {});

/// A folder of its own under the system's for temporary files, removed with everything in it. Throws Error when it
/// cannot be made.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace rw::detail
