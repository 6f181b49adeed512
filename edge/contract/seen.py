"""Which characters of a text a person sees: in a name, in what is said about an alarm."""

from __future__ import annotations

import unicodedata

# Control, format (they join, hide or turn what is beside them), surrogate, private use, and the separators
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"})  # The Unicode Standard, 4.5, General Category
# The same of Unicode 14 as a class for a JSON Schema's pattern; no text on the wire has half of a surrogate pair.
_ASTRAL = ((0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x13438), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A),
           (0xE0001, 0xE0001), (0xE0020, 0xE007F))
NEVER_SEEN = (r"\x00-\x1f\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200f"
              r"\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ue000-\uf8ff\ufeff\ufff9-\ufffb"
              + "".join(chr(first) if first == last else f"{chr(first)}-{chr(last)}" for first, last in _ASTRAL))
# The planes of private use stand apart: who makes examples of a class takes its 137,468 letters one by one.
_PRIVATE = f"[{chr(0xF0000)}-{chr(0xFFFFD)}{chr(0x100000)}-{chr(0x10FFFD)}]"
WITH_SOMETHING = f"(?!{_PRIVATE})[^ {NEVER_SEEN}]"  # a pattern: there is something to be seen
# nothing else, and no space at either end
ALL_SEEN = f"^(?!.*{_PRIVATE})[^ {NEVER_SEEN}]([^{NEVER_SEEN}]*[^ {NEVER_SEEN}])?$"


def is_seen(letter: str) -> bool:
    """Whether one character is seen, or is the space between those that are."""
    return letter == " " or unicodedata.category(letter) not in UNSEEN
