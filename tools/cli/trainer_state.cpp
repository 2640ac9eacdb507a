#include <cmath>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/tools/cli/trainer.h>

namespace rw::cli {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TrainOptions, cell, layers, hidden, embedding, dropout, batch, sequence, shards,
                                   local_steps, portable_bits, eager, held_out, optimizer, schedule, rate, decay,
                                   decay_after, warm_up, patience, clip, clip_value, average, early_stop, init,
                                   init_scale, seed)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Budget, epochs, seconds, steps)

namespace {

/// A path is any bytes, and JSON holds text: one that is not UTF-8 is written as the list of its bytes.
nlohmann::json from_path(const std::string& path) {
  if (is_utf8(path)) return path;
  return std::vector<unsigned char>(path.begin(), path.end());
}

std::string to_path(const nlohmann::json& json) {
  if (json.is_string()) return json.get<std::string>();
  std::string path;
  for (const nlohmann::json& byte : json) {
    if (!byte.is_number_unsigned() || byte.get<std::uint64_t>() > 255) throw Error("its paths are no paths");
    path += static_cast<char>(byte.get<std::uint64_t>());
  }
  return path;
}

}  // namespace

void to_json(nlohmann::json& json, const RunFiles& files) {
  json = {{"texts", nlohmann::json::array()},
          {"out", from_path(files.out)},
          {"checkpoint", from_path(files.checkpoint)},
          {"curve", from_path(files.curve)}};
  for (const std::string& text : files.texts) json["texts"].push_back(from_path(text));
}

void from_json(const nlohmann::json& json, RunFiles& files) {
  for (const nlohmann::json& text : json.at("texts")) files.texts.push_back(to_path(text));
  files.out = to_path(json.at("out"));
  files.checkpoint = to_path(json.at("checkpoint"));
  files.curve = to_path(json.at("curve"));
}

namespace {

constexpr const char* format_name = "rewind training run";
constexpr const char* format_version = "2";
constexpr const char* local_steps_name = "local.done_and_met";

std::vector<NamedArray> with_prefix(const ArrayFile& file, const std::string& prefix) {
  std::vector<NamedArray> out;
  for (const NamedArray& a : file.arrays)
    if (a.name.starts_with(prefix)) out.push_back({a.name.substr(prefix.size()), a.array});
  return out;
}

// By itself the JSON library turns any number into any type: 1e308 into whatever integer that gives.
template <class T>
T fields(const nlohmann::json& json) {
  const nlohmann::json example = T{};
  for (const auto& [name, value] : example.items()) {
    const nlohmann::json& given = json.at(name);
    const bool whole = given.is_number_integer() || given.is_number_unsigned();
    const bool fits = value.is_number_float() ? given.is_number()
                      : value.is_number()     ? whole
                                              : value.type() == given.type();
    if (!fits) throw Error(fmt::format("its \"{}\" is {}", name, shown(given.dump(-1, ' ', true))));
  }
  return json.get<T>();
}

std::string carried_name(std::size_t shard, std::size_t tensor) { return fmt::format("carried.{}.{}", shard, tensor); }

}  // namespace

std::vector<NamedArray> Trainer::helper_state() const {
  std::vector<NamedArray> all;
  const auto add = [&](const char* prefix, const auto& helper) {
    if (!helper) return;
    for (NamedArray& a : helper->state()) all.push_back({prefix + a.name, std::move(a.array)});
  };
  add("plateau.", plateau_);
  add("stopping.", stopping_);
  add("average.", average_);
  return all;
}

void Trainer::set_helper_state(const ArrayFile& file) {
  if (plateau_) plateau_->set_state(with_prefix(file, "plateau."));
  if (stopping_) stopping_->set_state(with_prefix(file, "stopping."));
  if (average_) average_->set_state(with_prefix(file, "average."));
}

ArrayFile Trainer::save(const RunFiles& files) const {
  ArrayFile file;
  for (const NamedParameter& p : parameters_) file.arrays.push_back({"model." + p.name, p.parameter->value()});
  for (NamedArray& a : optimizer_->state()) file.arrays.push_back({"optimizer." + a.name, std::move(a.array)});
  for (NamedArray& a : helper_state()) file.arrays.push_back(std::move(a));
  if (local_) {
    for (NamedArray& a : local_->state()) file.arrays.push_back({"local." + a.name, std::move(a.array)});
    file.arrays.push_back(
        {local_steps_name, Array({static_cast<double>(local_done_), static_cast<double>(local_met_)}, {2})});
  }
  const std::vector<SavedState> all = all_shard_arrays();
  for (std::size_t s = 0; s < all.size(); ++s)
    for (std::size_t i = 0; i < all[s].size(); ++i) file.arrays.push_back({carried_name(s, i), all[s][i]});
  file.metadata = {{"format", format_name},
                   {"version", format_version},
                   {"options", nlohmann::json(options_).dump()},
                   {"budget", nlohmann::json(budget_).dump()},
                   {"text", mark_}};
  set_files(file, files);
  return file;
}

namespace {

std::size_t size_in_bytes(const Array& array) {
  return static_cast<std::size_t>(array.size()) * size_of(array.dtype());
}

}  // namespace

SavedState Trainer::shard_arrays(Index number) const {
  SavedState all = own(shards_, number).carried();
  if (!local_) return all;
  for (const NamedParameter& p : worker(number).parameters) all.push_back(p.parameter->value());
  for (NamedArray& a : worker(number).optimizer->state()) all.push_back(std::move(a.array));
  return all;
}

void Trainer::set_shard_arrays(Index number, const SavedState& arrays) {
  const auto carried = static_cast<std::ptrdiff_t>(own(shards_, number).carried().size());
  own(shards_, number).set_carried(SavedState(arrays.begin(), arrays.begin() + carried));
  if (!local_) return;
  const Array* next = arrays.data() + carried;
  std::vector<NamedArray> weights, optimizer = worker(number).optimizer->state();
  for (const NamedParameter& p : worker(number).parameters) weights.push_back({p.name, *next++});
  for (NamedArray& a : optimizer) a.array = *next++;
  set_parameters(worker(number).model, weights, "a shard's copy");
  worker(number).optimizer->set_state(optimizer);
}

// They differ between shards in the number of streams only.
SavedState Trainer::like_shard_arrays(Index number) const {
  SavedState all = make_shard(number, false, model_)->carried();
  if (!local_) return all;
  for (const NamedParameter& p : parameters_) all.push_back(p.parameter->value());
  for (NamedArray& a : optimizer_->state()) all.push_back(std::move(a.array));
  return all;
}

std::vector<SavedState> Trainer::all_shard_arrays() const {
  std::string mine;
  for (Index s = sharded_.first(); s < sharded_.last(); ++s)
    for (const Array& array : shard_arrays(s))
      mine.append(static_cast<const char*>(array.view().data), size_in_bytes(array));
  std::string everyone;
  for (const std::string& text : gather(sharded_.group(), mine)) everyone += text;
  std::vector<SavedState> all;
  const char* from = everyone.data();
  for (Index s = 0; s < sharded_.shards(); ++s) {
    SavedState arrays = like_shard_arrays(s);
    for (Array& array : arrays) {
      std::memcpy(array.view().data, from, size_in_bytes(array));
      from += size_in_bytes(array);
    }
    all.push_back(std::move(arrays));
  }
  return all;
}

std::string text_of(const TrainOptions& options, const Budget& budget) {
  return nlohmann::json(options).dump() + " " + nlohmann::json(budget).dump();
}

void set_files(ArrayFile& checkpoint, const RunFiles& files) {
  checkpoint.metadata["files"] = nlohmann::json(files).dump();
}

void Trainer::set_local_state(const ArrayFile& file) {
  std::vector<NamedArray> outer = with_prefix(file, "local.");
  std::erase_if(outer, [](const NamedArray& a) { return "local." + a.name == local_steps_name; });
  local_->set_state(outer);
  const Array& steps = file.at(local_steps_name);
  if (steps.dtype() != DType::f64 || steps.shape() != Shape{2}) throw Error("its steps are no two numbers");
  const auto count = [&](Index i) {
    constexpr double most = 1e15;
    const double n = steps.at({i});
    if (!(n >= 0 && n <= most && n == std::floor(n))) throw Error(fmt::format("{} is no number of steps", n));
    return static_cast<Index>(n);
  };
  local_done_ = count(0);
  local_met_ = count(1);
}

void Trainer::restore(const ArrayFile& file, const std::string& source) {
  if (file.metadata.at("text") != mark_)
    throw Error(fmt::format("{}: this run read another text ({}; now {}): give the same files in the same order",
                            source, shown(file.metadata.at("text")), mark_));
  try {
    set_parameters(model_, with_prefix(file, "model."), source);
    optimizer_->set_state(with_prefix(file, "optimizer."));
    set_helper_state(file);
    if (local_) set_local_state(file);
    for (Index s = sharded_.first(); s < sharded_.last(); ++s) {
      SavedState arrays;
      const std::size_t count = shard_arrays(s).size();
      for (std::size_t i = 0; i < count; ++i) arrays.push_back(file.at(carried_name(static_cast<std::size_t>(s), i)));
      set_shard_arrays(s, arrays);
    }
  } catch (const Error& error) {
    throw Error(fmt::format("{}: a broken checkpoint: {}", source, error.what()));
  }
}

TrainCommand read_checkpoint(const ArrayFile& file, const std::string& source) {
  const auto format = file.metadata.find("format");
  if (format == file.metadata.end() || format->second != format_name)
    throw Error(source + ": a safetensors file, but not a checkpoint of a training run");
  try {
    const auto text = [&](const char* name) -> const std::string& {
      const auto found = file.metadata.find(name);
      if (found == file.metadata.end()) throw Error(fmt::format("its header lacks \"{}\"", name));
      return found->second;
    };
    if (text("version") != format_version)
      throw Error(fmt::format("version {}; this program reads version {}", shown(text("version")), format_version));
    const auto entry = [&](const char* name) { return nlohmann::json::parse(text(name)); };
    TrainCommand run;
    nlohmann::json options = entry("options");
    if (options.is_object())
      for (const char* later : {"local_steps", "portable_bits"})  // than version 0.2
        if (!options.contains(later)) options[later] = nlohmann::json(TrainOptions())[later];
    run.options = fields<TrainOptions>(options);
    run.budget = fields<Budget>(entry("budget"));
    run.files = entry("files").get<RunFiles>();
    check(run.options);
    check(run.budget);
    text("text");
    return run;
  } catch (const nlohmann::json::exception&) {
    throw Error(source + ": a checkpoint that cannot be used: its options are not those of a run");
  } catch (const Error& error) {
    throw Error(fmt::format("{}: a checkpoint that cannot be used: {}", source, error.what()));
  }
}

}  // namespace rw::cli
