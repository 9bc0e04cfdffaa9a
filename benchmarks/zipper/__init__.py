"""What the Zipper is for (paper 4.2, Figure 5): daily incremental training while labels are still coming in."""
