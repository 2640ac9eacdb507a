#pragma once

#include <algorithm>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <rewind/models/parallel/group.h>

namespace rw::test {

// Processes as threads: messages lie in one place, numbered for each sender and receiver, as they were begun.
class Threads {
 public:
  explicit Threads(int size) : size_(size) {}

  class One final : public Group {
   public:
    One(Threads& all, int rank) : all_(all), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return all_.size_; }

   private:
    using Awaited = std::vector<std::pair<Incoming, int>>;  // with its number

    class Waiting final : public Transfer {
     public:
      Waiting(One& one, Awaited awaited) : one_(one), awaited_(std::move(awaited)) {}
      void wait() override {
        bool fits = true;
        for (const auto& [in, number] : std::exchange(awaited_, {})) fits = one_.take(in, number) && fits;
        if (!fits) throw Error("lengths differ");
      }

     private:
      One& one_;
      Awaited awaited_;
    };

    std::unique_ptr<Transfer> start(std::span<const Outgoing> out, std::span<const Incoming> in, bool) override {
      const std::lock_guard lock(all_.mutex_);
      for (const Outgoing& o : out)
        if (!o.bytes.empty()) all_.sent_[{rank_, o.to, begun_[{rank_, o.to}]++}] = o.bytes;
      Awaited awaited;
      for (const Incoming& i : in)
        if (!i.bytes.empty()) awaited.emplace_back(i, begun_[{i.from, rank_}]++);
      all_.changed_.notify_all();
      return std::make_unique<Waiting>(*this, std::move(awaited));
    }
    bool take(const Incoming& in, int number) {
      std::unique_lock lock(all_.mutex_);
      const Key key{in.from, rank_, number};
      all_.changed_.wait(lock, [&] { return all_.sent_.contains(key); });
      const std::string bytes = all_.sent_.extract(key).mapped();
      if (bytes.size() == in.bytes.size()) std::copy(bytes.begin(), bytes.end(), in.bytes.begin());
      return bytes.size() == in.bytes.size();
    }

    Threads& all_;
    int rank_;
    std::map<std::pair<int, int>, int> begun_;  // messages of this process, from and to
  };

 private:
  using Key = std::tuple<int, int, int>;  // from, to, number
  int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, std::string> sent_;
};

}  // namespace rw::test
