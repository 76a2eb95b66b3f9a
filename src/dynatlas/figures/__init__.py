"""One style for all figures: palette, panels, marks, and the same bytes twice."""
