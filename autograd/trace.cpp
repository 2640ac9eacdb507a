#include <algorithm>

#include <rewind/autograd/detail/trace_reads.h>
#include <rewind/core/error.h>

namespace rw::detail {

void throw_in_trace(std::string_view what) {
  throw Error("compile: " + std::string(what) +
              " while the function is traced: that would happen once, at the trace, and not when its plan runs: do it "
              "before or after the call of the compiled function");
}

void note_flag(const std::shared_ptr<const bool>& flag) {
  if (active_trace != nullptr) active_trace->flag(flag);
}

void TraceReads::flag(const std::shared_ptr<const bool>& flag) {
  if (std::none_of(flags_.begin(), flags_.end(), [&](const Flag& f) { return f.flag == flag; }))
    flags_.push_back({flag, *flag});
}

void TraceReads::parameter(const std::shared_ptr<Parameter::Data>& data) {
  if (std::none_of(parameters_.begin(), parameters_.end(), [&](const Use& u) { return u.data == data; }))
    parameters_.push_back({data, data->left, data->frozen, data->value.dtype(), data->grad.dtype()});
}

void TraceReads::value(const std::shared_ptr<Parameter::Data>& data) {
  parameter(data);
  if (std::none_of(values_.begin(), values_.end(), [&](const Value& v) { return v.data == data; }))
    values_.push_back({data, data->version});
}

std::vector<std::string> TraceReads::lines() const {
  std::vector<std::string> out;
  for (const Value& v : values_)
    out.push_back("the value of parameter '" + v.data->name +
                  "', which the function looked at: traced again whenever it changes");
  if (reads_key_) out.push_back("the tape's seed or step, which the function looked at: traced again for another one");
  return out;
}

}  // namespace rw::detail
