"""From the source of a function to code that runs: building, trying, beginning anew."""
