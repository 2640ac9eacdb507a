#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include <rewind/core/memory.h>
#include <rewind/core/version.h>
#include <rewind/models/optim/clip.h>
#include <rewind/models/optim/schedule.h>
#include <rewind/models/weights/file.h>
#include <rewind/tools/cli/trainer.h>

namespace rw::cli {

namespace {

// FNV-1a, 64 bits.
constexpr std::uint64_t hash_start = 0xcbf29ce484222325;
std::uint64_t hashed(std::uint64_t hash, std::uint64_t more) { return (hash ^ more) * 0x100000001b3; }

std::uint64_t hash_of(std::u32string_view text) {
  std::uint64_t h = hash_start;
  for (char32_t c : text) h = hashed(h, c);
  return h;
}

std::uint64_t hash_of(const Array& array, std::uint64_t h) {
  const auto bytes = static_cast<const unsigned char*>(array.view().data);
  const std::size_t size = static_cast<std::size_t>(array.size()) * size_of(array.dtype());
  for (std::size_t i = 0; i < size; ++i) h = hashed(h, bytes[i]);
  return h;
}

/// Throws Error for a model that this machine has no memory for: the system would let it begin, and kill the process.
void require_memory(const TrainOptions& o, const CharModelOptions& options, const Vocabulary& vocabulary, int ranks) {
  const double moments = o.optimizer == "sgd" ? 0 : o.optimizer.starts_with("adam") ? 2 : 1;
  const double workers = o.local_steps > 0 ? std::ceil(static_cast<double>(o.shards) / ranks) : 0;
  const double copies =  // values, gradients, ...
      (1 + workers) * (2 + moments) + (o.average > 0 ? 1 : 0) + (o.early_stop > 0 ? 1 : 0);
  const double hidden = static_cast<double>(o.hidden), layers = static_cast<double>(o.layers);
  const double state = 8 * hidden * layers * static_cast<double>(o.batch) * static_cast<double>(o.sequence);
  const double bytes = sizeof(float) * (copies * parameter_count_of(vocabulary.size(), options) + state);
  const auto memory = static_cast<double>(detail::memory_of_machine());
  if (bytes > memory)
    throw Error(
        fmt::format("{} layers of {}, batch {} x sequence {}, take more than {:.3g} GB, and this machine has {:.3g}: "
                    "make --hidden smaller",
                    o.layers, o.hidden, o.batch, o.sequence, bytes / 1e9, memory / 1e9));
}

CharModel make_model(const TrainOptions& o, const Vocabulary& vocabulary, int ranks) {
  CharModelOptions options{
      .cell = o.cell, .layers = o.layers, .hidden = o.hidden, .embedding = o.embedding, .dropout = o.dropout};
  if (o.init != "default") options.init = Init::named(o.init, o.init_scale);
  require_memory(o, options, vocabulary, ranks);
  Rng rng(o.seed);
  return CharModel(vocabulary, options, rng);
}

}  // namespace

Corpus read_corpus(const std::vector<std::string>& paths) {
  constexpr std::uint64_t bytes_a_character = 9;  // as a byte, as a code point, and as a number
  std::uint64_t room = detail::memory_of_machine() / bytes_a_character;
  std::u32string text;
  for (const std::string& path : paths) {
    const std::string bytes = read_file(path, std::max<std::uint64_t>(room, 1));
    if (bytes.empty()) throw Error(path + " is empty: there is nothing to learn");
    room -= bytes.size();
    text += decode_utf8(bytes, path);
  }
  if (text.size() == 1) throw Error("the text has 1 character: there is nothing to learn");
  const Vocabulary vocabulary = Vocabulary::of(text);
  if (vocabulary.size() == 1)
    throw Error("the text has only the character " + printable(text[0]) + ": there is nothing to learn");
  return {vocabulary, vocabulary.encode(text), fmt::format("{} characters, {:016x}", text.size(), hash_of(text))};
}

Trainer::Trainer(const TrainOptions& options, const Budget& budget, Corpus corpus, Group& group)
    : options_(options),
      budget_(budget),
      mark_(corpus.mark),
      data_(std::move(corpus.symbols),
            {.batch = options.batch, .sequence = options.sequence, .held_out = options.held_out}),
      model_(make_model(options, corpus.vocabulary, group.size())),
      parameters_(model_.parameters()),
      optimizer_(make_optimizer(options.optimizer, parameters_, options.rate)),
      sharded_(parameters_, std::min(options.shards, options.batch), group),
      workers_(make_workers()),
      shards_(make_shards(true)),
      held_out_shards_(make_shards(false)) {
  if (options.local_steps > 0) local_.emplace(parameters_, sharded_);
  constexpr double most = 1e15;  // beyond, a double does not tell one step from the next
  if (budget.epochs * static_cast<double>(data_.train_chunks()) > most)
    throw Error(fmt::format("--epochs is {}: that is more than {} steps", budget.epochs, most));
  if (options.schedule == "plateau")
    plateau_.emplace(PlateauOptions{.factor = options.decay, .patience = options.patience});
  if (options.early_stop > 0) stopping_.emplace(parameters_, EarlyStoppingOptions{.patience = options.early_stop});
  if (options.average > 0) average_.emplace(parameters_, WeightAverageOptions{.decay = options.average});
}

double Trainer::share_of(Index number) const {
  const Index shards = sharded_.shards();
  return static_cast<double>(options_.batch * (number + 1) / shards - options_.batch * number / shards) /
         static_cast<double>(options_.batch);
}

std::unique_ptr<Shard> Trainer::make_shard(Index number, bool learn, const CharModel& model) const {
  const Index from = options_.batch * number / sharded_.shards(),
              to = options_.batch * (number + 1) / sharded_.shards();
  const bool apart = learn && options_.local_steps > 0;
  return std::make_unique<Shard>(model, Shard::Options{.first = from,
                                                       .count = to - from,
                                                       .share = apart ? 1 : share_of(number),
                                                       .seed = options_.seed + static_cast<std::uint64_t>(number),
                                                       .learn = learn,
                                                       .eager = options_.eager});
}

Trainer::Shards Trainer::make_shards(bool learn) const {
  Shards shards;
  for (Index i = sharded_.first(); i < sharded_.last(); ++i)
    shards.push_back(make_shard(i, learn, learn && !workers_.empty() ? worker(i).model : model_));
  return shards;
}

std::vector<std::unique_ptr<Trainer::Worker>> Trainer::make_workers() const {
  std::vector<std::unique_ptr<Worker>> workers;
  if (options_.local_steps == 0) return workers;
  for (Index i = sharded_.first(); i < sharded_.last(); ++i) {
    auto one = std::make_unique<Worker>(
        Worker{make_model(options_, model_.vocabulary(), sharded_.group().size()), {}, nullptr});  // of the same seed
    one->parameters = one->model.parameters();
    one->optimizer = make_optimizer(options_.optimizer, one->parameters, options_.rate);
    workers.push_back(std::move(one));
  }
  return workers;
}

void Trainer::require_equal_processes() {
  Group& group = sharded_.group();
  if (group.size() == 1) return;
  require_same(group, "version", std::string(version()));
  require_same(group, "set of options", text_of(options_, budget_));
  require_same(group, "text", mark_);
  std::uint64_t weights = hash_start;
  for (const NamedParameter& p : parameters_) weights = hash_of(p.parameter->value(), weights);
  require_same(group, "model", fmt::format("weights of hash {:016x}", weights));
  const std::unique_ptr<Shard> probe = make_shard(0, true, model_);
  Gradients gradients;
  const double loss = probe->read(data_, 0, steps());
  probe->add_gradients(gradients);
  std::uint64_t bits = hashed(hash_start, std::bit_cast<std::uint64_t>(loss));
  for (const NamedParameter& p : parameters_) bits = hash_of(gradients.sum(p.parameter->data()), bits);
  require_same(group,
               "processor or library, which computes other bits from the same numbers (--portable-bits would not)",
               fmt::format("gradients of hash {:016x}", bits));
}

double Trainer::step() {
  const Index chunk = steps() % data_.train_chunks();
  if (chunk == 0)
    for (auto& shard : shards_) shard->reset();
  return local_ ? step_apart(chunk) : step_together(chunk);
}

namespace {

void require_finite(double loss, Index step, double rate) {
  if (!std::isfinite(loss))
    throw Error(
        fmt::format("the loss is {} at step {}: the rate {} is too high, or --clip too weak", loss, step, rate));
}

}  // namespace

double Trainer::step_together(Index chunk) {
  const double loss = sharded_.step([&](Index number, Gradients& into) {
    const double part = own(shards_, number).read(data_, chunk, steps());
    own(shards_, number).add_gradients(into);
    return part;
  });
  if (!std::isfinite(loss))
    for (const NamedParameter& p : parameters_) p.parameter->zero_grad();
  try {
    require_finite(loss, steps() + 1, optimizer_->rate());
    clip(parameters_);
    optimizer_->step();
  } catch (const Error& error) {  // all processes have the same numbers, and so the same error
    throw GroupError(error.what());
  }
  if (average_) average_->update();
  return loss;
}

double Trainer::step_apart(Index chunk) {
  const double loss = sharded_.sum([&](Index number) {
    Worker& mine = worker(number);
    const double own_loss = own(shards_, number).read(data_, chunk, steps());
    require_finite(own_loss, steps() + 1, optimizer_->rate());
    Gradients gradients;
    own(shards_, number).add_gradients(gradients);
    gradients.commit();
    clip(mine.parameters);
    mine.optimizer->set_rate(optimizer_->rate());
    mine.optimizer->step();
    return own_loss * share_of(number);
  });
  ++local_done_;
  if (local_done_ % options_.local_steps == 0) meet();
  return loss;
}

void Trainer::meet() {
  local_->meet([&](Index number) { return worker(number).parameters; });
  if (average_) average_->update();
  local_met_ = local_done_;
}

bool Trainer::finish() {
  if (!local_ || local_met_ == local_done_) return false;
  meet();
  return true;
}

void Trainer::clip(std::span<const NamedParameter> parameters) const {
  if (options_.clip_value > 0) clip_grad_value(parameters, options_.clip_value);
  if (options_.clip > 0) clip_grad_norm(parameters, options_.clip);
}

double Trainer::held_out_loss() {
  std::optional<Averaged> averaged;
  if (average_) averaged.emplace(*average_);
  for (auto& shard : held_out_shards_) shard->reset();
  model_.eval();
  double sum = 0;
  for (Index chunk = data_.train_chunks(); chunk < data_.chunks(); ++chunk)
    sum += sharded_.sum([&](Index number) { return own(held_out_shards_, number).read(data_, chunk, steps()); });
  model_.train();
  return sum / static_cast<double>(data_.held_out_chunks());
}

void Trainer::observe(double held_out) {
  if (local_ && local_met_ <= local_done_ - data_.train_chunks()) return;  // the same weights as an epoch ago
  if (plateau_) plateau_->observe(held_out);
  if (!stopping_) return;
  std::optional<Averaged> averaged;  // the weights whose loss this is
  if (average_) averaged.emplace(*average_);
  stopping_->observe(held_out);
}

void Trainer::save_model(const std::string& path) {
  if (!best_held_out()) {
    std::optional<Averaged> averaged;
    if (average_) averaged.emplace(*average_);
    return model_.save(path);
  }
  std::vector<Array> last;
  for (const NamedParameter& p : parameters_) last.push_back(p.parameter->value());
  stopping_->restore();
  const auto put_back = [&] {
    for (std::size_t i = 0; i < last.size(); ++i) parameters_[i].parameter->set(last[i]);
  };
  try {
    model_.save(path);
  } catch (...) {
    put_back();
    throw;
  }
  put_back();
}

std::optional<double> Trainer::best_held_out() const {
  return stopping_ && std::isfinite(stopping_->best()) ? std::optional(stopping_->best()) : std::nullopt;
}

Index Trainer::all_steps() const {
  if (budget_.steps > 0) return budget_.steps;
  if (budget_.epochs > 0)
    return std::max<Index>(std::llround(budget_.epochs * static_cast<double>(data_.train_chunks())), 1);
  return 0;
}

double Trainer::fraction(double seconds) const {
  if (budget_.seconds > 0) return seconds / budget_.seconds;
  return static_cast<double>(steps()) / static_cast<double>(all_steps());
}

void Trainer::schedule(double fraction) {
  double rate = options_.rate;
  if (options_.schedule == "steps") {
    const StepDecay decay{.rate = rate, .factor = options_.decay, .after = options_.decay_after};
    rate = decay(steps() / data_.train_chunks());
  } else if (options_.schedule == "exponential") {
    rate = ExponentialDecay{.rate = rate, .factor = options_.decay, .every = data_.train_chunks()}(steps());
  } else if (options_.schedule == "plateau") {
    rate *= plateau_->scale();
  } else if (options_.schedule == "cosine") {
    constexpr double growing = 0.03, last = 0.02;  // parts of the run, and of the rate
    const double f = std::clamp(fraction, 0.0, 1.0);
    rate *= last + (1 - last) * (1 + std::cos(std::numbers::pi * f)) / 2;
    if (options_.warm_up == 0) rate *= std::min(1.0, (f + 1e-3) / growing);
  }
  if (options_.warm_up > 0) rate *= warm_up([](Index) { return 1.0; }, options_.warm_up)(steps());
  optimizer_->set_rate(rate);
}

}  // namespace rw::cli
