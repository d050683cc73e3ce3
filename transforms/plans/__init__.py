"""Recipes to plans: budgets, mixtures, intervals, slices, and weights from losses."""
