"""One package a paper. A study imports wings, never another study."""
