// FASTA text cut into records.
//
// A chunk of text begins with a header. Records that end within it are cleaned: blanks and comments
// are gone, letters are upper case, a final '*' is dropped. That is all that most records need. One
// with anything else in it (gaps, characters that are no residue, no id, a suspicious or excessive
// length) is only delimited: what is to be said about it is said elsewhere, with its own text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace provis::text {

struct FastaRecord {
  std::string_view text;  // header and lines, up to the next header
  std::string_view id;    // first word of the header; where plain
  int64_t line;           // of the header, from 0 at the start of the chunk
  int64_t residues, n;    // where in FastaChunk::residues, and how many; where plain
  bool plain;             // id and residues are good as they are
};

struct FastaChunk {
  std::vector<FastaRecord> records;
  std::string residues;  // of all plain records, one after the other
  int64_t consumed =
      0;              // bytes; the next chunk begins with the rest, a record that is not whole yet
  int64_t lines = 0;  // line feeds in them
};

// Cut `text`, which begins with '>' or is empty. `last`: the input ends here, and so the last
// record. A record of more than `max_residues` residues or `max_bytes` bytes is not plain. Views
// point into `text`.
FastaChunk split_fasta(std::string_view text, bool last, int64_t max_residues, int64_t max_bytes);

}  // namespace provis::text
