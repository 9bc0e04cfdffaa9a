"""The baselines' interaction parts beside FuxiCTR's: the same weights in, the same numbers out."""
