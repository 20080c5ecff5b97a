"""`python -m pybernetes` is `pyb`."""

from pybernetes.cli.main import main

main()
