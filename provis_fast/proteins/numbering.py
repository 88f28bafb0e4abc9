"""Places of residues in a chain whose file does not give its full sequence.

Statistics need the true distance i - j along the chain, so residues that are missing from the
coordinates must keep their places. They show as gaps in label_seq_id or, without it, in the
author's numbering. A gap in author numbers is not always a gap in the chain (antibody and protease
schemes skip numbers, fusion proteins jump by hundreds), so it is filled only where the two residues
beside it are not bonded to each other. What remains unexplained is noted.
"""

from __future__ import annotations

import logging

import gemmi

logger = logging.getLogger(__name__)

#: C to N within this distance are a peptide bond, with room for poor models (Angstrom).
MAX_PEPTIDE_BOND = 2.0
#: The same for C-alpha atoms, where C or N is missing.
MAX_BONDED_CA = 4.5
#: No chain reaches farther than this per residue (Angstrom).
CA_STEP = 3.9
#: A longer gap in the numbers is a convention or an error, not missing residues.
MAX_GAP = 1000


def place_by_label_numbers(
    residues: list[gemmi.Residue], labels: list[int], numbers: list[int], notes: list[str]
) -> list[int | None]:
    """Place residues by label_seq_id, the first at 0.

    Parameters
    ----------
    residues : list of gemmi.Residue
        One polymer, in the file's order.
    labels, numbers : list of int
        Their label_seq_id and author numbers.
    notes : list of str
        Receives what cannot be explained: gaps of more than `MAX_GAP`, which are not filled, and
        jumps of the author's numbers across a broken chain where label_seq_id goes on, as if the
        file had been renumbered.

    Returns
    -------
    list of int or None
        Place of each residue.
    """
    place_of = _places_of_numbers(set(labels), notes)
    for i in range(1, len(labels)):
        if labels[i] - labels[i - 1] != 1 or numbers[i] - numbers[i - 1] <= 1:
            continue
        previous, residue = residues[i - 1], residues[i]
        if not are_bonded(previous, residue):
            notes.append(
                f"author numbers jump from {previous.seqid} to {residue.seqid} across a break of "
                "the chain where label_seq_id goes on: distances along the chain may be too short"
            )
    return [place_of[label] for label in labels]


def _places_of_numbers(numbers: set[int], notes: list[str]) -> dict[int, int]:
    """Return the place of each label_seq_id, the first at 0."""
    places: dict[int, int] = {}
    place, previous = 0, min(numbers)
    for number in sorted(numbers):
        gap = number - previous - 1
        if gap > MAX_GAP:
            notes.append(
                f"label_seq_id jumps from {previous} to {number}, more than {MAX_GAP} residues: "
                "the number of missing residues is unknown, none was filled in"
            )
            gap = 0
        place += 0 if number == previous else gap + 1
        places[number] = place
        previous = number
    return places


def place_by_author_numbers(residues: list[gemmi.Residue], notes: list[str]) -> list[int | None]:
    """Place residues by author numbers and insertion codes, the first at 0.

    Parameters
    ----------
    residues : list of gemmi.Residue
        One polymer, in the file's order.
    notes : list of str
        Receives the jumps that cannot be explained.

    Returns
    -------
    list of int or None
        Place of each residue. Alternative residues (the same number) share one place.
    """
    places: list[int | None] = []
    place = 0
    for previous, residue in zip([None, *residues], residues, strict=False):
        if previous is not None and residue.seqid != previous.seqid:
            place += 1 + _missing_between(previous, residue, notes)
        places.append(place)
    return places


def _missing_between(previous: gemmi.Residue, residue: gemmi.Residue, notes: list[str]) -> int:
    """Return how many residues are missing between two neighbours in the file."""
    gap = _skipped_numbers(previous.seqid, residue.seqid)
    if gap == 0:
        return 0
    where = f"from {previous.seqid} to {residue.seqid}"
    if are_bonded(previous, residue):
        # Explained: a numbering scheme, or a fusion. Nothing is missing.
        logger.info("author numbers jump %s between bonded residues", where)
        return 0
    if gap < 0:
        notes.append(
            f"author numbers go back {where} across a break of the chain: the number of missing "
            "residues is unknown, none was filled in"
        )
        return 0
    if gap > MAX_GAP:
        notes.append(
            f"author numbers jump {where}, more than {MAX_GAP} residues: the number of missing "
            "residues is unknown, none was filled in"
        )
        return 0
    distance = _distance(previous, "CA", residue, "CA")
    if distance is not None and distance > CA_STEP * (gap + 1):
        notes.append(
            f"{distance:.1f} Angstrom {where} is too far for the {gap} residues that the author "
            "numbers leave out; they were filled in"
        )
    return gap


def _skipped_numbers(first: gemmi.SeqId, second: gemmi.SeqId) -> int:
    """Return the count of numbers left out; negative where numbers go back."""
    step = second.num - first.num
    if step == 0:
        # 52, 52A, 52B: also some schemes that count insertions backwards (52B, 52A, 52).
        letters = _letter(second.icode) - _letter(first.icode)
        return letters - 1 if letters > 0 else 0
    return step - 1 if step > 0 else step


def _letter(insertion_code: str) -> int:
    return 0 if insertion_code == " " else ord(insertion_code.upper()) - ord("A") + 1


def are_bonded(first: gemmi.Residue, second: gemmi.Residue) -> bool:
    """Tell whether two residues are neighbours in the chain, from their distance."""
    bond = _distance(first, "C", second, "N")
    if bond is not None:
        return bond <= MAX_PEPTIDE_BOND
    alphas = _distance(first, "CA", second, "CA")
    return alphas is not None and alphas <= MAX_BONDED_CA


def _distance(
    first: gemmi.Residue, first_atom: str, second: gemmi.Residue, second_atom: str
) -> float | None:
    a = first.find_atom(first_atom, "*")
    b = second.find_atom(second_atom, "*")
    return None if a is None or b is None else a.pos.dist(b.pos)
