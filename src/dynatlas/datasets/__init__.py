"""Data that several studies learn from: shipped, generated, or read from files by hash; import the leaf modules."""
