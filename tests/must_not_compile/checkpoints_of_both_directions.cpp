// A layer in both directions is no cell: it has no state from which the rest of the sequence could be computed again.
#include <rewind/models/bptt/checkpointed.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/sequence/bidirectional.h>

#ifdef MUST_NOT_COMPILE
using Model = rw::Bidirectional<rw::LstmCell>;
#else
using Model = rw::LstmCell;
#endif

void learn(const Model& model) { rw::CheckpointedBptt<Model> bptt(model, 4, {.states = 100}); }
