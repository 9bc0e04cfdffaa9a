"""Trained models as programs that run without this project, and scoring with them."""
