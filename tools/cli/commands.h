#pragma once

namespace CLI {
class App;
}  // namespace CLI

namespace rw::cli {

// Each adds one subcommand of `rewind`, with its options and what it does.
void add_train(CLI::App& rewind);
void add_sample(CLI::App& rewind);
void add_graph(CLI::App& rewind);
void add_gradcheck(CLI::App& rewind);
void add_flow(CLI::App& rewind);
void add_export(CLI::App& rewind);
void add_tune(CLI::App& rewind);

/// What the process ends with when a run was interrupted and its checkpoint is safe: 128 + the signal's number, as
/// shells count. A callback sets it; `main` returns it.
inline int exit_code = 0;

}  // namespace rw::cli
