"""Mixtures that are found by training: DoReMi, Skill-it, swarms of proxies."""
