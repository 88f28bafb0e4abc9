"""Results of every single protein, as a data set that other programs read.

Beside its totals an analysis can keep what it found in each protein. Tables are Parquet files in
folders, one folder per table, partitioned by shard in the manner of Hive, so that pyarrow, pandas,
polars, DuckDB and Spark each read such a folder as one table::

    per_protein/
        proteins/shard=0001-of-0001/part-0.parquet     always: what the rows of the others are about
        counts/shard=0001-of-0001/part-0.parquet       on request, as are the next two
        received/shard=0001-of-0001/part-0.parquet
        arcs/shard=0001-of-0001/part-0.parquet

``shard`` is the text ``0001-of-0001`` in an analysis that was not divided. Layers, heads, records
and positions are counted from 1. Rows stand in the order in which the input and the token budget
cut the work into units, so the same input and options give the same bytes; they are not sorted by
`record`. Columns by table, explained in `provis_fast.per_protein.schemas`:

``proteins``
    record, protein, source, cluster, residues, residue_numbers; for each property P
    ``known:P`` and for each of its classes C ``background:P:C``.
``counts``
    record, protein, layer, head, statistic, threshold, arcs; for each property P ``eligible:P`` and
    for each of its classes C ``count:P:C``. One row per protein, statistic, threshold, layer and
    head.
``received``
    record, protein, layer, head, received.
``arcs``
    record, protein, layer, head, query, key, weight, query_residue, key_residue.

``record`` is the number of the protein's record in the whole input, also in a shard of it, and
``protein`` its id. Counts have one column per class rather than one row: columns that are not asked
for are not read, small integers pack by column, and a class is one selection away
(``table["count:contact:contact"]``). `read_per_protein` turns them into the long form.
"""

from __future__ import annotations
