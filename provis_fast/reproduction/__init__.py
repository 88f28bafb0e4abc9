"""The experiment of "BERTology Meets Biology" for a model and a folder of the paper's data sets.

`published_heads` holds the paper's numbers, `datasets` finds its data sets and draws proteins,
`comparison` sets our numbers beside the published ones, `experiment` runs it all,
`text` and `saving` put the outcome into words and files.
"""

from provis_fast.reproduction.comparison import Comparison, HeadRow
from provis_fast.reproduction.experiment import InterruptedReproduction, Reproduction, reproduce
from provis_fast.reproduction.published_heads import PUBLISHED_MODELS, PublishedModel, published
from provis_fast.similarity import AminoAcidSimilarity, amino_acid_similarity

__all__ = [
    "PUBLISHED_MODELS",
    "AminoAcidSimilarity",
    "Comparison",
    "HeadRow",
    "InterruptedReproduction",
    "PublishedModel",
    "Reproduction",
    "amino_acid_similarity",
    "published",
    "reproduce",
]
