"""What to cite: the facts of CITATION.cff, which is not part of an installed package."""

from __future__ import annotations

from provis_fast import __version__

PAPER_URL = "https://arxiv.org/abs/2006.15222"
CITATIONS = (
    "Vig, J., Madani, A., Varshney, L. R., Xiong, C., Socher, R. & Rajani, N. F. (2021). BERTology "
    "Meets Biology: Interpreting Attention in Protein Language Models. International Conference on "
    f"Learning Representations. {PAPER_URL}",
    f"The provis_fast developers. provis_fast, version {__version__}. Head statistics of protein "
    "language models, computed inside the attention kernel.",
)
BIBTEX = f"""@inproceedings{{vig2021bertology,
  title     = {{{{BERTology}} Meets Biology: Interpreting Attention in Protein Language Models}},
  author    = {{Vig, Jesse and Madani, Ali and Varshney, Lav R. and Xiong, Caiming and Socher,
               Richard and Rajani, Nazneen Fatema}},
  booktitle = {{International Conference on Learning Representations}},
  year      = {{2021}},
  url       = {{{PAPER_URL}}}
}}

@software{{provis_fast,
  title   = {{provis_fast}},
  author  = {{{{the provis_fast developers}}}},
  version = {{{__version__}}}
}}
"""
