"""The core: what is judged, and how. No I/O, no clock, no asyncio: inputs and a time go in, events come out."""
