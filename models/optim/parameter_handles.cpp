#include <map>
#include <string>

#include <rewind/models/optim/parameter_handles.h>

namespace rw::detail {

ParameterHandles::ParameterHandles(std::span<const NamedParameter> parameters) {
  std::map<std::string, int> uses;
  for_each_once(parameters, [&](const NamedParameter& p) {
    const int use = ++uses[p.name];
    auto& own = own_.emplace_back(std::make_unique<Parameter>(p.parameter->name(), Array(p.parameter->shape())));
    own->tie(*p.parameter);
    all_.push_back({use == 1 ? p.name : p.name + "#" + std::to_string(use), own.get()});
  });
}

}  // namespace rw::detail
