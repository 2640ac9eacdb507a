#pragma once

namespace rw::cli {

/// Catches Ctrl-C (SIGINT), SIGTERM and SIGHUP for its lifetime, so that a loop can end after its step and save what it
/// has. A second signal of the same kind ends the process at once.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /// The number of the signal that came, 0 for none.
  static int signal();
};

}  // namespace rw::cli
