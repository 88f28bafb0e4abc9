// Contact maps as bitmaps in the coordinates of a sequence's tokens.
//
// A residue is resolved where its position is finite. A pair of residues is valid where both are
// resolved and stand at least `separation` apart along the chain; a valid pair is a contact where
// its distance is below the cut-off. That is decided as
//
//     dx * dx + dy * dy + dz * dz < cutoff * cutoff
//
// in double, with dx, dy and dz the differences of the float32 coordinates: exact wherever the
// coordinates lie on a binary grid and 26 bits hold the differences, also at the cut-off itself,
// and the same on every machine, as this file is compiled without fused multiply-add.
//
// Short chains are gone through pair by pair, eight residues after another. In long ones the
// resolved residues are sorted into the cells of a grid whose side is no shorter than the cut-off,
// so that only residues of neighbouring cells are compared: time linear in the length, besides the
// bitmaps themselves. Nothing else of L x L bits or more is stored.
#pragma once

#include <cstdint>

namespace provis {

struct ContactMap {
  const float* positions = nullptr;  // [length, 3]; not finite where unresolved
  int64_t length = 0;                // residues whose pairs are counted
  double cutoff = 0;                 // in the unit of the positions
  int64_t separation = 0;            // from 0 to length

  // Bitmaps: row = query, bit j % 32 of word j / 32 = key, in tokens. They must hold zeros.
  int64_t kept = 0;                 // residues in the bitmaps: the first, length at most
  const int64_t* tokens = nullptr;  // [kept]: token of each of them, all different
  int64_t n_tokens = 0;
  bool all_valid = false;     // call every pair of kept residues valid
  uint32_t* set = nullptr;    // [n_tokens, ceil(n_tokens / 32)]
  uint32_t* valid = nullptr;  // the same
};

// Ordered pairs among all residues.
struct PairCounts {
  int64_t set = 0, valid = 0;
};

// Fills the bitmaps and counts. `force_grid` is for tests: the grid also where it does not pay.
PairCounts contact_map(const ContactMap& map, bool force_grid = false);

}  // namespace provis
