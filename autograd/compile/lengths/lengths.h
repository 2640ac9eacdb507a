#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <rewind/autograd/compile/lengths/constants_form.h>
#include <rewind/autograd/compile/lengths/dictionary.h>
#include <rewind/autograd/compile/lengths/pattern.h>
#include <rewind/autograd/compile/lengths/plan_listing.h>
#include <rewind/autograd/compile/lengths/trace_listing.h>
#include <rewind/autograd/compile/options.h>
#include <rewind/autograd/compile/plan/executor.h>

namespace rw::ir {

/// Plans of lengths that were not seen, from those of other lengths of the same program.
///
/// Traces of one program at two lengths give a pattern, and so do plans. A trace is compared with the pattern node by
/// node; where it is an instance, its plan is that of the plans' pattern, and no pass runs. Passes choose by size, so
/// that a pattern of plans holds between two lengths that were compiled as a whole: a choice that changes on the way
/// would show at its ends. Beyond them it holds only where passes say so (`extend`). Three plans at least make one.
/// Lengths that only grow, as in a curriculum, or only shrink, would never lie between two: after some of them a plan
/// is made of a trace far ahead, which the pattern of traces gives.
class Lengths {
 public:
  /// One program: what it records at any length.
  struct Family {
    Pattern trace;
    std::shared_ptr<const Dictionary> words;
    std::shared_ptr<const Store> names;  // of scopes
    DType real = DType::f32;
    std::uint64_t number = 0;
    /// A plan of the program, as it was compiled.
    struct Sample {
      std::int64_t length = 0;
      Slots slots;
      Listing plan;
      std::size_t bytes = 0;  // of its values
      Pattern::Sample view() const { return {plan, length, slots}; }
    };
    std::vector<Sample> samples;  // that no pattern fits so far
    struct Range {
      Pattern plan;
      ConstantsForm form;
      std::int64_t low = 0, high = 0;  // lengths
      std::size_t bytes = 0;           // of the values at the longest
    };
    std::vector<Range> ranges;
    bool lanes = false;                // whether plans that were compiled as a whole had some
    std::vector<std::int64_t> wanted;  // their lengths: see `take_wanted`
    std::int64_t low = 0, high = 0;    // the shortest and the longest that were learnt or tried
    int longer = 0, shorter = 0;       // how often one was compiled since it is longer, or shorter, than all before it
  };
  /// What is known about a trace.
  struct Found {
    std::shared_ptr<Family> family;
    std::int64_t length = 0;
    Slots own;                       // of the family's trace
    std::unique_ptr<Executor> plan;  // where a pattern gives it
    std::string why;                 // where none does
  };

  explicit Lengths(const CompileOptions& options);

  Found find(const Recorded& recorded);
  /// Takes up a plan that was compiled as a whole. What runs in lanes follows no rule, so of such a plan the length
  /// alone is taken up: see `take_wanted`.
  void learn(const Recorded& recorded, Found& found, const Plan& plan);
  /// A length so far ahead of one that was learnt that a plan of it is worth making; nothing where none is. It is given
  /// once, whatever comes of it.
  std::optional<std::int64_t> try_ahead(const Found& found);
  /// Lengths of which a plan without lanes is worth making: those of plans that had some, once several are known. Each
  /// is given once.
  std::vector<std::int64_t> take_wanted(const Found& found);
  /// Takes up a plan of `traced(found, length)`, which nobody has asked for, and which has no lanes.
  void learn_ahead(const Found& found, std::int64_t length, const Plan& plan);
  /// The plans that were learnt up to this length say what they are up to another, which is longer: passes choose in
  /// the same way there (Notes::hold_when_longer). False where no pattern of plans reaches from `low` to this length.
  bool extend(const Found& found, std::int64_t low, std::int64_t to);
  /// What was recorded at a length that was found, and what it would be at another.
  Graph traced(const Found& found) const { return traced(found, found.length); }
  Graph traced(const Found& found, std::int64_t length) const;
  /// Bytes that all plans of it share.
  std::size_t memory() const { return memory_->bytes(); }

 private:
  /// A trace and its plan, of which no other length is known. A plan with lanes is not listed.
  struct Lone {
    Listing trace, plan;
    std::int64_t length = 0;
    DType real = DType::f32;
    std::size_t bytes = 0;
  };

  Slots slots_of(const Family& family, std::int64_t length, const Slots& own) const {
    return constants_of(family.trace, length, own);
  }
  std::shared_ptr<Family> new_family(const Recorded& recorded, Lone& lone, Slots& own);
  static void keep_samples(Family& family);
  void add(Family& family, Family::Sample sample);
  void forget_all();
  void find_range(Family& family);

  LoweredBy by_;
  std::shared_ptr<Dictionary> words_ = std::make_shared<Dictionary>();
  std::vector<std::shared_ptr<Family>> families_;
  std::vector<Lone> lone_;
  std::uint64_t made_ = 0;
  std::shared_ptr<Store> store_ = std::make_shared<Store>();  // of all plans
  std::shared_ptr<PlanMemory> memory_ = std::make_shared<PlanMemory>();
};

}  // namespace rw::ir
