"""dynatlas: an atlas of learning dynamics."""
