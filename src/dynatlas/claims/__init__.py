"""Statements of papers as data: what is compared, which test decides, which control must not pass, and the verdict."""
