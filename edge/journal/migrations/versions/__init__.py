"""One file a step. A file that was released is never edited: what is wrong in it is put right by the next."""
