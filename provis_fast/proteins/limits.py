"""What one record of an input may hold; larger ones are set aside with the limit named.

No real protein comes near: titin, the longest known in man, has 35,213 residues. What does come
near is a genome taken for a protein, or a damaged file whose records have run into one another.
"""

#: Residues of one protein.
MAX_RESIDUES = 100_000
#: Bytes of one record as the file has it (decompressed), annotations and alignments included.
MAX_RECORD_BYTES = 64 << 20
#: Content of a file that is read whole (decompressed).
MAX_FILE_BYTES = 2 << 30
#: A compressed file is refused once its content exceeds both this many bytes and this many times
#: the file's own size: what does so was made to exhaust memory or disk.
MAX_CONTENT_BYTES = 1 << 30
MAX_CONTENT_RATIO = 1000
