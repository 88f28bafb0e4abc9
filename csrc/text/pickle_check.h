// Whether a pickle can be run within bounds: a pickle is a program, and this walks through it
// without doing what it says.
//
// Pickles have no loops, so that a walk is linear in their size. What a short one can do all the
// same is: declare sizes that it does not have, name memo entries far away (the memo is an array),
// repeat itself through the memo (tuples of tuples double with every step, and hashing walks them
// whole), and fill dictionaries with keys of one hash. Each is refused here, with every instruction
// that plain data do not need. Which functions are called is not judged here: those are looked up
// by name when the pickle is run, and that lookup has a list of what is allowed.
#pragma once

#include <string>
#include <string_view>

namespace provis::text {

// Why a pickle is refused; empty where it is not.
std::string check_pickle(std::string_view pickle);

}  // namespace provis::text
