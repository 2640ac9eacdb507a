#include "options.h"

#include <map>
#include <stdexcept>

namespace rw::bench {

const char* const usage =
    R"(usage: tools/benchmark [--part NAME] [--filter RE] [--contenders RE] [--budget SECONDS] [--threads N] [--quick] [--list]
                       [--text FILE] [--profile] [--json FILE] [--svg FILE] [--markdown FILE] [--publish] [--from FILE]
                       [--commit TEXT]
  --part NAME       one part of all comparisons, each of which fits in its half an hour:
                      lstm         the LSTM's training and inference
                      cells        the other cells
                      stacks       stacks of layers, and both directions
                      published    shapes of DeepBench, oneDNN and fastrnns
                      small        single ops and products, one step, threads, bf16
                      long         checkpoints, scans, growth with the size, memory, lengths, char-rnn
                      derivatives  GradBench, transforms
  --filter RE       comparisons whose names contain a match, e.g. 'train/lstm' or '^gemm'
  --contenders RE   only contenders whose names contain a match, e.g. 'compiled|oneDNN'
  --budget SECONDS  about how long it may take (1800); what matters most comes first, what does not fit is said
  --threads N       only with N threads; otherwise with one, and with all cores where that may pay
  --quick           one round of each comparison that matches the filter, without one of a few small ones: shows that
                    everything works, not how fast it is
  --list            the names of the comparisons, in the order in which they run, and their least seconds
  --text FILE       the text for char-rnn; otherwise the project's own sources
  --profile         and where the time of the compiled ones goes
  --json FILE       everything, with every round
  --markdown FILE   tables, one for each group of comparisons and number of threads
  --svg FILE        ratios, a row a comparison; curves of growth go into FILE-growth.svg
  --publish         the tables and charts of this project's pages
  --from FILE       runs nothing: the rest is made of what --json wrote
Before that it measures with which of its kernels OpenBLAS is fastest here, and gives libtorch those.
Files are written too when it is interrupted (Ctrl-C); a second Ctrl-C ends it at once.
)";

namespace {

double number_of(const std::string& option, const std::string& value) {
  std::size_t used = 0;
  double out = 0;
  try {
    out = std::stod(value, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != value.size() || !(out >= 0))
    throw std::invalid_argument(option + " takes a number, not '" + value + "'");
  return out;
}

// Every comparison's name belongs to one part.
const char* filter_of(const std::string& part) {
  static const std::map<std::string, const char*> parts{
      {"lstm", R"(^(train|train\+dx|infer)/lstm/)"},
      {"cells", R"(^(train|train\+dx|infer)/(?!lstm/)|^cells/)"},
      {"stacks", "^(stack|both-ways)"},
      {"published", "^(deepbench|onednn|fastrnns)"},
      {"small", "^(overhead|elementwise|gemm|step|bf16|threads)"},
      {"long", "^(checkpoint|scan|growth|memory|lengths|char-rnn)"},
      {"derivatives", "^(gradbench|transform)"},
  };
  const auto at = parts.find(part);
  if (at == parts.end()) throw std::invalid_argument("there is no part " + part);
  return at->second;
}

}  // namespace

Options parsed(int argc, char** argv) {
  Options o;
  std::string part;
  const std::map<std::string, bool*> switches{{"--help", &o.help},
                                              {"--quick", &o.quick},
                                              {"--list", &o.list},
                                              {"--publish", &o.publish},
                                              {"--profile", &o.profile}};
  const std::map<std::string, std::string*> texts{
      {"--part", &part},           {"--filter", &o.filter}, {"--contenders", &o.contenders},
      {"--text", &o.text},         {"--json", &o.json},     {"--svg", &o.svg},
      {"--markdown", &o.markdown}, {"--from", &o.from},     {"--commit", &o.commit}};
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (const auto at = switches.find(arg); at != switches.end()) {
      *at->second = true;
      continue;
    }
    const auto text = texts.find(arg);
    if (text == texts.end() && arg != "--budget" && arg != "--threads")
      throw std::invalid_argument("there is no option " + arg);
    if (++i == argc) throw std::invalid_argument(arg + " takes a value");
    if (text != texts.end())
      *text->second = argv[i];
    else if (arg == "--budget")
      o.budget = number_of(arg, argv[i]);
    else
      o.threads = static_cast<int>(number_of(arg, argv[i]));
    if (arg == "--threads" && o.threads < 1) throw std::invalid_argument("--threads must be at least 1");
  }
  if (!part.empty() && o.filter != any) throw std::invalid_argument("give --part or --filter, not both");
  if (!part.empty()) o.filter = filter_of(part);
  return o;
}

}  // namespace rw::bench
