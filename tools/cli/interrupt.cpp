#include <csignal>

#include <rewind/tools/cli/interrupt.h>

namespace rw::cli {

namespace {

volatile std::sig_atomic_t received = 0;
constexpr int caught[] = {SIGINT, SIGTERM, SIGHUP};

}  // namespace

Interrupt::Interrupt() {
  received = 0;
  struct sigaction action = {};
  action.sa_handler = [](int number) { received = number; };
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;  // the second one acts by default
  for (int number : caught) {
    struct sigaction before = {};
    sigaction(number, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(number, &action, nullptr);  // nohup stays nohup
  }
}

Interrupt::~Interrupt() {
  for (int number : caught) {
    struct sigaction now = {};
    sigaction(number, nullptr, &now);
    if (now.sa_handler != SIG_IGN) std::signal(number, SIG_DFL);
  }
}

int Interrupt::signal() { return received; }

}  // namespace rw::cli
