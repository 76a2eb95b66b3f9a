"""A made-up study for the tests."""
