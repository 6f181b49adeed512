"""`python -m edge.cli`: the same as `vigil`."""

from edge.cli import main

main()
