"""How properties are searched: the same examples in every run, so that a failure is a change's and never the dice's.

`./test -m "not slow" --hypothesis-profile=explore` looks further, with new examples each time.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("steady")
