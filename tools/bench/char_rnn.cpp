// char-rnn's recipe (2 layers of 128 LSTM cells, chunks of 50 x 50 characters, RMSprop): characters read and learnt a
// second. Rewind's contender is what `rewind train --recipe char-rnn` runs.

#include "char_rnn.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "comparisons.h"
#include "peers.h"

namespace rw::bench {

namespace {

namespace fs = std::filesystem;

// The project's own sources, in an order that is the same everywhere.
std::vector<std::string> own_sources() {
  std::vector<std::string> out;
  for (const char* room : {"core", "autograd", "ops", "models", "tools"})
    for (const fs::directory_entry& file : fs::recursive_directory_iterator(fs::path(REWIND_SOURCE_DIR) / room))
      if (file.path().extension() == ".cpp" || file.path().extension() == ".h") out.push_back(file.path().string());
  std::sort(out.begin(), out.end());
  return out;
}

class RewindTrainer : public Network {
 public:
  RewindTrainer(const cli::TrainOptions& options, const cli::Corpus& corpus)
      : options_(options), trainer_(options_, cli::Budget{.epochs = 1000}, corpus) {}
  void run() override {
    losses_.clear();
    for (Index i = 0; i < char_rnn_updates; ++i) losses_.push_back(trainer_.step());
  }
  Result result() override { return {{"loss", losses_}}; }
  CharRnn recipe() const { return {options_, trainer_.model(), trainer_.data()}; }

 private:
  cli::TrainOptions options_;
  cli::Trainer trainer_;
  std::vector<double> losses_;
};

Contender contender(const char* name, std::shared_ptr<Network> network) {
  return {name, [network] { network->run(); }, [network] { return network->result(); }};
}

Field field(const Setting& setting) {
  const cli::Corpus corpus =
      cli::read_corpus(setting.text.empty() ? own_sources() : std::vector<std::string>{setting.text});
  cli::TrainOptions options = cli::char_rnn_recipe();
  options.shards = setting.threads;
  auto compiled = std::make_unique<RewindTrainer>(options, corpus);
  options.eager = true;
  Field out;
  out.contenders.push_back(contender("Rewind eager", std::make_unique<RewindTrainer>(options, corpus)));
  auto torch = torch_char_rnn(compiled->recipe());
  out.contenders.push_back(contender("Rewind compiled", std::move(compiled)));
  if (torch != nullptr)
    out.contenders.push_back(contender("libtorch nn", std::move(torch)));
  else
    out.absent.emplace_back("libtorch: it was not found");
  return out;
}

}  // namespace

std::vector<Comparison> char_rnn_comparisons() {
  Comparison c;
  c.name = "char-rnn/train/2x128";
  c.note = "whole updates with RMSprop; an epoch is 1,057,500 characters";
  c.unit = "characters/s", c.scale = static_cast<double>(char_rnn_updates * 2500), c.rate = true;
  c.all_cores = true, c.seconds = 6;
  c.make = field;
  return {c};
}

}  // namespace rw::bench
