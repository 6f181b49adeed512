"""The append-only record: every input, every event, hash-chained, and how far each console has stored them.

Promised:

* What `stored` has confirmed survives a crash at any moment, and a power cut as far as the disk keeps its word (WAL,
  synchronous=FULL, one commit for all that waits). Inputs recorded but not yet flushed may be lost by a crash.
* A snapshot is never on the disk without the inputs before it, an event never without the inputs that led to it.
* A failed commit is never swallowed, and never simply tried again: who waits gets JournalError, and so does every later
  call. Where the journal `holds`, who waits is told that it is in memory alone; the store is opened anew, what it
  really has is looked up, and the rest is written in order.
* Rows are never edited or deleted. One changed field, one row missing, added or moved, in the middle or at an end of
  any one of the three records, is found by `edge.journal.verify`, and is refused when it is read (JournalDamaged).
* Two programs never write one journal (JournalBusy); any number may read it meanwhile (`Reader`).

Each event and checkpoint bears the edge's signature: who recomputes every hash after his change is found by the public
key (`verify(..., keys=)`).

Not promised: that nobody cut the same last commits off all tables; only a number and hash kept elsewhere, as each
console does, shows that (`verify(..., expect_seq=, expect_hash=)`).
"""

from edge.journal.chain import Checkpoint
from edge.journal.database import JournalBusy, JournalDamaged, JournalError
from edge.journal.journal import Journal
from edge.journal.outage import Appended, Head
from edge.journal.reader import Reader

__all__ = ["Appended", "Checkpoint", "Head", "Journal", "JournalBusy", "JournalDamaged", "JournalError", "Reader"]
