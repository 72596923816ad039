"""The mind: words to a goal, and each round what was seen to a plan. Decides, never executes."""
