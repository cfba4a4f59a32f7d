"""``python -m edgeless_sim`` is the program ``edgeless-sim``."""

from edgeless_sim.cli.programs import main

if __name__ == "__main__":
    main()
