"""How good a model is: metrics per portfolio, calibration, slices and bootstrap intervals (paper 4)."""
