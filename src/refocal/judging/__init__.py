"""How good it is: scores, baselines, reports."""
