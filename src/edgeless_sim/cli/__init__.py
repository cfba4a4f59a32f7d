"""The command line: reads options, prints results, turns errors into exit codes. Nothing else."""
