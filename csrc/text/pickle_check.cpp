#include "text/pickle_check.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "text/pickle_machine.h"

namespace provis::text {
namespace {

class Walk : PickleMachine {
 public:
  explicit Walk(std::string_view pickle) : PickleMachine(pickle.size()), text_(pickle) {}

  void run() {
    while (step()) {
    }
  }

 private:
  uint64_t left() const { return text_.size() - at_; }

  std::string_view take(uint64_t n) {
    if (n > left()) {
      throw Refused("it declares " + std::to_string(n) + " bytes where " + std::to_string(left()) +
                    " are left");
    }
    const std::string_view taken = text_.substr(at_, n);
    at_ += n;
    return taken;
  }

  uint64_t number(int bytes) {
    const std::string_view raw = take(bytes);
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(raw[i]);
    return value;
  }

  std::string_view line() {
    const size_t end = text_.find('\n', at_);
    if (end == std::string_view::npos) throw Refused("it ends within an instruction");
    const std::string_view found = text_.substr(at_, end - at_);
    at_ = end + 1;
    return found;
  }

  uint64_t index() {
    const std::string_view digits = line();
    if (digits.empty() || digits.size() > 12) throw Refused("it has a memo index that is none");
    uint64_t value = 0;
    for (const char c : digits) {
      if (c < '0' || c > '9') throw Refused("it has a memo index that is none");
      value = 10 * value + static_cast<uint64_t>(c - '0');
    }
    return value;
  }

  bool step();

  std::string_view text_;
  size_t at_ = 0;
};

// One instruction; false after the last. Names are those of Python's pickletools.
bool Walk::step() {
  if (left() == 0) throw Refused("it has no end");
  const char code = text_[at_++];
  switch (code) {
    case '.':  // STOP
      pop();
      return false;
    case '\x80':  // PROTO
      take(1);
      break;
    case '\x95':  // FRAME
      if (const uint64_t size = number(8); size > left()) {
        throw Refused("it declares a frame of " + std::to_string(size) + " bytes where " +
                      std::to_string(left()) + " are left");
      }
      break;
    case '(':  // MARK
      charge(kPointer);
      marks_.push_back(stack_.size());
      break;
    case '0':  // POP
      if (!marks_.empty() && marks_.back() == stack_.size()) {
        marks_.pop_back();
      } else {
        pop();
      }
      break;
    case '1':  // POP_MARK
      stack_.resize(pop_mark());
      break;

    case 'N':     // NONE
    case '\x88':  // NEWTRUE
    case '\x89':  // NEWFALSE
      push({}, 0);
      break;
    case 'I':  // INT
    case 'L':  // LONG
    case 'F':  // FLOAT
      push_number_text(line());
      break;
    case 'J':  // BININT
      take(4);
      push_number(4);
      break;
    case 'K':  // BININT1
      take(1);
      push({}, 0);
      break;
    case 'M':  // BININT2
      take(2);
      push_number(2);
      break;
    case 'G':  // BINFLOAT
      take(8);
      push_number(8);
      break;
    case '\x8a':  // LONG1
      push_number(take(number(1)).size());
      break;
    case '\x8b':  // LONG4
      push_number(take(number(4)).size());
      break;

    case 'S':  // STRING
    case 'V':  // UNICODE
      push_text(line());
      break;
    case 'U':     // SHORT_BINSTRING
    case 'C':     // SHORT_BINBYTES
    case '\x8c':  // SHORT_BINUNICODE
      push_text(take(number(1)));
      break;
    case 'T':  // BINSTRING
    case 'B':  // BINBYTES
    case 'X':  // BINUNICODE
      push_text(take(number(4)));
      break;
    case '\x8d':  // BINUNICODE8
    case '\x8e':  // BINBYTES8
    case '\x96':  // BYTEARRAY8
      push_text(take(number(8)));
      break;

    case ')':  // EMPTY_TUPLE
      push({1, true}, 0);
      break;
    case '\x85':    // TUPLE1
    case '\x86':    // TUPLE2
    case '\x87': {  // TUPLE3
      const size_t n = static_cast<uint8_t>(code) - 0x84;
      const size_t floor = marks_.empty() ? 0 : marks_.back();
      if (stack_.size() < floor + n) throw Refused("it takes from an empty stack");
      push_tuple(stack_.size() - n);
      break;
    }
    case 't':  // TUPLE
      push_tuple(pop_mark());
      break;
    case ']':  // EMPTY_LIST
      push({}, kList);
      break;
    case 'l':  // LIST
      stack_.resize(pop_mark());
      push({}, kList);
      break;
    case 'a':  // APPEND
      pop();
      need_container();
      break;
    case 'e':  // APPENDS
      stack_.resize(pop_mark());
      need_container();
      break;
    case '}':  // EMPTY_DICT
      push({}, kDict);
      break;
    case 'd': {  // DICT
      const size_t mark = pop_mark();
      push({}, kDict);
      const Item dict = stack_.back();
      stack_.pop_back();
      for (size_t i = mark; i < stack_.size(); i += 2) key(stack_[i]);
      stack_.resize(mark);
      stack_.push_back(dict);
      break;
    }
    case 's':  // SETITEM
      pop();
      key(pop());
      charge(kSet / 2);
      need_container();
      break;
    case 'u':  // SETITEMS
      close_keys(pop_mark(), 2);
      break;
    case '\x8f':  // EMPTY_SET
      push({}, kSet);
      break;
    case '\x90':  // ADDITEMS
      close_keys(pop_mark(), 1);
      break;
    case '\x91': {  // FROZENSET
      const size_t mark = pop_mark();
      uint64_t steps = 1;
      for (size_t i = mark; i < stack_.size(); ++i) {
        key(stack_[i]);
        charge(kSet / 2);
        steps += stack_[i].steps;  // no overflow: their sum is below that of all pushes
      }
      stack_.resize(mark);
      push({steps, true}, kSet);
      break;
    }

    case 'p':  // PUT
      put(index());
      break;
    case 'q':  // BINPUT
      put(number(1));
      break;
    case 'r':  // LONG_BINPUT
      put(number(4));
      break;
    case '\x94':  // MEMOIZE
      put(entries_);
      break;
    case 'g':  // GET
      get(index());
      break;
    case 'h':  // BINGET
      get(number(1));
      break;
    case 'j':  // LONG_BINGET
      get(number(4));
      break;

    case 'c':  // GLOBAL
      if (line().size() + line().size() > kLongestName) throw Refused("it has an endless name");
      push({}, kText);
      break;
    case '\x93':  // STACK_GLOBAL
      pop();
      pop();
      push({}, 0);
      break;
    case 'R':  // REDUCE
      pop();
      pop();
      push({1, true}, kCallResult);
      break;
    case 'b':  // BUILD
      pop();
      need_container();
      break;

    case 'i':     // INST
    case 'o':     // OBJ
    case '\x81':  // NEWOBJ
    case '\x92':  // NEWOBJ_EX
      throw Refused("it makes objects of a class (INST, OBJ, NEWOBJ)");
    case '\x82':  // EXT1
    case '\x83':  // EXT2
    case '\x84':  // EXT4
      throw Refused("it calls what other programs have registered (EXT)");
    case 'P':  // PERSID
    case 'Q':  // BINPERSID
      throw Refused("it refers to objects outside of it (PERSID)");
    default: {
      static const char* const kDigits = "0123456789abcdef";
      const auto byte = static_cast<uint8_t>(code);
      throw Refused(std::string("the instruction 0x") + kDigits[byte >> 4] + kDigits[byte & 15] +
                    " is not one of plain data");
    }
  }
  return true;
}

}  // namespace

std::string check_pickle(std::string_view pickle) {
  try {
    Walk(pickle).run();
    return {};
  } catch (const Refused& reason) {
    return reason.what();
  }
}

}  // namespace provis::text
