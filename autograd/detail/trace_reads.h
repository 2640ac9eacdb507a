#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <rewind/autograd/parameter.h>
#include <rewind/autograd/trace.h>

namespace rw::detail {

/// What one trace has read. Each thing once, however often it was looked at.
class TraceReads {
 public:
  TraceReads() = default;
  /// Seed and step of keyed randomness, as the trace sees them.
  TraceReads(std::uint64_t seed, std::uint64_t step) : seed_(seed), step_(step) {}

  void flag(const std::shared_ptr<const bool>& flag);
  void parameter(const std::shared_ptr<Parameter::Data>& data);
  void value(const std::shared_ptr<Parameter::Data>& data);
  void key() { reads_key_ = true; }

  /// Whether everything is as it was.
  bool hold(std::uint64_t seed, std::uint64_t step) const {
    for (const Flag& f : flags_)
      if (*f.flag != f.was) return false;
    for (const Use& u : parameters_)
      if (!u.holds()) return false;
    for (const Value& v : values_)
      if (v.data->version != v.version) return false;
    return !reads_key_ || (seed == seed_ && step == step_);
  }

  /// One line for each thing that makes a new trace when it changes often, for `explain`.
  std::vector<std::string> lines() const;

 private:
  struct Flag {
    std::shared_ptr<const bool> flag;
    bool was;
  };
  // A parameter as the trace found it. `left` counts the names that were tied to another one since: the name that the
  // function uses may be one of them.
  struct Use {
    std::shared_ptr<Parameter::Data> data;
    std::uint64_t left;
    bool frozen;
    DType dtype, grad_dtype;
    bool holds() const {
      return data->left == left && data->frozen == frozen && data->value.dtype() == dtype &&
             data->grad.dtype() == grad_dtype;
    }
  };
  struct Value {
    std::shared_ptr<Parameter::Data> data;
    std::uint64_t version;
  };
  std::vector<Flag> flags_;
  std::vector<Use> parameters_;
  std::vector<Value> values_;
  std::uint64_t seed_ = 0, step_ = 0;
  bool reads_key_ = false;
};

/// For its lifetime this thread traces, and notes what it reads in `reads`.
class ActiveTrace {
 public:
  explicit ActiveTrace(TraceReads& reads) : before_(active_trace) { active_trace = &reads; }
  ~ActiveTrace() { active_trace = before_; }
  ActiveTrace(const ActiveTrace&) = delete;
  ActiveTrace& operator=(const ActiveTrace&) = delete;

 private:
  TraceReads* before_;
};

}  // namespace rw::detail
