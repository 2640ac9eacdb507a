#pragma once

#include <algorithm>
#include <barrier>
#include <span>
#include <string_view>
#include <vector>

#include <rewind/models/parallel/group.h>

namespace rw::test {

// Processes as threads: what each sends lies where the others look.
class Threads {
 public:
  explicit Threads(int size) : sent_(static_cast<std::size_t>(size)), all_(size) {}

  class One final : public Group {
   public:
    One(Threads& others, int rank) : others_(others), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(others_.sent_.size()); }
    void exchange(std::span<const std::string_view> out, std::span<const std::span<char>> in) override {
      others_.sent_[static_cast<std::size_t>(rank_)] = out;
      others_.all_.arrive_and_wait();
      bool fits = true;
      for (std::size_t r = 0; r < in.size(); ++r) {
        const std::string_view from = others_.sent_[r][static_cast<std::size_t>(rank_)];
        fits = fits && from.size() == in[r].size();
        if (fits) std::copy(from.begin(), from.end(), in[r].begin());
      }
      others_.all_.arrive_and_wait();
      if (!fits) throw Error("lengths differ");
    }

   private:
    Threads& others_;
    int rank_;
  };

 private:
  std::vector<std::span<const std::string_view>> sent_;
  std::barrier<> all_;
};

}  // namespace rw::test
