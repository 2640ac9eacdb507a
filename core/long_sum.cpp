#include <rewind/core/long_sum.h>
#include <rewind/core/reduce.h>

namespace rw {

void LongSum::set_aside(ConstView sum) {
  for (std::size_t k = 0;; ++k) {
    if (k == levels_.size()) levels_.push_back({Array(Shape(sum.shape), sum.dtype), 0});
    Level& level = levels_[k];
    if (level.terms == 0)
      copy(sum, level.sum.view());
    else
      add_into(sum, level.sum.view());
    if (++level.terms < block) return;
    level.terms = 0;  // it goes to the next level, whole
    sum = level.sum.view();
  }
}

void LongSum::add_to(View sum) {
  for (const Level& level : levels_)
    if (level.terms > 0) add_into(level.sum, sum);
  levels_.clear();
}

std::size_t LongSum::bytes() const {
  std::size_t total = 0;
  for (const Level& level : levels_) total += static_cast<std::size_t>(level.sum.size()) * size_of(level.sum.dtype());
  return total;
}

}  // namespace rw
