"""A made-up study for the tests of faults."""
