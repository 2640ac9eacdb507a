#pragma once

namespace rw {

/// While it lives, a parallel_for of the thread that made it runs serially: for work that is quicker on one thread.
/// Results have the same bits.
class OneThread {
 public:
  /// Without `on` nothing changes.
  explicit OneThread(bool on = true);
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  bool before_;
};

}  // namespace rw
