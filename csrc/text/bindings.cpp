// The Python module provis_fast._text: FASTA, pickles' instructions, and which proteins were there
// before. It is a module of its own, without OpenMP: proteins are read before torch is imported,
// whose OpenMP runtime must be the first.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "text/duplicates.h"
#include "text/fasta.h"
#include "text/pickle_check.h"

namespace py = pybind11;

namespace {

using provis::text::FastaRecord;
using provis::text::IdIndex;
using provis::text::SequenceIndex;

py::object stolen(PyObject* made) {
  if (made == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(made);
}

// Only ASCII: one byte per character, copied as it is.
PyObject* ascii(std::string_view text) {
  PyObject* made = PyUnicode_New(static_cast<Py_ssize_t>(text.size()), 127);
  if (made == nullptr) throw py::error_already_set();
  std::copy(text.begin(), text.end(), static_cast<char*>(PyUnicode_DATA(made)));
  return made;
}

// Text as UTF-8; valid while the object lives.
std::string_view utf8(const py::str& text) {
  Py_ssize_t size;
  const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
  if (data == nullptr) throw py::error_already_set();
  return {data, static_cast<size_t>(size)};
}

std::string_view view(const py::buffer_info& info) {
  return {static_cast<const char*>(info.ptr), static_cast<size_t>(info.size * info.itemsize)};
}

// Of each record its id, its residues and its line; of one that is not plain None and its bytes.
py::tuple split_fasta(const py::bytes& buffer, bool last, int64_t first_line, int64_t max_residues,
                      int64_t max_bytes) {
  const std::string_view text = buffer;
  provis::text::FastaChunk chunk;
  {
    const py::gil_scoped_release release;
    chunk = provis::text::split_fasta(text, last, max_residues, max_bytes);
  }
  const auto n = static_cast<Py_ssize_t>(chunk.records.size());
  const py::object ids = stolen(PyList_New(n));
  const py::object bodies = stolen(PyList_New(n));
  const py::object lines = stolen(PyList_New(n));
  const std::string_view residues = chunk.residues;
  for (Py_ssize_t i = 0; i < n; ++i) {
    const FastaRecord& record = chunk.records[i];
    py::object line = stolen(PyLong_FromLongLong(first_line + record.line));
    PyList_SET_ITEM(lines.ptr(), i, line.release().ptr());
    if (record.plain) {
      PyList_SET_ITEM(ids.ptr(), i, ascii(record.id));
      PyList_SET_ITEM(bodies.ptr(), i, ascii(residues.substr(record.residues, record.n)));
    } else {
      PyList_SET_ITEM(ids.ptr(), i, py::none().release().ptr());
      const auto size = static_cast<Py_ssize_t>(record.text.size());
      py::object raw = stolen(PyBytes_FromStringAndSize(record.text.data(), size));
      PyList_SET_ITEM(bodies.ptr(), i, raw.release().ptr());
    }
  }
  return py::make_tuple(ids, bodies, lines, chunk.consumed, chunk.lines);
}

// -1: new; else the file of the first protein of this id, plus 2^32 if its sequence was another.
int64_t add_id(IdIndex& index, const py::str& id, const py::str& sequence, uint32_t file) {
  const IdIndex::Answer answer = index.add(utf8(id), utf8(sequence), file);
  if (answer.seen == IdIndex::Seen::kNew) return -1;
  const bool other = answer.seen == IdIndex::Seen::kOtherSequence;
  return static_cast<int64_t>(answer.file) + (other ? int64_t{1} << 32 : 0);
}

py::str add_sequence(SequenceIndex& index, const py::str& sequence, const py::str& id) {
  const std::string_view first = index.add(utf8(sequence), utf8(id));
  return py::str(first.data(), first.size());
}

std::string check_pickle(const py::buffer& data) {
  const py::buffer_info info = data.request();
  const std::string_view pickle = view(info);
  const py::gil_scoped_release release;
  return provis::text::check_pickle(pickle);
}

}  // namespace

PYBIND11_MODULE(_text, m) {
  m.doc() = "Reads text fast. Use provis_fast.proteins.";
  m.def("split_fasta", &split_fasta, py::arg("text"), py::arg("last"), py::arg("first_line"),
        py::arg("max_residues"), py::arg("max_bytes"), "Cut FASTA text into records.");
  m.def("check_pickle", &check_pickle, py::arg("data"), "Why a pickle is refused; '' if not.");
  py::class_<IdIndex>(m, "IdIndex")
      .def(py::init<>())
      .def("add", &add_id, py::arg("id"), py::arg("sequence"), py::arg("file"))
      .def("__len__", &IdIndex::size)
      .def_property_readonly("nbytes", &IdIndex::bytes);
  py::class_<SequenceIndex>(m, "SequenceIndex")
      .def(py::init<>())
      .def("add", &add_sequence, py::arg("sequence"), py::arg("id"))
      .def("__len__", &SequenceIndex::size)
      .def_property_readonly("nbytes", &SequenceIndex::bytes);
}
