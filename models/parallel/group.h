#pragma once
// Processes that train one model together, and what they tell each other.
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <rewind/core/error.h>

namespace rw {

/// Messages that are under way. Their memory must stay as it is until `wait` has returned.
class Transfer {
 public:
  Transfer() = default;
  virtual ~Transfer() = default;
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  /// Returns when all is sent and received; who waits for others sleeps. Throws Error when the network fails.
  virtual void wait() = 0;
};

/// A message to another process.
struct Outgoing {
  int to;
  std::string_view bytes;
};

/// Where one from another process goes: it has this length.
struct Incoming {
  int from;
  std::span<char> bytes;
};

/// Processes that work as one, numbered from 0. Messages from one to another arrive in the order in which they were
/// begun; what one sends the other must receive. A process that ends without doing so ends the others.
class Group {
 public:
  Group() = default;
  virtual ~Group() = default;
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  /// The number of this process, from 0.
  virtual int rank() const = 0;
  /// How many processes there are.
  virtual int size() const = 0;
  /// Sends out[r] to each process r, and fills in[r] with what it sends to this one: lengths must agree. Nothing may
  /// overlap. For all processes to call, in the same order. Throws Error when the network fails.
  void exchange(std::span<const std::string_view> out, std::span<const std::span<char>> in);
  /// Begins to send to and receive from other processes, and goes on with it while this one computes. Any thread may
  /// call it. Throws Error when the network fails.
  std::unique_ptr<Transfer> begin(std::span<const Outgoing> out, std::span<const Incoming> in);

 protected:
  /// For `begin`, and for `exchange`, which waits at once.
  virtual std::unique_ptr<Transfer> start(std::span<const Outgoing> out, std::span<const Incoming> in, bool waits) = 0;
};

/// What all processes of a group throw together, so that each may end in peace: none waits for another.
class GroupError : public Error {
 public:
  using Error::Error;
};

/// A group of this process only.
class Alone final : public Group {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }

 private:
  std::unique_ptr<Transfer> start(std::span<const Outgoing> out, std::span<const Incoming> in, bool waits) override;
};

/// One of them, for those who need no group.
Group& alone();

/// What each process has to say, in the order of their numbers.
std::vector<std::string> gather(Group& group, std::string_view mine);

/// The same for a number or a struct of numbers.
template <class T>
std::vector<T> gather_values(Group& group, const T& mine) {
  static_assert(std::is_trivially_copyable_v<T>, "only what is plain bytes can be sent to another process");
  std::vector<T> all(static_cast<std::size_t>(group.size()));
  const std::vector<std::string_view> out(all.size(), {reinterpret_cast<const char*>(&mine), sizeof(T)});
  std::vector<std::span<char>> in;
  for (T& value : all) in.emplace_back(reinterpret_cast<char*>(&value), sizeof(T));
  group.exchange(out, in);
  return all;
}

/// Throws the same GroupError in all processes when one of them has one: "process 2 of 4: ...", the first in order.
/// What can fail in one process alone is caught there and shown here, since the others would wait for it without end.
void throw_errors_of_any(Group& group, const std::optional<std::string>& mine);

/// Throws GroupError, in all processes, unless `mine` is the same text in each: "process 2 of 4 has another version,
/// '0.3', than process 0, '0.2'", where `what` is "version".
void require_same(Group& group, std::string_view what, std::string_view mine);

}  // namespace rw
