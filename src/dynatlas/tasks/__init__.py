"""Trials over time, generated: inputs, targets, masks and the rule that scores an answer."""
