"""How good a model is: scores, baselines, reports, contact sheets and the regression gate."""
